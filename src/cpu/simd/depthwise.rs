//! Depthwise windows over channels that lie last.

use super::Level;
pub use super::depthwise_kernel::Window;

/// `out[p, i] = clamp(bias[i] + Σ x · weights)` over the window, for as many pixels of `channels` as `out` holds. The
/// range is `(min, max)`; a NaN stays.
pub fn depthwise(
    level: Level,
    window: &Window,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    range: (f32, f32),
    out: &mut [f32],
) {
    let lanes = level.tile_cols() / 2;
    let first = match level {
        Level::Portable => 0,
        _ => window.channels / lanes * lanes,
    };
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::depthwise_avx512(window, x, weights, bias, range, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::depthwise_avx2(window, x, weights, bias, range, out),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => super::neon::depthwise(window, x, weights, bias, range, out),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Level::Simd128 => super::wasm::depthwise(window, x, weights, bias, range, out),
        _ => {}
    }
    if first < window.channels {
        plain(window, first, x, weights, bias, range, out);
    }
}

/// Channels from `first` on.
fn plain(
    window: &Window,
    first: usize,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    (min, max): (f32, f32),
    out: &mut [f32],
) {
    for (p, out) in out.chunks_exact_mut(window.channels).enumerate() {
        out[first..].copy_from_slice(&bias[first..window.channels]);
        for r in 0..window.rows {
            for c in 0..window.cols {
                let x = &x[r * window.x_row + c * window.x_col + p * window.x_pixel..][..window.channels];
                let weights = &weights[r * window.weight_row + c * window.channels..][..window.channels];
                for i in first..window.channels {
                    out[i] += x[i] * weights[i];
                }
            }
        }
        for v in &mut out[first..] {
            let low = if *v < min { min } else { *v };
            *v = if low > max { max } else { low };
        }
    }
}
