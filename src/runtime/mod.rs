//! Floor 5: device choice, plans, sessions.

#[cfg(all(feature = "gpu", feature = "full"))]
pub mod chain;
pub mod device;
#[cfg(any(feature = "cli", feature = "full"))]
pub mod elastic;
mod goal;
#[cfg(feature = "full")]
mod halves;
#[cfg(feature = "full")]
mod kept;
pub mod plan;
mod served;
pub mod session;
pub mod specialize;
pub mod symbolic;
#[cfg(feature = "full")]
pub mod tokens;
#[cfg(all(feature = "gpu", any(feature = "cli", feature = "full")))]
mod tune;

pub use crate::cpu::fewbit::Activations;
#[cfg(feature = "full")]
pub use crate::ops::cached_attention::KvKind;
pub use device::Device;
pub use plan::{NodeReport, Report};
pub use session::Session;
#[cfg(feature = "full")]
pub use tokens::{TOKEN_MAP, Tokens};
