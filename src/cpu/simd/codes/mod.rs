//! Few-bit kernels for vectors of 16 bytes, which look up in 16 values: codes of any width become bytes, bytes become
//! floats.

#[cfg(not(target_arch = "wasm32"))]
mod bytes;
#[cfg(feature = "full")]
mod expand;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128"))))]
mod portable;
mod product;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(all(feature = "full", not(target_arch = "aarch64")))]
mod split;
mod spread;
mod vector;

#[cfg(not(target_arch = "wasm32"))]
pub use bytes::{ByteLine, ByteRow, shift as byte_shift};
pub use product::Row;
#[cfg(all(feature = "full", not(target_arch = "aarch64")))]
pub use split::{Line, needed};
pub use spread::{Layout, STEP};

#[cfg(target_arch = "aarch64")]
type Native = std::arch::aarch64::uint8x16_t;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
type Native = std::arch::wasm32::v128;
#[cfg(not(any(target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128"))))]
type Native = portable::Portable;

/// `Σ x · w`; `x` is padded with zeros to a multiple of `STEP`.
pub fn dot(row: &Row, x: &[f32]) -> f32 {
    // SAFETY: this module is compiled for processors that have the instructions of `Native`.
    unsafe {
        match row.planes {
            Some(_) => product::dot::<Native, true>(row, x),
            None => product::dot::<Native, false>(row, x),
        }
    }
}

/// `Σ x · w` of every row with every line. Rows have the same layout and group, no `planes`, and `needed` bytes of codes.
#[cfg(all(feature = "full", not(target_arch = "aarch64")))]
pub fn split_dots<const ROWS: usize, const LINES: usize>(
    rows: [&Row; ROWS],
    lines: [&Line; LINES],
) -> [[f32; LINES]; ROWS] {
    // SAFETY: as above.
    unsafe { split::dots::<Native, ROWS, LINES>(rows, lines) }
}

/// `Σ x · w` with activations of 8 bits.
#[cfg(not(target_arch = "wasm32"))]
pub fn byte_dot(row: &ByteRow, x: &ByteLine) -> f32 {
    #[cfg(target_arch = "aarch64")]
    {
        #[target_feature(enable = "neon,dotprod")]
        fn fast(row: &ByteRow, x: &ByteLine) -> f32 {
            // SAFETY: this function has the features.
            unsafe {
                match row.table {
                    Some(_) => bytes::dot::<Native, true, true>(row, x),
                    None => bytes::dot::<Native, false, true>(row, x),
                }
            }
        }
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            // SAFETY: the processor has it.
            return unsafe { fast(row, x) };
        }
    }
    // SAFETY: as above.
    unsafe {
        match row.table {
            Some(_) => bytes::dot::<Native, true, false>(row, x),
            None => bytes::dot::<Native, false, false>(row, x),
        }
    }
}

/// `out[i]` = code `i` of the LSB-first stream `bytes`, which starts at a whole byte; 1 to 8 `bits`. Codes past the end
/// are 0.
pub fn unpack(bytes: &[u8], bits: usize, out: &mut [u8]) {
    // SAFETY: as above.
    unsafe { product::unpack::<Native>(bytes, &Layout::new(bits), out) }
}

