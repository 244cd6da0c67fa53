//! Rows into lanes: the packing of a matrix whose rows run along the depth.

use crate::cpu::simd::{Level, multiversion};

/// `transpose_words` on f32.
pub fn transpose(
    level: Level,
    rows: &[f32],
    stride: usize,
    lanes: usize,
    depth: usize,
    width: usize,
    panel: &mut [f32],
) {
    let (rows, panel) = (bytemuck::cast_slice(rows), bytemuck::cast_slice_mut(panel));
    transpose_words(level, rows, stride, lanes, depth, width, panel);
}

multiversion! {
    /// `panel[k · width + i] = rows[i · stride + k]` for `i < lanes`, `k < depth`; 0 for `lanes ≤ i < width`.
    pub fn transpose_words = body(
        rows: &[u32], stride: usize, lanes: usize, depth: usize, width: usize, panel: &mut [u32],
    )
}

#[inline(always)]
fn body<const FMA: bool>(rows: &[u32], stride: usize, lanes: usize, depth: usize, width: usize, panel: &mut [u32]) {
    let panel = &mut panel[..depth * width];
    if lanes < width {
        panel.fill(0);
    }
    // Squares of 8 × 8 keep both sides in registers; the compiler turns them into shuffles.
    const SIDE: usize = 8;
    let (mut lane, whole) = (0, depth / SIDE * SIDE);
    while lane + SIDE <= lanes && whole > 0 {
        let rows: [&[u32]; SIDE] = std::array::from_fn(|i| &rows[(lane + i) * stride..][..whole]);
        for (step, out) in panel.chunks_exact_mut(SIDE * width).enumerate().take(whole / SIDE) {
            let mut square = [[0u32; SIDE]; SIDE];
            for (square, row) in square.iter_mut().zip(rows) {
                square.copy_from_slice(&row[step * SIDE..][..SIDE]);
            }
            for (k, out) in out.chunks_exact_mut(width).enumerate() {
                let column: [u32; SIDE] = std::array::from_fn(|i| square[i][k]);
                out[lane..][..SIDE].copy_from_slice(&column);
            }
        }
        lane += SIDE;
    }
    for i in 0..lanes {
        let from = if i < lane { whole } else { 0 };
        for (k, &v) in rows[i * stride..].iter().enumerate().take(depth).skip(from) {
            panel[k * width + i] = v;
        }
    }
}
