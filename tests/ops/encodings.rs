//! Random weights in every encoding.

use super::*;
#[cfg(feature = "full")]
use fewbit::weights::{Blocks, Elastic};
use fewbit::weights::{Codebook, Dual, KQuant, Scale, Sparse, tables};

/// Every encoding that a matrix `[rows, cols]` can have, with its name.
pub fn encodings(rows: usize, cols: usize, seed: u64) -> Vec<(String, Encoded)> {
    let mut all = Vec::new();
    for bits in [1, 2, 3, 4, 6, 8] {
        all.push(palette(rows, cols, bits, rows.max(1), false, seed));
        all.push(palette(rows, cols, bits, 3, true, seed + 1));
    }
    for (bits, dim) in [(2, 2), (8, 4)] {
        all.push(vectors(rows, cols, bits, dim, seed));
    }
    all.push(grouped(rows, cols, &tables::NF4, 64, DType::F32, seed));
    all.push(grouped(rows, cols, &tables::E2M1, 32, DType::U8, seed));
    all.push(grouped(rows, cols, &tables::IQ4_NL, 32, DType::F16, seed));
    for bits in [2, 3, 4, 5, 6, 8] {
        for (group, zeros) in [(32, true), (8, false), (7, true), (cols.max(1), false)] {
            all.push(affine(rows, cols, bits, group, zeros, seed));
        }
    }
    all.push(offset(rows, cols, 4, 32, DType::F32, seed));
    all.push(offset(rows, cols, 3, 12, DType::F16, seed));
    for (bits, group, scale_bits, minima) in
        [(2, 16, 4, true), (3, 16, 6, false), (4, 32, 6, true), (5, 32, 6, true), (6, 16, 8, false)]
    {
        all.push(kquant(rows, cols, [bits, group, scale_bits], minima, seed));
    }
    for (count, bits, group) in [(2, 8, 8), (1, 16, 8), (3, 8, 16)] {
        all.push(codebook(rows, cols, count, bits, group, seed));
    }
    all.push(dual(rows, cols, 32, seed));
    #[cfg(feature = "full")]
    for precision in ["2", "4", "3:layer", "5:sym", "7:sym:layer", "7", "8"] {
        all.push(elastic(rows, cols, seed).at(precision.parse().unwrap()).unwrap().into());
    }
    all.push(halves(rows, cols, seed));
    #[cfg(feature = "full")]
    {
        all.push(sparse(rows, cols, false, seed, |width| halves(rows, width, seed)));
        all.push(sparse(rows, cols, false, seed, |width| palette(rows, width, 3, rows.max(1), true, seed)));
        all.push(sparse(rows, cols, true, seed, |width| affine(rows, width, 4, 32, true, seed)));
    }
    named(all)
}

/// Forms of them that are left out of most tests, because each takes a GPU pipelines of its own.
pub fn rare_encodings(rows: usize, cols: usize, seed: u64) -> Vec<(String, Encoded)> {
    let mut all = Vec::new();
    for (bits, dim) in [(1, 2), (3, 4), (4, 2), (6, 4)] {
        all.push(vectors(rows, cols, bits, dim, seed));
    }
    for bits in [1, 2, 3, 4, 6, 8] {
        all.push(palette(rows, cols, bits, rows.max(1), true, seed));
        all.push(palette(rows, cols, bits, 16, false, seed));
    }
    all.push(grouped(rows, cols, &tables::FP4, 64, DType::F32, seed));
    all.push(grouped(rows, cols, &tables::NF4, 128, DType::F16, seed));
    for bits in [2, 5, 6, 8] {
        all.push(offset(rows, cols, bits, 64, DType::F16, seed));
    }
    all.push(offset(rows, cols, 4, 16, DType::F16, seed));
    #[cfg(feature = "full")]
    {
        all.push(sparse(rows, cols, false, seed, |width| vectors(rows, width, 4, 2, seed)));
        all.push(sparse(rows, cols, true, seed, |width| kquant(rows, width, [3, 16, 6], false, seed)));
        all.push(sparse(rows, cols, true, seed, |width| codebook(rows, width, 2, 8, 8, seed)));
        all.push(sparse(rows, cols, false, seed, |width| dual(rows, width, 32, seed)));
    }
    named(all)
}

