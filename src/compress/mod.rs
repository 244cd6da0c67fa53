//! Floor 7: everything that makes weights small, needed by the command line only.

pub mod affine;
pub mod calibrate;
pub mod cluster;
pub mod encode;
pub mod feedback;
pub mod fold;
pub mod grid;
pub mod model;
pub mod palette;
pub mod rules;
pub mod spec;
pub mod targets;

pub use encode::encode;
pub use model::{Progress, TensorReport, compress};
pub use rules::Rules;
pub use spec::Spec;
