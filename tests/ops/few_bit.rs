//! Few-bit weights of all widths, groups, tables and scales that kernels tell apart, and their products with random
//! rows, against the scalar definition of each encoding multiplied in f64. Errors are measured in what causes them:
//! Σ|w·x| for f32, the steps of integers for activations of 8 bits.

use super::*;
use fewbit::cpu::Threads;
use fewbit::cpu::simd::Level;
use fewbit::tensor::bits;
use fewbit::weights::{Dual, KQuant, Scale};

fn codes(random: &mut Random, rows: usize, cols: usize, width: u32) -> Tensor {
    let stride = (cols * width as usize).div_ceil(32) * 4;
    let mut bytes = vec![0u8; rows * stride];
    for row in 0..rows {
        let codes: Vec<u8> = (0..cols).map(|_| random.below(1 << width) as u8).collect();
        let packed = bits::pack(&codes, width);
        bytes[row * stride..][..packed.len()].copy_from_slice(&packed);
    }
    raw(DType::U8, &[rows, stride], &bytes)
}

fn raw(dtype: DType, shape: &[usize], bytes: &[u8]) -> Tensor {
    Tensor::from_bytes(TensorType::new(dtype, shape.to_vec()), bytes).unwrap()
}

/// Factors of one of the stored types, some of them negative where the type can be.
fn factors(random: &mut Random, dtype: DType, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    match dtype {
        DType::U8 => raw(dtype, shape, &(0..count).map(|_| 120 + random.below(8) as u8).collect::<Vec<_>>()),
        DType::F16 => {
            Tensor::new(shape, &random.values(count).into_iter().map(f16::from_f32).collect::<Vec<_>>()).unwrap()
        }
        _ => Tensor::new(shape, &random.values(count)).unwrap(),
    }
}

pub fn palettes(rows: usize, cols: usize) -> Vec<Encoded> {
    let mut all = Vec::new();
    let mut random = Random::new(cols as u64);
    for bits in [1, 2, 3, 4, 6, 8] {
        for (per_table, dim) in [(usize::MAX, 1), (4, 1), (16, 1), (usize::MAX, 2), (8, 4), (64, 4), (3, 1)] {
            for scale in [
                None,
                Some((usize::MAX, DType::F32)),
                Some((32, DType::F16)),
                Some((64, DType::U8)),
                Some((24, DType::F32)),
            ] {
                let per_table = per_table.min(rows.next_multiple_of(4));
                let scale = scale.map(|(group, dtype)| {
                    let group = group.min(cols);
                    Scale { group, values: factors(&mut random, dtype, &[rows, cols.div_ceil(group)]) }
                });
                let tables = [rows.div_ceil(per_table), 1 << bits, dim];
                let table = random.tensor(if dim == 1 { &tables[..2] } else { &tables });
                let codes = codes(&mut random, rows.div_ceil(dim), cols, bits);
                all.push(Palette::with(vec![rows, cols], bits, per_table, dim, codes, table, scale).unwrap().into());
            }
        }
    }
    all
}

pub fn integers(rows: usize, cols: usize) -> Vec<Encoded> {
    let mut all: Vec<Encoded> = Vec::new();
    let mut random = Random::new(cols as u64 + 1);
    for bits in [2, 3, 4, 5, 6, 8] {
        for group in [7, 8, 16, 32, 48, 64, 96, 128, 256, cols] {
            for (zero, dtype) in [(0, DType::F16), (1, DType::F16), (1, DType::U8), (2, DType::F32), (2, DType::F16)] {
                let groups = cols.div_ceil(group);
                let scales = factors(&mut random, dtype, &[rows, groups]);
                let zero = match zero {
                    0 => Zero::Middle,
                    1 => {
                        let zeros: Vec<u8> = (0..rows * groups).map(|_| random.below(1 << bits) as u8).collect();
                        Zero::PerGroup(raw(DType::U8, &[rows, groups], &zeros))
                    }
                    _ => Zero::Offset(factors(&mut random, dtype, &[rows, groups])),
                };
                let codes = codes(&mut random, rows, cols, bits);
                all.push(Affine::new(vec![rows, cols], bits, group, codes, scales, zero).unwrap().into());
            }
        }
    }
    for (bits, group, scale_bits, minima) in
        [(2, 16, 4, true), (3, 16, 6, false), (4, 32, 6, true), (5, 32, 6, true), (6, 16, 8, false)]
    {
        let pairs = if minima { 2 } else { 1 };
        let supers = [rows, cols.div_ceil(256), pairs];
        let scales = codes(&mut random, rows, cols.div_ceil(group) * pairs, scale_bits as u32);
        let supers = factors(&mut random, DType::F16, if minima { &supers } else { &supers[..2] });
        let codes = codes(&mut random, rows, cols, bits as u32);
        all.push(
            KQuant::new(vec![rows, cols], [bits, group, scale_bits], minima, codes, scales, supers).unwrap().into(),
        );
    }
    let grid: Vec<u8> = (0..rows * cols.div_ceil(32)).flat_map(|i| [(i % 8) as u8, (i * 5 % 16) as u8]).collect();
    let grid = raw(DType::U8, &[rows, cols.div_ceil(32), 2], &grid);
    let codes = codes(&mut random, rows, cols, 4);
    all.push(Dual::new(vec![rows, cols], 32, codes, grid, random.tensor(&[rows])).unwrap().into());
    all
}

