//! Floor 4: the GPU backend. One file per operator family, twin of `shaders/` and `cpu/`.
//!
//! A kernel's `emit` records dispatches for a node at plan time; `Program` executes them in one submission. An operator
//! is added with a table in `families.rs`, a file here and a shader.

pub mod activation;
pub mod adapter;
pub mod attention;
pub mod axes;
pub mod axis;
pub mod binary;
#[cfg(feature = "full")]
pub mod cached_attention;
#[cfg(feature = "full")]
pub mod caches;
pub mod cast;
#[cfg(feature = "cli")]
pub mod ceilings;
#[cfg(feature = "full")]
pub mod chain;
pub mod choices;
pub mod columns;
mod conv;
pub mod conv_transpose;
pub mod decode;
pub mod depthwise;
pub mod device;
#[cfg(feature = "full")]
pub mod draw_token;
mod embed;
pub mod emit;
pub mod epilogue;
pub mod families;
#[cfg(feature = "full")]
pub mod faults;
#[cfg(feature = "full")]
pub mod gated_conv;
pub mod gather;
pub mod gather_nd;
pub mod gemm;
pub mod gemm_subgroup;
pub mod host_step;
#[cfg(feature = "full")]
pub mod int8;
pub mod linear;
mod lock;
pub mod lookup;
pub mod matmul_integer;
#[cfg(feature = "full")]
pub mod matvec_sparse;
#[cfg(feature = "full")]
pub mod matvec_subgroup;
#[cfg(feature = "full")]
pub mod matvec_wide;
pub mod movement;
#[cfg(feature = "full")]
pub mod next_token;
pub mod norm;
pub mod pool;
pub mod product;
pub mod profile;
pub mod program;
pub mod quantize;
pub mod readback;
pub mod reduce;
pub mod resize;
#[cfg(feature = "full")]
pub mod rotary;
pub mod select;
pub mod selfcheck;
pub mod shader;
pub mod storage;
pub mod tile;
#[cfg(feature = "full")]
pub mod token_scores;
#[cfg(feature = "full")]
pub mod tokens;
pub mod unary;
pub mod weights;

pub use adapter::AdapterReport;
#[cfg(feature = "full")]
pub use chain::{Chain, Started};
pub use choices::{Choice, Choices};
pub use device::GpuDevice;
pub use emit::{Emit, GpuKernel, Operand};
pub use families::find;
pub use program::Program;
pub use storage::storage_bytes;
pub use weights::WeightCache;
