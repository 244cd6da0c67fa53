//! What products do to their sums: the host side of `shaders/shared/epilogue.wgsl`.

use super::activation::Activation;
use super::emit::Emit;
use crate::Result;
use crate::ops::epilogue::Residual;

pub struct Epilogue {
    pub activation: Activation,
    residual: u32,
    bias: bool,
}

impl Epilogue {
    /// From the node's fused attributes; `residual` and `bias` are the inputs that may hold them.
    pub fn of(e: &Emit, bias: usize, residual: usize) -> Result<Self> {
        let order = match (e.has(residual), Residual::of(e.node)?) {
            (false, _) => 0,
            (true, Residual::Before) => 1,
            (true, Residual::After) => 2,
        };
        Ok(Epilogue { activation: Activation::fused(e.node)?, residual: order, bias: e.has(bias) })
    }

    /// No activation and no residual.
    pub fn plain(bias: bool) -> Self {
        Epilogue { activation: Activation::default(), residual: 0, bias }
    }

    /// The overrides of the shader part, and `BIAS`.
    pub fn overrides(&self) -> [(&'static str, f64); 3] {
        [
            ("ACTIVATION", self.activation.kind.into()),
            ("RESIDUAL", self.residual.into()),
            ("BIAS", u32::from(self.bias).into()),
        ]
    }
}
