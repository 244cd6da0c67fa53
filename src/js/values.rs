//! Tensors across the boundary: `[name, type, dims, bytes]`, the twin of `www/src/tensors.ts`.

use js_sys::{Array, Uint8Array, Uint32Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::tensor::{DType, Tensor, TensorType};
use crate::{Error, Result};

const DTYPES: [DType; 13] = [
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::Bool,
];

/// Reads an array of `[name, type, dims, bytes]`.
pub fn from_js(inputs: &JsValue) -> Result<Vec<(String, Tensor)>> {
    let inputs = inputs.dyn_ref::<Array>().ok_or_else(|| Error::Usage("inputs must be an array".into()))?;
    inputs.iter().map(|input| one_from_js(&input)).collect()
}

fn one_from_js(input: &JsValue) -> Result<(String, Tensor)> {
    let malformed = || Error::Usage("an input must be [name, type, dims, bytes]".into());
    let fields = input.dyn_ref::<Array>().ok_or_else(malformed)?;
    let name = fields.get(0).as_string().ok_or_else(malformed)?;
    let ty = fields.get(1).as_string().ok_or_else(malformed)?;
    let dims = fields.get(2).dyn_into::<Uint32Array>().map_err(|_| malformed())?;
    let bytes = fields.get(3).dyn_into::<Uint8Array>().map_err(|_| malformed())?;
    let dtype = DTYPES
        .into_iter()
        .find(|d| d.name() == ty)
        .ok_or_else(|| Error::Usage(format!("input `{name}`: there is no element type `{ty}`")))?;
    let shape: Vec<usize> = dims.to_vec().into_iter().map(|d| d as usize).collect();
    let tensor = Tensor::from_bytes(TensorType::new(dtype, shape), &bytes.to_vec())?;
    Ok((name, tensor))
}

/// An array of `[name, type, dims, bytes]`; the bytes are JavaScript's own copy.
pub fn to_js(outputs: &[(String, Tensor)]) -> JsValue {
    let array = Array::new();
    for (name, tensor) in outputs {
        let dims: Vec<u32> = tensor.shape().iter().map(|&d| d as u32).collect();
        array.push(&Array::of4(
            &name.into(),
            &tensor.dtype().name().into(),
            &Uint32Array::from(dims.as_slice()),
            &Uint8Array::from(tensor.bytes()),
        ));
    }
    array.into()
}
