//! The one text of the depthwise kernels that have vector instructions: a few pixels × a few vectors of channels in
//! registers over the taps of a window.

/// Where the operands of a stretch of output pixels lie, in elements. Tap `(r, c)` of pixel `p` in channel `i` reads
/// `x[r · x_row + c · x_col + p · x_pixel + i]` and `weights[r · weight_row + c · channels + i]`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub rows: usize,
    pub cols: usize,
    pub x_row: usize,
    pub x_col: usize,
    pub x_pixel: usize,
    pub weight_row: usize,
    pub channels: usize,
}

impl Window {
    /// Elements that `pixels` pixels reach of `x`, and those that the window reaches of the weights.
    pub fn reach(&self, pixels: usize) -> (usize, usize) {
        if self.rows * self.cols * pixels == 0 {
            return (0, 0);
        }
        let (r, c) = (self.rows - 1, self.cols - 1);
        let x = r * self.x_row + c * self.x_col + (pixels - 1) * self.x_pixel + self.channels;
        (x, r * self.weight_row + (c + 1) * self.channels)
    }
}

/// Writes `fn name(window, x, weights, bias, range, out)` for whole vectors of channels; `super::depthwise` computes
/// the others.
#[allow(unused_macros)] // on a processor without vector instructions
macro_rules! depthwise_kernel {
    (
        $(#[$meta:meta])* $name:ident, lanes = $lanes:literal, vector = $vector:ty, load = $load:expr, splat = $splat:expr, fma = $fma:expr,
        max = $max:expr, min = $min:expr, store = $store:expr $(,)?
    ) => {
        pub fn $name(
            window: &super::depthwise_kernel::Window,
            x: &[f32],
            weights: &[f32],
            bias: &[f32],
            range: (f32, f32),
            out: &mut [f32],
        ) {
            /// SAFETY: the pointers must hold what `PIXELS` pixels of `VECTORS` vectors reach.
            $(#[$meta])*
            #[inline]
            unsafe fn block<const PIXELS: usize, const VECTORS: usize>(
                window: &super::depthwise_kernel::Window,
                x: *const f32,
                weights: *const f32,
                bias: *const f32,
                (min, max): (f32, f32),
                out: *mut f32,
            ) {
                // SAFETY: the caller's, for all that follows.
                unsafe {
                    let mut sums: [[$vector; VECTORS]; PIXELS] = std::mem::zeroed();
                    unroll!(v in VECTORS, 4 => {
                        let bias = $load(bias.add(v * $lanes));
                        unroll!(p in PIXELS, 4 => { sums[p][v] = bias; });
                    });
                    for r in 0..window.rows {
                        let (mut x, mut weights) = (x.add(r * window.x_row), weights.add(r * window.weight_row));
                        for _ in 0..window.cols {
                            unroll!(v in VECTORS, 4 => {
                                let weight = $load(weights.add(v * $lanes));
                                unroll!(p in PIXELS, 4 => {
                                    let value = $load(x.add(p * window.x_pixel + v * $lanes));
                                    sums[p][v] = $fma(value, weight, sums[p][v]);
                                });
                            });
                            x = x.wrapping_add(window.x_col);
                            weights = weights.wrapping_add(window.channels);
                        }
                    }
                    let (min, max) = ($splat(min), $splat(max));
                    unroll!(p in PIXELS, 4 => {
                        unroll!(v in VECTORS, 4 => {
                            let value = $min(max, $max(min, sums[p][v]));
                            $store(out.add(p * window.channels + v * $lanes), value);
                        });
                    });
                }
            }

            $(#[$meta])*
            fn stretch(
                window: &super::depthwise_kernel::Window,
                x: &[f32],
                weights: &[f32],
                bias: &[f32],
                range: (f32, f32),
                out: &mut [f32],
            ) {
                let channels = window.channels;
                let pixels = out.len() / channels.max(1);
                let (x_reach, weight_reach) = window.reach(pixels);
                assert!(x.len() >= x_reach && weights.len() >= weight_reach && bias.len() >= channels);
                let mut pixel = 0;
                while pixel < pixels {
                    // The last four pixels may be computed twice rather than one by one.
                    let four = pixels >= 4;
                    let first = if four { pixel.min(pixels - 4) } else { pixel };
                    pixel = first + if four { 4 } else { 1 };
                    let mut c = 0;
                    while c + $lanes <= channels {
                        let left = (channels - c) / $lanes;
                        // SAFETY: pixels below `pixels` and channels below `channels`, which the assertion holds.
                        unsafe {
                            let (x, w) = (x.as_ptr().add(first * window.x_pixel + c), weights.as_ptr().add(c));
                            let (b, out) = (bias.as_ptr().add(c), out.as_mut_ptr().add(first * channels + c));
                            c += $lanes * match (four, left) {
                                (true, 2..) => { block::<4, 2>(window, x, w, b, range, out); 2 }
                                (true, _) => { block::<4, 1>(window, x, w, b, range, out); 1 }
                                (false, 4..) => { block::<1, 4>(window, x, w, b, range, out); 4 }
                                (false, _) => { block::<1, 1>(window, x, w, b, range, out); 1 }
                            };
                        }
                    }
                }
            }

            // SAFETY: the caller's `Level` proves the instruction set.
            #[allow(unused_unsafe)]
            unsafe { stretch(window, x, weights, bias, range, out) }
        }
    };
}
#[allow(unused_imports)]
pub(super) use depthwise_kernel;