/// `out[c]` = the next value where bit `c` of the mask, LSB-first, is 1, else 0; behind the last value there are four more.
#[cfg(feature = "full")]
pub fn expand(mask: &[u8], values: &[f32], out: &mut [f32]) {
    // SAFETY: as above.
    unsafe { expand::expand::<Native>(mask, values, out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::bits;

    fn codes(width: usize, len: usize) -> (Vec<u8>, Vec<u8>) {
        let codes: Vec<u8> = (0..len).map(|i| ((i * 37 + i / 7 + 11) % (1 << width)) as u8).collect();
        let packed = bits::pack(&codes, width as u32);
        (codes, packed)
    }

    #[test]
    fn codes_come_out_as_they_went_in() {
        for width in 1..=8 {
            for len in [0, 1, 7, 8, 9, 31, 32, 33, 64, 200] {
                let (codes, packed) = codes(width, len);
                let mut out = vec![0xff; len];
                unpack(&packed, width, &mut out);
                assert_eq!(out, codes, "{width} bits");
            }
        }
    }

    /// Values with all bits of a float in use, groups and ragged ends, against f64.
    #[test]
    fn rows_are_multiplied() {
        for width in 1..=8 {
            for (len, group) in [(1, 32), (32, 32), (33, 32), (100, 64), (257, 288), (320, 32)] {
                let (codes, packed) = codes(width, len);
                let layout = Layout::new(width);
                let groups = len.div_ceil(group);
                let table: Vec<f32> = (0..16).map(|i| (i as f32 * 0.7 + 0.1).sin()).collect();
                let planes = super::super::table::planes(&table);
                let scales: Vec<f32> = (0..groups).map(|g| 0.3 + g as f32).collect();
                let shifts: Vec<f32> = (0..groups).map(|g| -((g * 51 % 256) as f32)).collect();
                let mut x: Vec<f32> = (0..len).map(|i| (i as f32).cos()).collect();
                for planes in [Some(&planes).filter(|_| width <= 4), None] {
                    let (mut want, mut size) = (0f64, 0f64);
                    for (i, (&code, &x)) in codes.iter().zip(&x).enumerate() {
                        let value = match planes {
                            Some(_) => f64::from(table[usize::from(code)]),
                            None => f64::from(code) + f64::from(shifts[i / group]),
                        };
                        let term = value * f64::from(scales[i / group]) * f64::from(x);
                        want += term;
                        size += term.abs();
                    }
                    x.resize(len.next_multiple_of(STEP), 0.0);
                    let row = Row { codes: &packed, layout: &layout, planes, scales: &scales, shifts: &shifts, group };
                    let got = f64::from(dot(&row, &x));
                    assert!((got - want).abs() <= 1e-6 * size, "{width} bits, {len} codes: {got}, not {want}");
                    x.truncate(len);
                }
            }
        }
    }

    /// Two rows with two lines, whose elements differ by powers of two, against f64.
    #[test]
    #[cfg(all(feature = "full", not(target_arch = "aarch64")))]
    fn rows_are_multiplied_in_halves() {
        for width in 1..=8 {
            for (len, group) in [(1, 32), (32, 32), (33, 32), (100, 64), (257, 288), (320, 32)] {
                let mut packed = [codes(width, len), codes(width, len + 5)];
                packed
                    .iter_mut()
                    .for_each(|(_, bytes)| bytes.resize(needed(&Layout::new(width), len.div_ceil(STEP)), 0xff));
                let layout = Layout::new(width);
                let groups = len.div_ceil(group);
                let scales: Vec<f32> = (0..groups).map(|g| 0.3 + g as f32).collect();
                let shifts: Vec<f32> = (0..groups).map(|g| -((g * 51 % 256) as f32)).collect();
                let row = |i: usize| Row {
                    codes: &packed[i].1,
                    layout: &layout,
                    planes: None,
                    scales: &scales,
                    shifts: &shifts,
                    group,
                };
                let x = [1.0, 1e-30f32].map(|size| {
                    (0..len).map(|i| size * (i as f32).cos() * 2f32.powi(i as i32 % 9)).collect::<Vec<f32>>()
                });
                let lines = [0, 1].map(|i| Line::new(&x[i], &layout).unwrap());
                let got = split_dots([&row(0), &row(1)], [&lines[0], &lines[1]]);
                for (r, (codes, _)) in packed.iter().enumerate() {
                    for (l, x) in x.iter().enumerate() {
                        let (mut want, mut size) = (0f64, 0f64);
                        for (i, (&code, &x)) in codes.iter().zip(x).enumerate() {
                            let value = f64::from(code) + f64::from(shifts[i / group]);
                            let term = value * f64::from(scales[i / group]) * f64::from(x);
                            want += term;
                            size += term.abs();
                        }
                        let got = f64::from(got[r][l]);
                        assert!((got - want).abs() <= 1e-6 * size, "{width} bits, {len} codes: {got}, not {want}");
                        let alone = split_dots([&row(r)], [&lines[l]])[0][0];
                        assert!(f64::from(alone) == got);
                    }
                }
                assert!(Line::new(&[1.0, f32::NAN], &layout).is_none());
                assert!(Line::new(&[f32::INFINITY], &layout).is_none());
            }
        }
    }

    /// Integers at their limits, groups of one or more blocks and ragged ends, against f64.
    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn rows_of_bytes_are_multiplied() {
        for width in 1..=8 {
            for (len, group, block) in
                [(1, 32, 32), (32, 32, 32), (33, 32, 32), (100, 64, 64), (500, 256, 128), (320, 96, 96)]
            {
                let (codes, packed) = codes(width, len);
                let layout = Layout::new(width);
                let table: [u8; 16] = std::array::from_fn(|i| (1 + i * 73 % 255) as u8);
                let scales: Vec<f32> = (0..len.div_ceil(group)).map(|g| 0.3 + g as f32).collect();
                let x_scales: Vec<f32> = (0..len.div_ceil(block)).map(|b| 1.0 + 0.7 * b as f32).collect();
                let mut values: Vec<i8> = (0..len).map(|i| (i * 91 % 255) as i8).map(|x| x.max(-127)).collect();
                for table in [Some(&table).filter(|_| width <= 4), None] {
                    let (mut want, mut size) = (0f64, 0f64);
                    for (i, (&code, &x)) in codes.iter().zip(&values).enumerate() {
                        let byte = table.map_or(code, |table| table[usize::from(code)]);
                        let byte = f64::from(byte) - f64::from(byte_shift(width, table.is_some()));
                        let term = byte * f64::from(scales[i / group]) * f64::from(x) * f64::from(x_scales[i / block]);
                        want += term;
                        size += term.abs();
                    }
                    values.resize(len.next_multiple_of(STEP), 0);
                    let row = ByteRow { codes: &packed, layout: &layout, table, scales: &scales, group };
                    let got = f64::from(byte_dot(&row, &ByteLine { values: &values, scales: &x_scales, block }));
                    assert!((got - want).abs() <= 1e-6 * size, "{width} bits, {len} codes: {got}, not {want}");
                    values.truncate(len);
                }
            }
        }
    }
}
