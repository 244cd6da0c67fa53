//! Pooling over windows and whole planes. Shaders: `pool.wgsl`, `global_pool.wgsl`; CPU twin: `cpu/pool.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::{global_pool, pool};
use crate::Result;
use crate::ops::pool::{Window, windows};
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("MaxPool", |e| windowed(e, MAXIMUM)),
    GpuKernel::new("AveragePool", |e| windowed(e, MEAN)),
    #[cfg(feature = "full")]
    GpuKernel::new("LpPool", |e| windowed(e, NORM)),
    GpuKernel::new("GlobalMaxPool", |e| global(e, MAXIMUM)),
    GpuKernel::new("GlobalAveragePool", |e| global(e, MEAN)),
    #[cfg(feature = "full")]
    GpuKernel::new("GlobalLpPool", |e| global(e, NORM)),
];

// Values of `FOLD` in the shaders.
const MAXIMUM: f64 = 0.0;
const MEAN: f64 = 1.0;
#[cfg(feature = "full")]
const NORM: f64 = 2.0;

fn only_f32(e: &Emit) -> Result<()> {
    if e.input_type(0)?.dtype == DType::F32 { Ok(()) } else { Err(e.unsupported("only f32")) }
}

fn windowed(e: &mut Emit, fold: f64) -> Result<()> {
    only_f32(e)?;
    if e.has_output(1) {
        return Err(e.unsupported("indices of the maxima"));
    }
    let one = Window { len: 1, out: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };
    let [z, y, x] = match windows(e.node, &e.input_type(0)?.shape)?[..] {
        [x] => [one, one, x],
        [y, x] => [one, y, x],
        [z, y, x] => [z, y, x],
        _ => return Err(e.unsupported("more than three axes")),
    };
    let count = e.output_type(0)?.len();
    let params = pool::Params {
        count: u32_of(count)?,
        padded: u32::from(e.node.attrs.flag("count_include_pad")),
        p: e.node.attrs.int_or("p", 2) as f32,
        pad0: 0,
        len_z: u32_of(z.len)?,
        out_z: u32_of(z.out)?,
        kernel_z: u32_of(z.kernel)?,
        stride_z: u32_of(z.stride)?,
        dilation_z: u32_of(z.dilation)?,
        before_z: u32_of(z.before)?,
        after_z: u32_of(z.after)?,
        pad1: 0,
        len_y: u32_of(y.len)?,
        out_y: u32_of(y.out)?,
        kernel_y: u32_of(y.kernel)?,
        stride_y: u32_of(y.stride)?,
        dilation_y: u32_of(y.dilation)?,
        before_y: u32_of(y.before)?,
        after_y: u32_of(y.after)?,
        pad2: 0,
        len_x: u32_of(x.len)?,
        out_x: u32_of(x.out)?,
        kernel_x: u32_of(x.kernel)?,
        stride_x: u32_of(x.stride)?,
        dilation_x: u32_of(x.dilation)?,
        before_x: u32_of(x.before)?,
        after_x: u32_of(x.after)?,
        pad3: 0,
    };
    let operands = [e.input(0)?, e.output(0)?];
    let groups = grid(count.div_ceil(pool::SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&pool::SHADER, &[("FOLD", fold)], &operands, &params, groups)
}

fn global(e: &mut Emit, fold: f64) -> Result<()> {
    only_f32(e)?;
    let planes = e.output_type(0)?.len();
    let len = e.input_type(0)?.shape.get(2..).unwrap_or(&[]).iter().product();
    let params = global_pool::Params {
        planes: u32_of(planes)?,
        len: u32_of(len)?,
        p: e.node.attrs.int_or("p", 2) as f32,
        pad0: 0,
    };
    let operands = [e.input(0)?, e.output(0)?];
    e.dispatch(&global_pool::SHADER, &[("FOLD", fold)], &operands, &params, grid(planes)?)
}
