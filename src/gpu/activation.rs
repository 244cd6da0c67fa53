//! Elementwise activations. Shader: `shaders/activation.wgsl`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::activation::{Params, SHADER};
use crate::Result;
use crate::graph::Node;
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("Relu", emit),
    GpuKernel::new("Sigmoid", emit),
    GpuKernel::new("HardSigmoid", emit),
    GpuKernel::new("HardSwish", emit),
    GpuKernel::new("Tanh", emit),
    GpuKernel::new("Gelu", emit),
];

/// An activation as `shaders/shared/activation.wgsl` numbers it, with its two constants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activation {
    pub kind: u32,
    pub a: f32,
    pub b: f32,
}

impl Activation {
    /// That of attribute `fewbit.activation`, as the fusion passes write it; none without the attribute.
    pub fn fused(node: &Node) -> Result<Self> {
        let attrs = &node.attrs;
        let (alpha, beta) = (attrs.float("fewbit.alpha"), attrs.float("fewbit.beta"));
        let plain = |kind| Activation { kind, a: 0.0, b: 0.0 };
        Ok(match attrs.string("fewbit.activation") {
            None | Some("") => plain(0),
            Some("relu") => plain(1),
            Some("relu6") => Activation { kind: 2, a: 0.0, b: 6.0 },
            Some("clip") => Activation {
                kind: 2,
                a: attrs.float_or("fewbit.min", f32::MIN),
                b: attrs.float_or("fewbit.max", f32::MAX),
            },
            Some("sigmoid") => plain(3),
            Some("silu") => plain(4),
            Some("hardsigmoid") => Activation { kind: 5, a: alpha.unwrap_or(0.2), b: beta.unwrap_or(0.5) },
            Some("hardswish") => Activation { kind: 6, a: alpha.unwrap_or(1.0 / 6.0), b: beta.unwrap_or(0.5) },
            Some("gelu") => plain(7),
            Some("tanh") => plain(8),
            Some(other) => return Err(crate::Error::Unsupported(format!("fused activation `{other}` on the GPU"))),
        })
    }

    fn of_operator(node: &Node) -> Self {
        let attrs = &node.attrs;
        let plain = |kind| Activation { kind, a: 0.0, b: 0.0 };
        match node.op.as_str() {
            "Relu" => plain(1),
            "Sigmoid" => plain(3),
            "HardSigmoid" => Activation { kind: 5, a: attrs.float_or("alpha", 0.2), b: attrs.float_or("beta", 0.5) },
            "HardSwish" => Activation { kind: 6, a: 1.0 / 6.0, b: 0.5 },
            "Tanh" => plain(8),
            "Gelu" if attrs.string("approximate") == Some("tanh") => plain(9),
            "Gelu" => plain(7),
            _ => plain(0),
        }
    }
}

fn emit(e: &mut Emit) -> Result<()> {
    if e.input_type(0)?.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let Activation { kind, a, b } = Activation::of_operator(e.node);
    let count = e.input_type(0)?.len();
    let operands = [e.input(0)?, e.output(0)?];
    let params = Params { count: u32_of(count)?, a, b };
    let groups = grid(count.div_ceil(SHADER.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &[("KIND", kind.into())], &operands, &params, groups)
}
