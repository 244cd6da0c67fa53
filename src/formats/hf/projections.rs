//! Tensors that hold projections of queries, keys and values, one behind the other.

use std::collections::BTreeMap;

use super::source::Source;
use crate::tensor::{Tensor, TensorType};
use crate::{Error, Result};

/// Such tensors are one in files, and three in graphs: what is called `….{packed}weight` and `….{packed}bias` gets one of
/// `parts` for `packed`.
pub fn split_projections(source: &mut Source, packed: &str, parts: [&str; 3]) -> Result<()> {
    let mut made = BTreeMap::new();
    for own in ["weight", "bias"] {
        let end = format!("{packed}{own}");
        let names = source.dense.keys().filter(|name| name.ends_with(&format!(".{end}"))).cloned();
        for name in names.collect::<Vec<_>>() {
            let Some(tensor) = source.dense.remove(&name) else { continue };
            let stem = name.strip_suffix(&end).unwrap_or(&name);
            for (part, tensor) in parts.into_iter().zip(thirds(source.name, &name, &tensor)?) {
                made.insert(format!("{stem}{part}{own}"), tensor);
            }
        }
    }
    for (name, tensor) in made {
        if source.dense.insert(name.clone(), tensor).is_some() {
            return Err(Error::format(source.name, format!("tensor `{name}` occurs twice")));
        }
    }
    Ok(())
}

/// The first, second and last third of the rows.
fn thirds(file: &str, name: &str, tensor: &Tensor) -> Result<[Tensor; 3]> {
    let mut shape = tensor.shape().to_vec();
    match shape.first_mut() {
        Some(rows) if rows.is_multiple_of(3) => *rows /= 3,
        _ => return Err(Error::format(file, format!("tensor `{name}` of shape {shape:?} is not three projections"))),
    }
    let bytes = tensor.bytes().len() / 3;
    let third = |i: usize| {
        let mut part = Tensor::zeros(TensorType::new(tensor.dtype(), shape.clone()))?;
        part.bytes_mut().copy_from_slice(&tensor.bytes()[i * bytes..][..bytes]);
        Ok(part)
    };
    Ok([third(0)?, third(1)?, third(2)?])
}
