//! Products of one row with a sparse weight, value by value. Shaders: `shaders/matvec_pairs.wgsl` where every four neighbours
//! have two values, else `shaders/matvec_sparse.wgsl`; CPU twin: `cpu/sparse.rs`.

use super::decode::Coded;
use super::emit::{Emit, Operand, u32_of};
use super::epilogue::Epilogue;
use super::shader::{matvec_pairs, matvec_sparse};
use crate::Result;
use crate::weights::Encoded;

/// Parts into which a workgroup may split a row. With one, x is read where it lies: barriers cost software adapters more than
/// they save.
pub const SPLITS: [u32; 3] = [1, 8, 16];

/// Invocations of a workgroup.
const LANES: u32 = 256;

/// Whether the kernels can compute this.
pub fn suits(m: usize, weight: &Coded) -> bool {
    m == 1 && matvec_sparse::decoding(weight.stage).is_some()
}

/// Columns `first … first + n` of the output, from one row of `k` elements. `suits` must have been asked.
pub fn dispatch(
    e: &mut Emit,
    [k, n]: [usize; 2],
    first: usize,
    weight: Coded,
    split: u32,
    epilogue: &Epilogue,
) -> Result<()> {
    let mut overrides = weight.overrides;
    overrides.push(("SPLIT", f64::from(split)));
    overrides.extend(epilogue.overrides());
    let mut operands: Vec<Operand> = vec![e.input(0)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    operands.extend(weight.operands);
    let (form, [n, k, first]) = (weight.form, [u32_of(n)?, u32_of(k)?, u32_of(first)?]);
    let (a, b) = (epilogue.activation.a, epilogue.activation.b);
    let groups = [n.div_ceil(LANES / split), 1, 1];
    let missing = || e.unsupported("no kernel for this encoding");
    if matches!(e.encoded(1), Some(Encoded::Sparse(weight)) if weight.has_pairs()) {
        let shader = matvec_pairs::decoding(weight.stage).ok_or_else(missing)?;
        let params = matvec_pairs::Params { weight: form, n, k, first, a, b, pad0: 0, pad1: 0, pad2: 0 };
        return e.dispatch(shader, &overrides, &operands, &params, groups);
    }
    let shader = matvec_sparse::decoding(weight.stage).ok_or_else(missing)?;
    let params = matvec_sparse::Params { weight: form, n, k, first, a, b, pad0: 0, pad1: 0, pad2: 0 };
    overrides.push(("SHARED", u32::from(split > 1).into()));
    e.dispatch(shader, &overrides, &operands, &params, groups)
}