/// Those that run on the CPU alone: codes and groups that do not fit runs of eight columns.
pub fn odd_encodings(rows: usize, cols: usize, seed: u64) -> Vec<(String, Encoded)> {
    let table = grouped(rows, cols, &tables::IQ4_NL, 5, DType::F16, seed);
    let mut odd = vec![table, codebook(rows, cols, 2, 5, 4, seed), dual(rows, cols, 9, seed)];
    #[cfg(feature = "full")]
    {
        odd.push(elastic(rows, cols, seed).into());
        odd.push(blocks([rows, cols], [2, 8], cols.div_ceil(16), seed, |width| halves(rows, width, seed)));
        odd.push(blocks([rows, cols], [1, 5], 3, seed, |width| affine(rows, width, 4, 32, true, seed)));
    }
    odd.push(sparse(rows, cols, false, seed, |width| codebook(rows, width, 2, 5, 4, seed)));
    odd.push(sparse(rows, cols, true, seed, |width| palette(rows, width, 4, 3, false, seed)));
    odd.push(sparse(rows, cols, true, seed, |width| grouped(rows, width, &tables::NF4, 64, DType::F16, seed)));
    named(odd)
}

fn named(all: Vec<Encoded>) -> Vec<(String, Encoded)> {
    all.into_iter().map(|e| (format!("{} {:?}", e.as_encoding().name(), e.shape()), e)).collect()
}

/// Random codes of `width` ≤ 16 bits.
fn codes(random: &mut Random, rows: usize, cols: usize, width: u32) -> Tensor {
    let stride = (cols * width as usize).div_ceil(32) * 4;
    let mut bytes = vec![0u8; rows * stride];
    for row in bytes.chunks_exact_mut(stride.max(1)) {
        for i in 0..cols {
            let code = random.below(1 << width);
            for bit in (0..width as usize).filter(|b| code >> b & 1 == 1) {
                let at = i * width as usize + bit;
                row[at / 8] |= 1 << (at % 8);
            }
        }
    }
    Tensor::new([rows, stride], &bytes).unwrap()
}

/// Factors between ⅛ and ¼, of a type that scales may have.
fn factors(random: &mut Random, shape: &[usize], dtype: DType) -> Tensor {
    let count = shape.iter().product();
    let values: Vec<f32> = random.values(count).into_iter().map(|v| (v.abs() + 1.0) / 8.0).collect();
    match dtype {
        DType::F32 => Tensor::new(shape, &values).unwrap(),
        DType::F16 => Tensor::new(shape, &values.into_iter().map(f16::from_f32).collect::<Vec<_>>()).unwrap(),
        _ => Tensor::new(shape, &values.iter().map(|v| 123 + (v * 16.0) as u8).collect::<Vec<_>>()).unwrap(),
    }
}

pub fn halves(rows: usize, cols: usize, seed: u64) -> Encoded {
    let padded = cols.next_multiple_of(2);
    let values: Vec<f16> = Random::new(seed).values(rows * padded).into_iter().map(f16::from_f32).collect();
    let values = Tensor::new([rows, padded], &values).unwrap();
    HalfFloat::new(vec![rows, cols], values).unwrap().into()
}

pub fn palette(rows: usize, cols: usize, bits: u32, per_table: usize, scaled: bool, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let codes = codes(&mut random, rows, cols, bits);
    let table = random.tensor(&[rows.div_ceil(per_table), 1 << bits]);
    let scale = scaled.then(|| random.tensor(&[rows]));
    Palette::new(vec![rows, cols], bits, per_table, codes, table, scale).unwrap().into()
}

/// A palette of vectors along the rows.
fn vectors(rows: usize, cols: usize, bits: u32, dim: usize, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let codes = codes(&mut random, rows.div_ceil(dim), cols, bits);
    let per_table = 2 * dim;
    let table = random.tensor(&[rows.div_ceil(per_table), 1 << bits, dim]);
    Palette::with(vec![rows, cols], bits, per_table, dim, codes, table, None).unwrap().into()
}

/// A fixed table with a factor per group of columns.
fn grouped(rows: usize, cols: usize, table: &[f32; 16], group: usize, dtype: DType, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let codes = codes(&mut random, rows, cols, 4);
    let values = factors(&mut random, &[rows, cols.div_ceil(group)], dtype);
    let table = Tensor::new([usize::from(rows > 0), 16], &table[..16 * usize::from(rows > 0)]).unwrap();
    let scale = Some(Scale { group, values });
    Palette::with(vec![rows, cols], 4, rows.max(1), 1, codes, table, scale).unwrap().into()
}

