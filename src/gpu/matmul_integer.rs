//! MatMulInteger. Shader: `shaders/matmul_integer.wgsl`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::matmul_integer::{Params, SHADER};
use crate::Result;
use crate::ops::product::BatchedProduct;

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("MatMulInteger", matmul_integer)];

/// Invocations side by side along n.
const LANES: usize = 8;

fn matmul_integer(e: &mut Emit) -> Result<()> {
    let p = BatchedProduct::new(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    // A zero point is one for all, or one a row of `a` or column of `b`; batches of them go to the CPU.
    let step = |i: usize, side: usize| -> Result<u32> {
        if !e.has(i) {
            return Ok(0);
        }
        match e.input_type(i)?.len() {
            1 => Ok(0),
            n if n == side => Ok(1),
            n => Err(e.unsupported(format!("{n} zero points"))),
        }
    };
    let (a_zero_step, b_zero_step) = (step(2, p.m)?, step(3, p.n)?);
    let tiles_n = p.n.div_ceil(4 * LANES);
    let tiles = tiles_n * p.m.div_ceil(4);
    let all_tiles = tiles * p.batches();
    let mut offsets = Vec::with_capacity(2 * p.batches());
    for batch in 0..p.batches() {
        let (a, b) = p.operands(batch);
        offsets.extend([u32_of(a * p.m * p.k)?, u32_of(b * p.k * p.n)?]);
    }
    let params = Params {
        m: u32_of(p.m)?,
        n: u32_of(p.n)?,
        k: u32_of(p.k)?,
        tiles_n: u32_of(tiles_n)?,
        tiles: u32_of(tiles)?,
        all_tiles: u32_of(all_tiles)?,
        a_zero_step,
        b_zero_step,
    };
    let offsets = e.constant(&offsets)?;
    let operands = [e.input(0)?, e.input(1)?, e.opt_input(2)?, e.opt_input(3)?, offsets, e.output(0)?];
    let overrides =
        [("LANES", LANES as f64), ("A_ZERO", u32::from(e.has(2)).into()), ("B_ZERO", u32::from(e.has(3)).into())];
    e.dispatch(&SHADER, &overrides, &operands, &params, grid((all_tiles * LANES).div_ceil(64))?)
}
