//! Products with few rows whose invocations read words of four neighbouring rows of W at once. Shader:
//! `shaders/matvec_wide.wgsl`.

use super::decode::Coded;
use super::emit::{Emit, Operand, u32_of};
use super::epilogue::Epilogue;
use super::shader::Shader;
use super::shader::matvec_wide::{
    Params, decoding_wide_four, decoding_wide_four_subgroup, decoding_wide_one, decoding_wide_one_subgroup,
};
use crate::Result;

/// Parts into which a workgroup may split a column.
pub const SPLITS: [u32; 2] = [8, 16];

/// Columns that a pipeline reads at a time.
const UNIT: usize = 32;

/// The kernel for `m` rows of `k` elements and `n` rows of W, if there is one.
fn shader(e: &Emit, m: usize, weight: &Coded) -> Option<&'static Shader<Params>> {
    // Tables are held in lanes where they fit; elsewhere subgroups are of no use.
    let held = weight.held.is_some_and(|[many, _]| many > 0.0) && e.subgroup_lanes() >= Some(8);
    match (m, held) {
        (1, true) => decoding_wide_one_subgroup(weight.stage),
        (1, false) => decoding_wide_one(weight.stage),
        (_, true) => decoding_wide_four_subgroup(weight.stage),
        (_, false) => decoding_wide_four(weight.stage),
    }
}

/// Whether the kernel can compute this.
pub fn suits(e: &Emit, [m, k, n]: [usize; 3], weight: &Coded) -> bool {
    let units = k.is_multiple_of(UNIT) && weight.span.is_multiple_of(UNIT as u32);
    units && weight.fours && n > 0 && shader(e, m, weight).is_some()
}

/// Columns `first … first + n` of the `total` of the output. `suits` must have been asked.
pub fn dispatch(
    e: &mut Emit,
    [m, k, n]: [usize; 3],
    [first, total]: [usize; 2],
    weight: Coded,
    split: u32,
    epilogue: &Epilogue,
) -> Result<()> {
    let shader = shader(e, m, &weight).ok_or_else(|| e.unsupported("no kernel for this encoding"))?;
    let params = Params {
        weight: weight.form,
        m: u32_of(m)?,
        n: u32_of(n)?,
        k: u32_of(k)?,
        span: weight.span.min(UNIT as u32),
        first: u32_of(first)?,
        total: u32_of(total)?,
        a: epilogue.activation.a,
        b: epilogue.activation.b,
    };
    let subgroup = shader.code.name.ends_with("_subgroup");
    let mut overrides = if subgroup { weight.overrides_in_subgroups(e.subgroup_lanes()) } else { weight.overrides };
    overrides.push(("SPLIT", f64::from(split)));
    overrides.extend(epilogue.overrides());
    let mut operands: Vec<Operand> = vec![e.input(0)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    operands.extend(weight.operands);
    let rows = if m == 1 { 1 } else { 4 };
    e.dispatch(shader, &overrides, &operands, &params, [u32_of(n)?.div_ceil(256 / split), u32_of(m.div_ceil(rows))?, 1])
}
