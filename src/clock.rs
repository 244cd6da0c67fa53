//! Milliseconds from a monotonic clock, also where `std::time` does not work (browsers).

#[cfg(not(target_arch = "wasm32"))]
pub fn now_ms() -> f64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

#[cfg(all(target_arch = "wasm32", feature = "js"))]
pub fn now_ms() -> f64 {
    js_sys::Date::now()
}

/// Without a host clock every duration reads 0.
#[cfg(all(target_arch = "wasm32", not(feature = "js")))]
pub fn now_ms() -> f64 {
    0.0
}

/// Seconds since 1970 in UTC; 0 without a host clock.
#[cfg(all(feature = "text", not(target_arch = "wasm32")))]
pub fn unix_seconds() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(all(feature = "text", target_arch = "wasm32"))]
pub fn unix_seconds() -> i64 {
    (now_ms() / 1e3) as i64
}

/// Lets the event loop of a browser's thread in: once a hook is set, it is awaited, and what it throws ends the work.
/// Elsewhere returns at once.
#[cfg(not(all(target_arch = "wasm32", feature = "js")))]
pub async fn breathe() -> crate::Result<()> {
    Ok(())
}

#[cfg(all(target_arch = "wasm32", feature = "js"))]
pub use browser::{breathe, set_breath};

#[cfg(all(target_arch = "wasm32", feature = "js"))]
mod browser {
    use std::cell::RefCell;

    use js_sys::{Function, Promise};
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;

    use crate::{Error, Result};

    thread_local! {
        static BREATH: RefCell<Option<Function>> = const { RefCell::new(None) };
    }

    /// Sets a function that returns a promise; it rejects to end the work.
    pub fn set_breath(breath: Function) {
        BREATH.set(Some(breath));
    }

    pub async fn breathe() -> Result<()> {
        let Some(breath) = BREATH.with_borrow(Clone::clone) else { return Ok(()) };
        let promise = breath.call0(&JsValue::UNDEFINED).and_then(|p| p.dyn_into::<Promise>());
        match promise {
            Ok(promise) => JsFuture::from(promise).await.map(|_| ()).map_err(|_| Error::Aborted),
            Err(_) => Err(Error::Aborted),
        }
    }
}
