//! The 128-bit vectors of WebAssembly, chosen when the module is compiled.

use std::arch::wasm32::*;

use super::tile_kernel::tile_kernel;

// 8 sums, 2 columns, a broadcast and a product: 12 of the 16 registers that a browser on x86 has.
tile_kernel! {
    tile, rows = 4 [1 2 3 4], lanes = 4,
    zero = f32x4_splat(0.0), load = |p: *const f32| v128_load(p.cast()), splat = f32x4_splat,
    fma = |x, y, sum| f32x4_add(sum, f32x4_mul(x, y)), store = |p: *mut f32, v| v128_store(p.cast(), v),
}
