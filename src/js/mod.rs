//! Floor 9: the WebAssembly face behind the npm package. `www/src/engine.ts` is its only caller.

pub mod error;
pub mod loader;
pub mod model;
pub mod values;

pub use loader::Loader;
pub use model::JsModel;
