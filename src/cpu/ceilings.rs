//! What a device can do at most, measured: the rates that products are compared with (Williams et al. 2009, roofline).

use super::Threads;
use super::simd::fma_rate::multiply_add;
use crate::clock::now_ms;

/// Measured rates of a device.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Bytes per second that a copy larger than the caches reads and writes, both counted.
    pub copy: f64,
    /// Operations per second of f32 multiplications with addition in registers, two for each.
    pub multiply_add: f64,
}

/// Elements of the copied array: 128 MiB of f32, more than last-level caches hold.
const ELEMENTS: usize = 32 << 20;
const STEPS: usize = 4 << 20;
/// The best of so many; others on the machine only ever make one slower.
const RUNS: usize = 8;

/// Of the CPU with these threads and instructions.
pub fn measure(threads: &Threads) -> Ceilings {
    Ceilings { copy: copy(threads), multiply_add: multiply_adds(threads) }
}

fn copy(threads: &Threads) -> f64 {
    let source: Vec<f32> = (0..ELEMENTS).map(|i| i as f32).collect();
    let mut target = vec![0f32; ELEMENTS];
    let chunk = ELEMENTS.div_ceil(threads.count());
    let ms = best(|| {
        threads.for_chunks(&mut target, chunk, |i, part| part.copy_from_slice(&source[i * chunk..][..part.len()]));
        std::hint::black_box(&mut target);
    });
    (2 * 4 * ELEMENTS) as f64 / ms * 1e3
}

fn multiply_adds(threads: &Threads) -> f64 {
    // One block a thread: a thread that takes two would double the time.
    let mut sums = vec![0f32; threads.count()];
    let ms = best(|| {
        threads.for_chunks(&mut sums, 1, |_, sum| sum[0] = multiply_add(threads.level(), STEPS).1);
        std::hint::black_box(&mut sums);
    });
    let lanes = multiply_add(threads.level(), 0).0;
    (24 * lanes * STEPS * threads.count()) as f64 / ms * 1e3
}

/// The least milliseconds of several runs after a first.
fn best(mut work: impl FnMut() + Send) -> f64 {
    work();
    let times = (0..RUNS).map(|_| {
        let start = now_ms();
        work();
        now_ms() - start
    });
    times.fold(f64::INFINITY, f64::min)
}
