//! Products of activations of 8 bits where vectors have 16 bytes.

use super::bytes::{ByteSource, block, quantise};
use super::source::{Every, Source};
use crate::cpu::Threads;
use crate::cpu::gemm::epilogue::{Epilogue, finish};
use crate::cpu::simd::codes::{ByteLine, ByteRow, Layout, STEP, byte_dot, byte_shift};

/// `out = epilogue(x · Wᵀ)`, row by row of x; groups are made of whole blocks.
pub fn product(threads: &Threads, x: &[f32], source: &Source, epilogue: &Epilogue, out: &mut [f32]) -> bool {
    let (n, k, level, groups) = (source.rows, source.cols, threads.level(), source.groups());
    let Some(block) = block(source) else { return false };
    let bytes = ByteSource::new(source, f32::from(byte_shift(source.bits, source.palette())));
    let layout = Layout::new(source.bits);
    let group = if groups > 1 { source.group } else { k.next_multiple_of(STEP) };
    let (padded, blocks) = (k.next_multiple_of(STEP), k.div_ceil(block));
    let (mut values, mut x_scales, mut sums) = (vec![0i8; padded], vec![0f32; blocks], vec![0f32; blocks]);
    for (index, (x, out)) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)).enumerate() {
        quantise(level, x, block, &mut values[..k], &mut x_scales, &mut sums);
        let mut x_sums = vec![0f32; groups];
        for (i, (scale, sum)) in x_scales.iter().zip(&sums).enumerate() {
            x_sums[i * block / group] += scale * sum;
        }
        let line = ByteLine { values: &values, scales: &x_scales, block };
        let share = if threads.count() == 1 { n } else { n.div_ceil(4 * threads.count()) };
        threads.for_chunks(out, share, |part, out| {
            let (mut scales, mut offsets) = (vec![0f32; groups], vec![0f32; groups]);
            for (i, out) in out.iter_mut().enumerate() {
                let row = part * share + i;
                bytes.params(level, Every { first: row, count: 1, step: 1 }, groups, &mut scales, &mut offsets);
                let table = bytes.lookup.then(|| bytes.table(row));
                let codes = ByteRow { codes: source.codes_from(row), layout: &layout, table, scales: &scales, group };
                *out = byte_dot(&codes, &line);
                *out += x_sums.iter().zip(&offsets).map(|(x, offset)| x * offset).sum::<f32>();
            }
            finish(level, out, index, part * share, n, epilogue);
        });
    }
    true
}
