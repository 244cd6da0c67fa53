//! Errors on their way to JavaScript: plain objects `{ code, message }`, which survive a worker's boundary.

use std::sync::{Mutex, Once, PoisonError};

use js_sys::{Object, Reflect};
use wasm_bindgen::prelude::*;

use crate::Error;

/// An error as JavaScript sees it.
pub fn to_js(error: Error) -> JsValue {
    let object = Object::new();
    for (key, value) in [("code", error.code()), ("message", &error.to_string())] {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &key.into(), &value.into());
    }
    object.into()
}

static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// A panic reaches JavaScript as a bare trap: keeps its message for `last_panic`.
pub fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
        }));
    });
}

/// The message of the panic behind a trap; `undefined` if the trap was something else.
#[wasm_bindgen(js_name = lastPanic)]
pub fn last_panic() -> Option<String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner).take()
}
