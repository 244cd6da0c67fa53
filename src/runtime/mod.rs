//! Floor 5: device choice, plans, sessions.

pub mod device;
pub mod plan;
pub mod session;
pub mod specialize;
pub mod symbolic;

pub use device::Device;
pub use plan::{NodeReport, Report};
pub use session::Session;
