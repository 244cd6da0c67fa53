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
