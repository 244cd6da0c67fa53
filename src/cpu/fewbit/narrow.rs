//! Products where vectors have 16 bytes: each row of the weight with each row of x, codes in the order of the stream.

use super::activations::Activations;
use super::source::{Every, Extras, Source, center};
use super::sums::group_sums;
use crate::cpu::Threads;
use crate::cpu::gemm::epilogue::{Epilogue, finish};
use crate::cpu::simd::codes::{Layout, Row, STEP, dot};
use crate::cpu::simd::decoding::Decoding;
use crate::cpu::simd::table::planes;

/// From more rows of x on a packed product is quicker: it decodes a weight once.
const FEW_ROWS: usize = 4;

/// `out = epilogue(x · Wᵀ)` for `m` rows of x; `false` where a packed product is better or no kernel takes this weight,
/// and nothing was done. In browsers activations are used as they are: the download would grow.
pub fn product(
    threads: &Threads,
    x: &[f32],
    m: usize,
    source: &Source,
    activations: Activations,
    epilogue: &Epilogue,
    out: &mut [f32],
) -> bool {
    let (n, k) = (source.rows, source.cols);
    let regular = source.groups() <= 1 || source.group.is_multiple_of(STEP);
    if m > FEW_ROWS || k == 0 || n == 0 || !regular {
        return false;
    }
    #[cfg(target_arch = "aarch64")]
    if activations == Activations::Int8 && super::narrow_bytes::product(threads, x, source, epilogue, out) {
        return true;
    }
    let _ = activations;
    #[cfg(all(target_arch = "wasm32", feature = "full"))]
    if super::split_rows::product(threads.level(), x, source, epilogue, out) {
        return true;
    }
    let kernel = Kernel::new(source);
    for (i, (x, out)) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)).enumerate() {
        kernel.row(threads, i, x, epilogue, out);
    }
    true
}

/// What all rows of a weight have in common.
struct Kernel<'a> {
    source: &'a Source<'a>,
    layout: Layout,
    /// Of all tables; none for integers.
    planes: Vec<[[u8; 16]; 4]>,
}

impl<'a> Kernel<'a> {
    fn new(source: &'a Source<'a>) -> Self {
        let lookup = source.decoding == Decoding::Lookup;
        let tables = if lookup { &source.tables[..] } else { &[] };
        Kernel { source, layout: Layout::new(source.bits), planes: tables.iter().map(|t| planes(t)).collect() }
    }

    /// Row `index` of the product.
    fn row(&self, threads: &Threads, index: usize, x: &[f32], epilogue: &Epilogue, out: &mut [f32]) {
        let (source, level, n) = (self.source, threads.level(), out.len());
        let groups = source.groups();
        let mut padded = x.to_vec();
        padded.resize(x.len().next_multiple_of(STEP), 0.0);
        let group = if groups > 1 { source.group } else { padded.len() };
        let x_sums: Vec<f32> = match source.extras {
            Extras::Offsets => group_sums(x, source.group).collect(),
            _ => Vec::new(),
        };
        let share = if threads.count() == 1 { n } else { n.div_ceil(4 * threads.count()) };
        threads.for_chunks(out, share, |part, out| {
            let (mut scales, mut extras) = (vec![0f32; groups], vec![0f32; groups]);
            let middle = vec![-center(source.bits); groups];
            for (i, out) in out.iter_mut().enumerate() {
                let row = part * share + i;
                let every = Every { first: row, count: 1, step: 1 };
                source.params(level, every, 0..groups, groups, &mut scales, &mut extras);
                let codes = Row {
                    codes: source.codes_from(row),
                    layout: &self.layout,
                    planes: self.planes.get(source.table_index(row)),
                    scales: &scales,
                    shifts: if source.extras == Extras::Zeros { &extras } else { &middle },
                    group,
                };
                *out = dot(&codes, &padded);
                *out += x_sums.iter().zip(&extras).map(|(x, offset)| x * offset).sum::<f32>();
            }
            finish(level, out, index, part * share, n, epilogue);
        });
    }
}