/// `x · Wᵀ` in f64, and how large an error may be.
pub struct Reference {
    pub product: Vec<f64>,
    /// 10⁻⁶ of Σ|w·x|. A weight that is the sum of two terms counts with the larger of them.
    exact: Vec<f64>,
    /// What rounding both sides to 127 steps of their largest values can add up to, and 10⁻⁶ of Σ|x·code·scale|,
    /// because zero points are taken from sums.
    pub rounded: Vec<f64>,
}

impl Reference {
    pub fn new(x: &[f32], weight: &Encoded) -> Self {
        let k = weight.cols();
        let dense = weight.to_dense().unwrap().to_f32().unwrap();
        let mut reference = Reference { product: vec![], exact: vec![], rounded: vec![] };
        for x in x.chunks(k) {
            let half_step = x.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs()))) / 254.0;
            for (row, w) in dense.chunks(k).enumerate() {
                let (mut sum, mut size, mut rounded, mut sums_of_codes) = (0.0, 0.0, 0.0, 0.0);
                for (i, (&x, &w)) in x.iter().zip(w).enumerate() {
                    let (x, w) = (f64::from(x), f64::from(w));
                    let integer =
                        |(scale, _, offset): (f32, f32, f32), bits: u32| (offset, 0.0, scale * 2f32.powi(bits as i32));
                    let (offset, step, range) = match weight {
                        Encoded::Affine(w) => integer(w.group_params(row, i / w.group()), w.bits()),
                        Encoded::KQuant(w) => integer(w.group_params(row, i / w.group()), w.bits()),
                        Encoded::Dual(w) => {
                            let scale = w.row_scale(row) * f32::from(w.group_params(row, i / w.group()).0);
                            integer((scale, 0.0, 0.0), 4)
                        }
                        Encoded::Palette(w) => {
                            let largest = w.row_table(row).iter().fold(0f32, |m, v| m.max(v.abs()));
                            (0.0, largest * w.scale_of(row, i).abs() / 254.0, 0.0)
                        }
                        _ => (0.0, 0.0, 0.0),
                    };
                    sum += x * w;
                    size += x.abs() * w.abs().max(f64::from(offset.abs()));
                    rounded += half_step * w.abs() + f64::from(step) * (x.abs() + half_step);
                    sums_of_codes += 1e-6 * x.abs() * f64::from(range.abs());
                }
                reference.product.push(sum);
                reference.exact.push(1e-6 * size);
                reference.rounded.push(rounded + sums_of_codes + 1e-6 * size);
            }
        }
        reference
    }
}

/// `m` rows of x on every instruction set, for each of these counts of threads.
pub fn check(weight: &Encoded, m: usize, counts: &[usize]) {
    let (n, k) = (weight.rows(), weight.cols());
    let x = Random::new((m * 31 + k) as u64).tensor(&[m, k]);
    let reference = Reference::new(&x.to_f32().unwrap(), weight);
    let case = |attributes: &[(&str, Attr)]| Case {
        name: format!("{} {m}×{k}×{n}", weight.as_encoding().name()),
        op: "fewbit.Linear",
        attrs: attrs(&[&[("transposed", Attr::Int(1))], attributes].concat()),
        inputs: vec![dense(&x), encoded(weight.clone())],
        expected: vec![],
    };
    let exact = (case(&[]), &reference.exact);
    let rounded = (case(&[("activations", Attr::String("int8".into()))]), &reference.rounded);
    for level in Level::available() {
        for &count in counts {
            let threads = Threads::new(count).unwrap().with_level(level).unwrap();
            for (case, bounds) in [&exact, &rounded] {
                let got = direct::run(case, &threads, false);
                assert_eq!(got.len(), reference.product.len());
                for (i, ((&got, want), bound)) in got.iter().zip(&reference.product).zip(*bounds).enumerate() {
                    let error = (f64::from(got) - want).abs();
                    assert!(
                        error <= *bound,
                        "{} on {}, {count} threads: element {i} is {got}, expected {want}, off by {error:.1e}, not {bound:.1e}",
                        case.name,
                        level.name()
                    );
                }
            }
        }
    }
}
