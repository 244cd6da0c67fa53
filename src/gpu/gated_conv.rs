//! Convolutions of chosen filters and channels. Shaders: `shaders/choose_filters.wgsl`, then `shaders/conv.wgsl`; CPU twin:
//! `cpu/conv/gated.rs`; semantics in `ops/gated_conv.rs`.

use super::conv::{self, BIAS};
use super::emit::{Emit, GpuKernel, u32_of};
use super::shader::choose_filters::{Params, SHADER};
use crate::Result;
use crate::ops::conv::ConvShape;
use crate::ops::gated_conv::{CHANNELS, FILTERS};

pub const KERNELS: &[GpuKernel] = &[GpuKernel { op: "fewbit.GatedConv", emit: gated_conv, encoded_inputs: &[1] }];

fn gated_conv(e: &mut Emit) -> Result<()> {
    let shape = ConvShape::conv(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    let (outputs, inputs) = (shape.out_channels, shape.in_channels);
    let gate = e.scratch(shape.batch.saturating_mul(2 * outputs + inputs + 2))?;
    let given = |name: &'static str, i: usize| (name, f64::from(u8::from(e.has(i))));
    let overrides = [given("FILTERS", FILTERS), given("CHANNELS", CHANNELS), given("BIAS", BIAS)];
    let operands = [e.opt_input(FILTERS)?, e.opt_input(CHANNELS)?, e.opt_input(BIAS)?, gate.clone()];
    let params = Params { outputs: u32_of(outputs)?, inputs: u32_of(inputs)?, pad0: 0, pad1: 0 };
    e.dispatch(&SHADER, &overrides, &operands, &params, [u32_of(shape.batch)?, 1, 1])?;
    conv::dispatch(e, &shape, Some(gate))
}
