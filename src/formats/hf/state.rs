//! The tensors of a folder while methods turn them into weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;

use crate::graph::Weight;
use crate::tensor::{DType, Shape, Tensor, TensorType};
use crate::weights::{Encoded, HalfFloat};
use crate::{Error, Result};

pub struct State {
    /// Names the folder in messages.
    file: String,
    tensors: BTreeMap<String, Tensor>,
    weights: BTreeMap<String, Weight>,
}

impl State {
    pub fn new(file: &str, tensors: BTreeMap<String, Tensor>) -> Self {
        State { file: file.into(), tensors, weights: BTreeMap::new() }
    }

    /// Layers that have a tensor `X.part`.
    pub fn layers(&self, part: &str) -> Vec<String> {
        let layer = |name: &String| Some(name.strip_suffix(part)?.strip_suffix('.')?.to_string());
        self.tensors.keys().filter_map(layer).collect()
    }

    pub fn has(&self, layer: &str, part: &str) -> bool {
        self.tensors.contains_key(&format!("{layer}.{part}"))
    }

    pub fn take(&mut self, layer: &str, part: &str) -> Option<Tensor> {
        self.tensors.remove(&format!("{layer}.{part}"))
    }

    pub fn need(&mut self, layer: &str, part: &str) -> Result<Tensor> {
        self.take(layer, part).ok_or_else(|| self.error(layer, format!("lacks its `{part}`")))
    }

    /// Takes a part that must be a matrix of this type.
    pub fn matrix(&mut self, layer: &str, part: &str, dtype: DType) -> Result<(Tensor, [usize; 2])> {
        let tensor = self.need(layer, part)?;
        match *tensor.shape() {
            [rows, cols] if tensor.dtype() == dtype && rows > 0 && cols > 0 => Ok((tensor, [rows, cols])),
            _ => {
                let what = format!("has a `{part}` of {} {:?}", tensor.dtype().name(), tensor.shape());
                Err(self.error(layer, what))
            }
        }
    }

    pub fn put(&mut self, layer: &str, name: &str, weight: impl Into<Encoded>) {
        self.weights.insert(format!("{layer}.{name}"), Weight::Encoded(Arc::new(weight.into())));
    }

    pub fn put_dense(&mut self, layer: &str, name: &str, tensor: Tensor) {
        self.weights.insert(format!("{layer}.{name}"), Weight::Dense(tensor));
    }

    /// Stores a layer `[rows, cols]` that no encoding holds as f16; `decode` writes one row.
    pub fn put_half(&mut self, layer: &str, shape: Shape, mut decode: impl FnMut(usize, &mut [f32])) -> Result<()> {
        let (rows, cols) = (shape[0], shape[1]);
        let wide = cols.next_multiple_of(2);
        let mut values = Tensor::zeros(TensorType::new(DType::F16, [rows, wide]))?;
        let mut row = vec![0f32; cols];
        for (r, out) in values.slice_mut::<f16>()?.chunks_exact_mut(wide).enumerate() {
            decode(r, &mut row);
            out.iter_mut().zip(&row).for_each(|(out, &v)| *out = f16::from_f32(v));
        }
        self.put(layer, "weight", HalfFloat::new(shape, values)?);
        Ok(())
    }

    pub fn error(&self, layer: &str, what: impl std::fmt::Display) -> Error {
        Error::format(&self.file, format!("layer `{layer}` {what}"))
    }

    pub fn unsupported(&self, layer: &str, what: impl std::fmt::Display) -> Error {
        Error::Unsupported(format!("{}: layer `{layer}` {what}", self.file))
    }

    /// What no method took, and the weights.
    pub fn finish(self) -> (BTreeMap<String, Tensor>, BTreeMap<String, Weight>) {
        (self.tensors, self.weights)
    }
}

/// Factors as encodings take them: f16 as it is, any other float as f32.
pub fn factors(tensor: &Tensor, shape: [usize; 2]) -> Result<Tensor> {
    if tensor.dtype() == DType::F16 {
        return tensor.reshaped(shape);
    }
    if !tensor.dtype().is_float() {
        return Err(Error::Usage(format!("scales of {}", tensor.dtype().name())));
    }
    Tensor::new(shape, &tensor.to_f32()?)
}

/// The same, of a matrix stored the other way round: `[cols, rows]` → `[rows, cols]`.
pub fn factors_transposed(tensor: &Tensor, [rows, cols]: [usize; 2]) -> Result<Tensor> {
    let stored = factors(tensor, [cols, rows])?;
    let size = stored.dtype().size();
    let mut out = Tensor::zeros(TensorType::new(stored.dtype(), [rows, cols]))?;
    let from = stored.bytes();
    for (i, element) in out.bytes_mut().chunks_exact_mut(size).enumerate() {
        let at = ((i % cols) * rows + i / cols) * size;
        element.copy_from_slice(&from[at..at + size]);
    }
    Ok(out)
}
