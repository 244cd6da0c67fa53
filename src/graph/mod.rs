//! Floor 3: the graph. Operator names and semantics are ONNX's (newest opset); own operators live in domain `fewbit`.

pub mod attr;
#[cfg(feature = "full")]
mod cost;
pub mod exits;
pub mod fuse;
pub mod image;
pub mod ir;
pub mod memory;
pub mod model;
pub mod plan;
pub mod schedule;
#[cfg(feature = "full")]
mod split;
pub mod typed;

pub use attr::{Attr, Attrs};
pub use image::{Filter, ImageInput, Resize, Size};
pub use ir::{Dim, Graph, Node, Value, ValueId, Weight};
pub use model::{Manifest, Model};
pub use schedule::{Place, Schedule};
pub use typed::TypedGraph;