pub fn affine(rows: usize, cols: usize, bits: u32, group: usize, zeros: bool, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let codes = codes(&mut random, rows, cols, bits);
    let groups = cols.div_ceil(group);
    let scales: Vec<f16> = random.values(rows * groups).into_iter().map(|v| f16::from_f32(v / 8.0)).collect();
    let scales = Tensor::new([rows, groups], &scales).unwrap();
    let zeros: Option<Vec<u8>> = zeros.then(|| (0..rows * groups).map(|_| random.below(1 << bits) as u8).collect());
    let zero = zeros.map_or(Zero::Middle, |z| Zero::PerGroup(Tensor::new([rows, groups], &z).unwrap()));
    Affine::new(vec![rows, cols], bits, group, codes, scales, zero).unwrap().into()
}

/// Affine groups with offsets instead of zero points.
fn offset(rows: usize, cols: usize, bits: u32, group: usize, dtype: DType, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let codes = codes(&mut random, rows, cols, bits);
    let shape = [rows, cols.div_ceil(group)];
    let scales = factors(&mut random, &shape, dtype);
    let offsets = factors(&mut random, &shape, dtype);
    Affine::new(vec![rows, cols], bits, group, codes, scales, Zero::Offset(offsets)).unwrap().into()
}

fn kquant(rows: usize, cols: usize, sizes: [usize; 3], minima: bool, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let [bits, group, scale_bits] = sizes;
    let per_group = if minima { 2 } else { 1 };
    let scales = codes(&mut random, rows, cols.div_ceil(group) * per_group, scale_bits as u32);
    let codes = codes(&mut random, rows, cols, bits as u32);
    let supers = cols.div_ceil(256);
    let shape = [rows, supers, 2];
    let supers = factors(&mut random, if minima { &shape } else { &shape[..2] }, DType::F16);
    KQuant::new(vec![rows, cols], sizes, minima, codes, scales, supers).unwrap().into()
}

fn codebook(rows: usize, cols: usize, count: usize, bits: usize, group: usize, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let codes = codes(&mut random, rows, cols.div_ceil(group) * count, bits as u32);
    let books = halved(&random.tensor(&[count, 1 << bits, group]));
    let scales = factors(&mut random, &[rows], DType::F32);
    Codebook::new(vec![rows, cols], bits, group, codes, books, scales).unwrap().into()
}

fn dual(rows: usize, cols: usize, group: usize, seed: u64) -> Encoded {
    let mut random = Random::new(seed);
    let codes = codes(&mut random, rows, cols, 4);
    let groups = cols.div_ceil(group);
    let pair = |random: &mut Random| [1 + random.below(8) as u8, random.below(16) as u8];
    let grid: Vec<u8> = (0..rows * groups).flat_map(|_| pair(&mut random)).collect();
    let channel = factors(&mut random, &[rows], DType::F32);
    Dual::new(vec![rows, cols], group, codes, Tensor::new([rows, groups, 2], &grid).unwrap(), channel).unwrap().into()
}

/// Half of the weights are there, or two of every four at most; `values` makes the matrix of so many columns.
fn sparse(rows: usize, cols: usize, two_of_four: bool, seed: u64, values: impl Fn(usize) -> Encoded) -> Encoded {
    let mask = codes(&mut Random::new(seed + 2), rows, cols, 1);
    masked([rows, cols], &mask, two_of_four, values)
}

/// Row `i` has `shares[i]` of its weights, in sixteenths, then from the first again.
pub fn sparse_rows(shape: [usize; 2], shares: &[usize], seed: u64, values: impl Fn(usize) -> Encoded) -> Encoded {
    let [rows, cols] = shape;
    let mut random = Random::new(seed);
    let stride = cols.div_ceil(32) * 4;
    let mut mask = vec![0u8; rows * stride];
    for (row, share) in mask.chunks_exact_mut(stride.max(1)).zip(shares.iter().cycle()) {
        (0..cols).filter(|_| random.below(16) < *share).for_each(|col| row[col / 8] |= 1 << (col % 8));
    }
    masked(shape, &Tensor::new([rows, stride], &mask).unwrap(), false, values)
}

