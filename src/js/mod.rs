//! Floor 9: the WebAssembly face behind the npm package. `www/src/engine.ts` is its only caller.

pub mod error;
pub mod loader;
pub mod model;
pub mod values;

pub use loader::Loader;
pub use model::JsModel;

use wasm_bindgen::prelude::*;

/// Sets what is awaited every few milliseconds of computing; it rejects to abort the call.
#[wasm_bindgen(js_name = setBreath)]
pub fn set_breath(breath: js_sys::Function) {
    crate::clock::set_breath(breath);
}
