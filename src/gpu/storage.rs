//! How tensors lie in GPU buffers. Types of at most 32 bits take one word an element (WGSL has no smaller addressable
//! type); 64-bit integers two words, low first. f16, bf16 and f64 keep their host bytes: only host steps read them.

use std::borrow::Cow;

use crate::tensor::{DType, Tensor, TensorType};
use crate::{Error, Result};

/// Whether kernels can compute with the type.
pub fn is_computable(dtype: DType) -> bool {
    !matches!(dtype, DType::F16 | DType::BF16 | DType::F64)
}

/// 32-bit words of one element; meaningful for computable types.
pub fn words_per_element(dtype: DType) -> usize {
    if dtype.size() == 8 { 2 } else { 1 }
}

/// Bytes that a value of this type takes in a GPU buffer; a multiple of 16, so that kernels may load vec4s.
pub fn storage_bytes(ty: &TensorType) -> usize {
    payload_bytes(ty).max(16).saturating_add(15) & !15
}

/// Bytes that hold elements; a multiple of 4.
pub(super) fn payload_bytes(ty: &TensorType) -> usize {
    let bytes = if is_computable(ty.dtype) { ty.len().saturating_mul(ty.dtype.size().max(4)) } else { ty.bytes() };
    bytes.saturating_add(3) & !3
}

/// A tensor's bytes as the GPU stores them.
pub(super) fn to_gpu(tensor: &Tensor) -> Result<Cow<'_, [u8]>> {
    fn widen<T: Copy, U: bytemuck::NoUninit>(values: &[T], f: impl Fn(T) -> U) -> Cow<'static, [u8]> {
        let words: Vec<U> = values.iter().map(|&v| f(v)).collect();
        Cow::Owned(bytemuck::cast_slice(&words).to_vec())
    }
    Ok(match tensor.dtype() {
        DType::I8 => widen(tensor.slice::<i8>()?, i32::from),
        DType::I16 => widen(tensor.slice::<i16>()?, i32::from),
        DType::U8 | DType::Bool => widen(tensor.slice::<u8>()?, u32::from),
        DType::U16 => widen(tensor.slice::<u16>()?, u32::from),
        _ if tensor.bytes().len().is_multiple_of(4) => Cow::Borrowed(tensor.bytes()),
        _ => {
            let mut bytes = tensor.bytes().to_vec();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            Cow::Owned(bytes)
        }
    })
}

/// The inverse of `to_gpu`; `bytes` may be longer than the tensor.
pub(super) fn from_gpu(ty: &TensorType, bytes: &[u8]) -> Result<Tensor> {
    let payload = bytes
        .get(..payload_bytes(ty))
        .ok_or_else(|| Error::Device(format!("{} bytes came back, expected {}", bytes.len(), payload_bytes(ty))))?;
    let words = payload.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    match ty.dtype {
        DType::I8 | DType::U8 => Tensor::from_bytes(ty.clone(), &words.map(|w| w as u8).collect::<Vec<_>>()),
        DType::Bool => Tensor::from_bytes(ty.clone(), &words.map(|w| u8::from(w != 0)).collect::<Vec<_>>()),
        DType::I16 | DType::U16 => {
            let narrow: Vec<u16> = words.map(|w| w as u16).collect();
            Tensor::from_bytes(ty.clone(), bytemuck::cast_slice(&narrow))
        }
        _ => Tensor::from_bytes(ty.clone(), &payload[..ty.bytes()]),
    }
}