/// Two of every four neighbours along a row are there, any two; `cols` is a multiple of 4.
pub fn pairs(rows: usize, cols: usize, seed: u64, values: impl Fn(usize) -> Encoded) -> Encoded {
    let mut random = Random::new(seed);
    let stride = cols.div_ceil(32) * 4;
    let mut mask = vec![0u8; rows * stride];
    for row in mask.chunks_exact_mut(stride.max(1)) {
        for quad in 0..cols / 4 {
            let pair = [0b0011, 0b0101, 0b1001, 0b0110, 0b1010, 0b1100u8][random.below(6)];
            row[quad / 2] |= pair << (4 * (quad % 2));
        }
    }
    masked([rows, cols], &Tensor::new([rows, stride], &mask).unwrap(), true, values)
}

/// Sparse weights with values anywhere, rows with none and with all among them, and in pairs.
pub fn sparse_encodings(rows: usize, cols: usize, seed: u64) -> Vec<(String, Encoded)> {
    let shares = [4, 0, 16, 7];
    named(vec![
        sparse_rows([rows, cols], &shares, seed, |width| halves(rows, width, seed)),
        sparse_rows([rows, cols], &shares, seed, |width| palette(rows, width, 3, rows.max(1), true, seed)),
        pairs(rows, cols, seed, |width| halves(rows, width, seed)),
        pairs(rows, cols, seed, |width| affine(rows, width, 4, 32, true, seed)),
    ])
}

/// Of a random mask, at most two of every four if so said.
fn masked([rows, cols]: [usize; 2], mask: &Tensor, two_of_four: bool, values: impl Fn(usize) -> Encoded) -> Encoded {
    let (stride, mut bytes) = (mask.shape()[1], mask.bytes().to_vec());
    let fewer = |quad: u8| if quad.count_ones() > 2 { quad & 0b0110 } else { quad };
    if two_of_four {
        bytes.iter_mut().for_each(|byte| *byte = fewer(*byte & 15) | fewer(*byte >> 4) << 4);
    }
    let ones = |row: &[u8]| row.iter().map(|byte| byte.count_ones() as usize).sum();
    let width = bytes.chunks(stride.max(1)).map(ones).max().unwrap_or(0);
    let mask = Tensor::new([rows, stride], &bytes).unwrap();
    Sparse::new(vec![rows, cols], mask, Arc::new(values(width)), two_of_four).unwrap().into()
}

/// `count` blocks in each row of blocks, or as many as there are.
#[cfg(feature = "full")]
pub fn blocks(
    [rows, cols]: [usize; 2],
    size: [usize; 2],
    count: usize,
    seed: u64,
    values: impl Fn(usize) -> Encoded,
) -> Encoded {
    let mut random = Random::new(seed);
    let (high, across) = (rows.div_ceil(size[0]), cols.div_ceil(size[1]));
    let count = count.min(across);
    let mut index: Vec<u16> = Vec::new();
    for _ in 0..high {
        let mut all: Vec<u16> = (0..across as u16).collect();
        let mut picked: Vec<u16> = (0..count).map(|_| all.remove(random.below(all.len()))).collect();
        picked.sort_unstable();
        index.extend(picked);
    }
    let index = Tensor::new([high, count], &index).unwrap();
    Blocks::new(vec![rows, cols], size, index, Arc::new(values(count * size[1]))).unwrap().into()
}

/// Steps and offsets differ per row and form.
#[cfg(feature = "full")]
fn elastic(rows: usize, cols: usize, seed: u64) -> Elastic {
    let mut random = Random::new(seed);
    let padded = cols.next_multiple_of(2);
    let values: Vec<f16> = random.values(rows * padded).into_iter().map(f16::from_f32).collect();
    let values = Tensor::new([rows, padded], &values).unwrap();
    let mut table = |steps: usize| {
        let pair = |random: &mut Random, bits: i32| {
            let noise = random.values(2);
            [(noise[0].abs() + 1.0) / 2f32.powi(bits), noise[1] / 4.0 - 0.5]
        };
        let pairs: Vec<[f32; 2]> =
            (0..steps).flat_map(|_| (2..=8).map(|bits| pair(&mut random, bits)).collect::<Vec<_>>()).collect();
        Tensor::new([steps, 7, 2], pairs.as_flattened()).unwrap()
    };
    let tables = [table(rows), table(rows), table(1), table(1)];
    Elastic::new(vec![rows, cols], values, tables).unwrap()
}
