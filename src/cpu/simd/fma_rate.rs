//! As many multiplications with addition as the processor can do: what products are measured against.

use super::Level;
use super::unroll::unroll;

/// Independent sums: more than any processor's pipelines times their latency, and still in registers.
const SUMS: usize = 12;

/// Multiplies and adds `steps` times in each lane of 12 vectors: `(lanes, a sum that depends on all)`. One step is
/// `24 · lanes` operations.
pub fn multiply_add(level: Level, steps: usize) -> (usize, f32) {
    match level {
        // SAFETY: `Level::available` found the instructions before anybody could hold the value.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => (16, unsafe { x86::avx512(steps) }),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => (8, unsafe { x86::avx2(steps) }),
        _ => (4, plain(steps)),
    }
}

/// Four lanes of plain Rust, which every processor with vectors has.
fn plain(steps: usize) -> f32 {
    let (x, y) = (std::hint::black_box([0.7f32; 4]), std::hint::black_box([0.3f32; 4]));
    let mut sums = [[0.5f32; 4]; SUMS];
    for _ in 0..steps {
        unroll!(i in SUMS, 12 => {
            sums[i] = std::array::from_fn(|lane| super::fma::<{ super::NATIVE_FMA }>(sums[i][lane], x[lane], y[lane]));
        });
    }
    sums.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::lanes::{Avx2, Avx512, Lanes};
    use super::super::unroll::unroll;
    use super::SUMS;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub fn avx512(steps: usize) -> f32 {
        // SAFETY: compiled for the instruction set.
        unsafe { body::<Avx512>(steps) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2(steps: usize) -> f32 {
        // SAFETY: compiled for the instruction set.
        unsafe { body::<Avx2>(steps) }
    }

    /// # Safety
    /// Inlined into a function that is compiled for the instruction set.
    #[inline(always)]
    unsafe fn body<L: Lanes>(steps: usize) -> f32 {
        // SAFETY: the caller's; nothing here touches memory.
        unsafe {
            let (x, y) = (L::splat(std::hint::black_box(0.7)), L::splat(std::hint::black_box(0.3)));
            let mut sums = [L::splat(0.5); SUMS];
            for _ in 0..steps {
                unroll!(i in SUMS, 12 => { sums[i] = L::fma(sums[i], x, y); });
            }
            sums.into_iter().fold(0.0, |total, sum| total + L::sum(sum))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `v ← 0.7·v + 0.3` from 0.5 comes to 1 − 0.5·0.7ⁿ, in every lane of every level.
    #[test]
    fn every_lane_is_computed() {
        for level in Level::available() {
            let (lanes, sum) = multiply_add(level, 3);
            let each = 1.0 - 0.5 * 0.7f32.powi(3);
            assert!((sum / (SUMS * lanes) as f32 - each).abs() < 1e-5, "{level:?}: {sum}");
        }
    }
}
