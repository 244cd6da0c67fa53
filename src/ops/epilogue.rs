//! What a product does to its result before it is stored: the attributes that the fusion passes add.

use crate::graph::Node;
use crate::{Error, Result};

/// An elementwise function fused into a product (attribute `fewbit.activation`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    #[default]
    None,
    Relu,
    /// `min(max(x, min), max)`; also ReLU6.
    Clip {
        min: f32,
        max: f32,
    },
    Sigmoid,
    /// `x · sigmoid(x)`.
    Silu,
    /// `clip(alpha·x + beta, 0, 1)`.
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    /// `x · clip(alpha·x + beta, 0, 1)`.
    HardSwish {
        alpha: f32,
        beta: f32,
    },
    /// `x · Φ(x)` with the exact error function.
    Gelu,
    Tanh,
}

impl Activation {
    pub fn of(node: &Node) -> Result<Self> {
        let float = |name: &str, default| node.attrs.float_or(name, default);
        Ok(match node.attrs.string_or("fewbit.activation", "") {
            "" => Activation::None,
            "relu" => Activation::Relu,
            "relu6" => Activation::Clip { min: 0.0, max: 6.0 },
            "clip" => Activation::Clip {
                min: float("fewbit.min", f32::NEG_INFINITY),
                max: float("fewbit.max", f32::INFINITY),
            },
            "sigmoid" => Activation::Sigmoid,
            "silu" => Activation::Silu,
            "hardsigmoid" => {
                Activation::HardSigmoid { alpha: float("fewbit.alpha", 0.2), beta: float("fewbit.beta", 0.5) }
            }
            "hardswish" => {
                Activation::HardSwish { alpha: float("fewbit.alpha", 1.0 / 6.0), beta: float("fewbit.beta", 0.5) }
            }
            "gelu" => Activation::Gelu,
            "tanh" => Activation::Tanh,
            other => return Err(Error::Unsupported(format!("fused activation `{other}`"))),
        })
    }
}

/// On which side of the activation a fused residual is added (attribute `fewbit.residual`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// `activation(product + bias + residual)`.
    #[default]
    Before,
    /// `activation(product + bias) + residual`.
    After,
}

impl Residual {
    pub fn of(node: &Node) -> Result<Self> {
        match node.attrs.string_or("fewbit.residual", "before") {
            "before" => Ok(Residual::Before),
            "after" => Ok(Residual::After),
            other => Err(node.error(format!("fewbit.residual must be `before` or `after`, not `{other}`"))),
        }
    }
}
