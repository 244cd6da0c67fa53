//! Products with one row whose lanes hand each other x and entries of tables. Shader: `shaders/matvec_subgroup.wgsl`.

use super::decode::Coded;
use super::emit::{Emit, Operand, u32_of};
use super::epilogue::Epilogue;
use super::shader::matvec_subgroup::{Params, decoding_subgroup};
use crate::Result;

/// Columns of a workgroup.
const COLS: usize = 256;

/// Columns `first … first + n` of the output, from one row of `k` elements, a multiple of 8.
pub fn dispatch(e: &mut Emit, [k, n]: [usize; 2], first: usize, weight: Coded, epilogue: &Epilogue) -> Result<()> {
    let params = Params {
        weight: weight.form,
        n: u32_of(n)?,
        k: u32_of(k)?,
        span: weight.span,
        first: u32_of(first)?,
        a: epilogue.activation.a,
        b: epilogue.activation.b,
    };
    let mut overrides = weight.overrides_in_subgroups(e.subgroup_lanes());
    overrides.extend(epilogue.overrides());
    let mut operands: Vec<Operand> = vec![e.input(0)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    operands.extend(weight.operands);
    e.dispatch(decoding_subgroup(weight.stage), &overrides, &operands, &params, [u32_of(n.div_ceil(COLS))?, 1, 1])
}
