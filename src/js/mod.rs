//! Floor 9: the WebAssembly face behind the npm package. `www/src/engine.ts` is its only caller.

#[cfg(feature = "text")]
pub mod describe;
pub mod error;
pub mod loader;
pub mod model;
#[cfg(feature = "audio")]
pub mod speech;
#[cfg(feature = "text")]
pub mod text;
#[cfg(feature = "full")]
pub mod tokens;
pub mod values;

pub use loader::Loader;
pub use model::JsModel;

use wasm_bindgen::prelude::*;

/// Sets what is awaited every few milliseconds of computing; it rejects to abort the call.
#[wasm_bindgen(js_name = setBreath)]
pub fn set_breath(breath: js_sys::Function) {
    crate::clock::set_breath(breath);
}

/// Whether the device that was opened last has subgroups, which wgpu cannot tell in a browser.
#[cfg(all(feature = "gpu", target_arch = "wasm32"))]
#[wasm_bindgen(js_name = setSubgroups)]
pub fn set_subgroups(granted: bool) {
    crate::gpu::device::set_subgroups(granted);
}
