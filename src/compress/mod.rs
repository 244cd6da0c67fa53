//! Floor 7: everything that makes weights small, needed by the command line only.

pub mod affine;
pub mod auto;
pub mod bias;
pub mod calibrate;
pub mod cluster;
pub mod codebook;
pub mod dual;
pub mod effect;
pub mod elastic;
pub mod encode;
pub mod feedback;
pub mod fold;
pub mod grid;
pub mod low_rank;
pub mod model;
pub mod options;
pub mod palette;
pub mod product;
pub mod report;
pub mod round;
pub mod rules;
pub mod shrink;
pub mod sparse;
pub mod spec;
pub mod svd;
pub mod table;
pub mod targets;
pub mod vector_palette;
pub mod vectors;

pub use encode::encode;
pub use model::{Progress, compress};
pub use report::TensorReport;
pub use rules::Rules;
pub use spec::Spec;
