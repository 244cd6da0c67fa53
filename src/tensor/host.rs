//! Host tensors: typed bytes in an 8-byte aligned, shared, copy-on-write buffer, and borrowed views of them.

use std::sync::Arc;

use super::{DType, Element, Shape, element_count};
use crate::{Error, Result};

/// What is known about a tensor without its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    pub dtype: DType,
    pub shape: Shape,
}

impl TensorType {
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Self {
        TensorType { dtype, shape: shape.into() }
    }

    /// Elements; 0 when a dimension is 0. Saturates, so that an absurd shape fails the memory limit instead of wrapping.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1usize, |n, &d| n.saturating_mul(d))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn bytes(&self) -> usize {
        self.len().saturating_mul(self.dtype.size())
    }
}

/// A tensor in host memory, row-major. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Tensor {
    ty: TensorType,
    words: Arc<Vec<u64>>,
}

impl Tensor {
    /// `data` must hold exactly the elements of `shape`.
    pub fn new<T: Element>(shape: impl Into<Shape>, data: &[T]) -> Result<Self> {
        Self::from_bytes(TensorType::new(T::DTYPE, shape), bytemuck::cast_slice(data))
    }

    pub fn scalar<T: Element>(value: T) -> Self {
        let ty = TensorType::new(T::DTYPE, vec![]);
        let mut words = vec![0u64; 1];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..std::mem::size_of::<T>()]
            .copy_from_slice(bytemuck::bytes_of(&value));
        Tensor { ty, words: Arc::new(words) }
    }

    /// Little-endian elements, as files store them.
    pub fn from_bytes(ty: TensorType, bytes: &[u8]) -> Result<Self> {
        element_count(&ty.shape)?;
        if bytes.len() != ty.bytes() {
            return Err(Error::Usage(format!(
                "a {} tensor of shape {:?} needs {} bytes, got {}",
                ty.dtype.name(),
                ty.shape,
                ty.bytes(),
                bytes.len()
            )));
        }
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Ok(Tensor { ty, words: Arc::new(words) })
    }

    pub fn zeros(ty: TensorType) -> Result<Self> {
        element_count(&ty.shape)?;
        let words = vec![0u64; ty.bytes().div_ceil(8)];
        Ok(Tensor { ty, words: Arc::new(words) })
    }

    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    pub fn shape(&self) -> &[usize] {
        &self.ty.shape
    }

    pub fn len(&self) -> usize {
        self.ty.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.ty.bytes()]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.ty.bytes();
        &mut bytemuck::cast_slice_mut(Arc::make_mut(&mut self.words).as_mut_slice())[..len]
    }

    pub fn view(&self) -> View<'_> {
        View { dtype: self.ty.dtype, shape: &self.ty.shape, bytes: self.bytes() }
    }

    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let len = self.ty.bytes();
        let bytes = &mut bytemuck::cast_slice_mut(Arc::make_mut(&mut self.words).as_mut_slice())[..len];
        ViewMut { dtype: self.ty.dtype, shape: &self.ty.shape, bytes }
    }

    pub fn slice<T: Element>(&self) -> Result<&[T]> {
        self.view().slice()
    }

    pub fn slice_mut<T: Element>(&mut self) -> Result<&mut [T]> {
        let ty = self.ty.clone();
        check::<T>(ty.dtype)?;
        Ok(bytemuck::cast_slice_mut(self.bytes_mut()))
    }

    /// Whether the other is a clone: the same bytes, for as long as both are kept.
    pub fn shares(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.words, &other.words)
    }

    /// How many clones hold the bytes, this one included.
    #[cfg(feature = "full")]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.words)
    }

    /// The same bytes under another shape with as many elements.
    pub fn reshaped(&self, shape: impl Into<Shape>) -> Result<Self> {
        let ty = TensorType::new(self.ty.dtype, shape);
        if ty.len() != self.len() {
            return Err(Error::Usage(format!("cannot reshape {:?} to {:?}", self.ty.shape, ty.shape)));
        }
        Ok(Tensor { ty, words: self.words.clone() })
    }

    /// Integer values of any integer or bool tensor (shapes, axes, indices).
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        Ok(match self.dtype() {
            DType::I64 => self.slice::<i64>()?.to_vec(),
            DType::I32 => self.slice::<i32>()?.iter().map(|&v| v.into()).collect(),
            DType::I16 => self.slice::<i16>()?.iter().map(|&v| v.into()).collect(),
            DType::I8 => self.slice::<i8>()?.iter().map(|&v| v.into()).collect(),
            DType::U8 | DType::Bool => self.slice::<u8>()?.iter().map(|&v| v.into()).collect(),
            DType::U16 => self.slice::<u16>()?.iter().map(|&v| v.into()).collect(),
            DType::U32 => self.slice::<u32>()?.iter().map(|&v| v.into()).collect(),
            DType::U64 => self.slice::<u64>()?.iter().map(|&v| v as i64).collect(),
            other => return Err(Error::Usage(format!("expected integers, got {}", other.name()))),
        })
    }

    /// Values of any numeric tensor as f32 (scales, thresholds, comparisons in tests).
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        Ok(match self.dtype() {
            DType::F32 => self.slice::<f32>()?.to_vec(),
            DType::F64 => self.slice::<f64>()?.iter().map(|&v| v as f32).collect(),
            DType::F16 => self.slice::<half::f16>()?.iter().map(|v| v.to_f32()).collect(),
            DType::BF16 => self.slice::<half::bf16>()?.iter().map(|v| v.to_f32()).collect(),
            _ => self.to_i64()?.into_iter().map(|v| v as f32).collect(),
        })
    }
}

/// A borrowed tensor. Bytes start at an 8-byte boundary.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub dtype: DType,
    pub shape: &'a [usize],
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn slice<T: Element>(&self) -> Result<&'a [T]> {
        check::<T>(self.dtype)?;
        bytemuck::try_cast_slice(self.bytes).map_err(misaligned)
    }

    pub fn to_tensor(&self) -> Result<Tensor> {
        Tensor::from_bytes(TensorType::new(self.dtype, self.shape), self.bytes)
    }
}

/// A tensor being written. Bytes start at an 8-byte boundary; their content before the write is arbitrary.
#[derive(Debug)]
pub struct ViewMut<'a> {
    pub dtype: DType,
    pub shape: &'a [usize],
    pub bytes: &'a mut [u8],
}

impl ViewMut<'_> {
    pub fn slice<T: Element>(&mut self) -> Result<&mut [T]> {
        check::<T>(self.dtype)?;
        bytemuck::try_cast_slice_mut(self.bytes).map_err(misaligned)
    }
}

fn check<T: Element>(dtype: DType) -> Result<()> {
    if T::reads(dtype) {
        return Ok(());
    }
    Err(Error::Usage(format!("expected a tensor of {}, got {}", T::DTYPE.name(), dtype.name())))
}

fn misaligned(e: bytemuck::PodCastError) -> Error {
    Error::Usage(format!("tensor bytes cannot be read in place: {e}"))
}
