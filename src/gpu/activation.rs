//! Activations fused into another kernel's store. Shader part: `shaders/shared/activation.wgsl`.

use crate::Result;
use crate::graph::Node;

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
}
