//! Products whose lanes hand each other x. Shader: `shaders/gemm_subgroup.wgsl`.

use super::emit::{Emit, Operand, grid, u32_of};
use super::epilogue::Epilogue;
use super::product::{Operands, Product};
use super::shader::gemm_subgroup::{Params, decoding_subgroup};
use crate::Result;

/// Rows of a workgroup.
const ROWS: usize = 8;
/// Columns of a workgroup whose invocations have four.
const COLS: usize = 256;

/// Whether the kernel can compute this: one matrix with aligned rows times one that lies as decode stages want it.
pub fn suits(e: &Emit, p: &Product, dense: bool) -> bool {
    let plain = p.offsets == [[0, 0]] && p.alpha == 1.0 && p.beta == 1.0 && p.bias[0] == 0;
    e.subgroup_lanes().is_some() && plain && p.a == [p.k, 1] && p.k.is_multiple_of(4) && (!dense || p.b == [p.n, 1])
}

pub fn dispatch(e: &mut Emit, p: &Product, o: Operands, epilogue: &Epilogue) -> Result<()> {
    let lanes = match e.subgroup_lanes() {
        Some(16..) => 16u32,
        Some(8..) => 8,
        _ => 4,
    };
    // Of four lanes each loads so much of x that more columns pay.
    let wide = lanes == 4;
    let tiles_n = p.n.div_ceil(if wide { 2 * COLS } else { COLS });
    let tiles = p.m.div_ceil(ROWS).saturating_mul(tiles_n);
    let params = Params {
        weight: o.b.form,
        m: u32_of(p.m)?,
        n: u32_of(p.n)?,
        k: u32_of(p.k)?,
        span: o.b.span,
        first: u32_of(p.first)?,
        total: u32_of(p.total)?,
        tiles_n: u32_of(tiles_n)?,
        tiles: u32_of(tiles)?,
        a: epilogue.activation.a,
        b: epilogue.activation.b,
    };
    let mut overrides = o.b.overrides_in_subgroups(e.subgroup_lanes());
    overrides.extend([("LANES", lanes.into()), ("WIDE", u32::from(wide).into())]);
    overrides.extend(epilogue.overrides());
    let mut operands: Vec<Operand> = vec![o.a, o.bias, o.residual, o.c];
    operands.extend(o.b.operands);
    e.dispatch(decoding_subgroup(o.b.stage), &overrides, &operands, &params, grid(tiles)?)
}
