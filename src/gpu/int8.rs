//! Products with activations of 8 bits: x is rounded on the device, then multiplied four integers at a time. Shaders:
//! `shaders/quantize_blocks.wgsl`, `matvec_int8.wgsl`, `gemm_int8.wgsl`; CPU twin: `cpu/fewbit/byte_products.rs`.

use super::decode::Coded;
use super::emit::{Emit, Operand, grid, u32_of};
use super::epilogue::Epilogue;
use super::product::{Operands, Product};
use super::shader::{gemm_int8, matvec_int8, quantize_blocks};
use crate::Result;

/// Elements of x with one scale.
const BLOCK: usize = 32;

/// Rows and columns of a workgroup of `gemm_int8`.
const TILE: [usize; 2] = [32, 64];

/// Parts into which a workgroup of `matvec_int8` may split a column.
pub const SPLITS: [u32; 2] = [8, 16];

/// Whether the kernels can take this weight, which `byte_coded` gave.
pub fn suits(weight: &Coded) -> bool {
    let staged = matvec_int8::decoding_wide_bytes_one(weight.stage).is_some();
    staged && weight.fours && weight.span.is_multiple_of(BLOCK as u32)
}

/// x as integers, and their scales and sums.
struct Quantised {
    integers: Operand,
    scales: Operand,
}

/// Rounds input 0, `m` rows of `k` elements.
fn quantize(e: &mut Emit, [m, k]: [usize; 2]) -> Result<Quantised> {
    let blocks = k.div_ceil(BLOCK);
    let count = m.saturating_mul(blocks);
    let integers = e.scratch(count.saturating_mul(BLOCK / 4))?;
    let scales = e.scratch(count.saturating_mul(2))?;
    let params = quantize_blocks::Params { cols: u32_of(k)?, blocks: u32_of(blocks)?, count: u32_of(count)?, pad0: 0 };
    let overrides = [("ALIGNED", u32::from(k.is_multiple_of(4)).into())];
    let operands = [e.input(0)?, integers.clone(), scales.clone()];
    e.dispatch(&quantize_blocks::SHADER, &overrides, &operands, &params, grid(count.div_ceil(64))?)?;
    Ok(Quantised { integers, scales })
}

/// Columns `first … first + n` of the `total` of the output, from few rows; each is split into `split` parts.
pub fn matvec(
    e: &mut Emit,
    [m, k, n]: [usize; 3],
    [first, total]: [usize; 2],
    weight: Coded,
    split: u32,
    epilogue: &Epilogue,
) -> Result<()> {
    let x = quantize(e, [m, k])?;
    let (shader, rows) = match m {
        1 => (matvec_int8::decoding_wide_bytes_one(weight.stage), 1),
        _ => (matvec_int8::decoding_wide_bytes_four(weight.stage), 4),
    };
    let shader = shader.ok_or_else(|| e.unsupported("no kernel for this encoding"))?;
    let params = matvec_int8::Params {
        weight: weight.form,
        m: u32_of(m)?,
        n: u32_of(n)?,
        blocks: u32_of(k.div_ceil(BLOCK))?,
        first: u32_of(first)?,
        total: u32_of(total)?,
        a: epilogue.activation.a,
        b: epilogue.activation.b,
        pad0: 0,
    };
    let mut overrides = weight.overrides;
    overrides.push(("SPLIT", split.into()));
    overrides.extend(epilogue.overrides());
    let mut operands = vec![x.integers, x.scales, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    operands.extend(weight.operands);
    let groups = [params.n.div_ceil(256 / split), u32_of(m.div_ceil(rows))?, 1];
    e.dispatch(shader, &overrides, &operands, &params, groups)
}

/// A product of many rows with the weight `bytes`; `p` is of the plain form that `fewbit.Linear` has.
pub fn gemm(e: &mut Emit, p: &Product, o: Operands, bytes: Coded, epilogue: &Epilogue) -> Result<()> {
    let x = quantize(e, [p.m, p.k])?;
    let shader = gemm_int8::decoding_wide_bytes(bytes.stage);
    let shader = shader.ok_or_else(|| e.unsupported("no kernel for this encoding"))?;
    let tiles_n = p.n.div_ceil(TILE[1]);
    let tiles = p.m.div_ceil(TILE[0]).saturating_mul(tiles_n);
    let params = gemm_int8::Params {
        weight: bytes.form,
        m: u32_of(p.m)?,
        n: u32_of(p.n)?,
        blocks: u32_of(p.k.div_ceil(BLOCK))?,
        first: u32_of(p.first)?,
        total: u32_of(p.total)?,
        tiles_n: u32_of(tiles_n)?,
        tiles: u32_of(tiles)?,
        a: epilogue.activation.a,
        b: epilogue.activation.b,
    };
    let mut overrides = bytes.overrides;
    overrides.extend(epilogue.overrides());
    let mut operands = vec![x.integers, x.scales, o.bias, o.residual, o.c];
    operands.extend(bytes.operands);
    e.dispatch(shader, &overrides, &operands, &params, grid(tiles)?)
}
