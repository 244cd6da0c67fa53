//! Floor 1: element types, shapes, host tensors and bit streams.

pub mod bits;
pub mod dtype;
pub mod host;
pub mod order;
pub mod shape;
pub mod walk;

pub use dtype::{DType, Element};
pub use host::{Tensor, TensorType, View, ViewMut};
pub use shape::{Shape, broadcast, broadcast_strides, element_count, normalize_axis, strides};
