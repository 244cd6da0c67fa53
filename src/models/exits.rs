//! Heads for early exit (DeeDiff, Tang et al. 2023) behind layers of a vision transformer: logits, and how unsure they are.
//!
//! A head sees the class token and the mean of all tokens, side by side, through a norm, a layer with GELU, and a classifier.
//! Unsure is 1 minus the greatest probability, or, where the head has a layer for it, what that layer says through a
//! sigmoid. Names are the same in all files: `exits.LAYER.norm`, `.hidden`, `.classifier`, perhaps `.uncertainty`; LAYER is
//! how many layers run before.

use super::net::{Net, symbol};
use crate::Result;
use crate::graph::{Attr, Attrs, Dim, ValueId};

/// A head's results.
pub struct Head {
    layer: usize,
    /// `[batch, classes]`.
    logits: ValueId,
    classes: usize,
    /// `[batch]`, 0–1.
    uncertainty: ValueId,
}

/// Adds the head behind `layer` layers, if the file has one; `x` are the states there, `[batch, tokens, width]`.
pub fn add(net: &mut Net, layer: usize, epsilon: f32, x: ValueId) -> Result<Option<Head>> {
    let name = |part: &str| format!("exits.{layer}.{part}");
    if net.find(&name("norm.weight")).is_none() {
        return Ok(None);
    }
    let class = net.pick(&name("class"), x, 1, 0);
    let axes = net.vector(&name("mean.axes"), &[1i64])?;
    let mean = net.with("ReduceMean", &name("mean"), &[x, axes], "keepdims", Attr::Int(0));
    let both = net.concat(&name("class_and_mean"), &[class, mean], -1);
    let seen = net.norm(&name("norm"), epsilon, both)?;
    let hidden = net.linear(&name("hidden"), seen)?;
    let hidden = net.plain("Gelu", &name("act"), &[hidden]);
    let logits = net.linear(&name("classifier"), hidden)?;
    let [classes, _] = net.shape(&name("classifier.weight"))?;
    let uncertainty = match net.find(&name("uncertainty.weight")) {
        Some(_) => {
            let value = net.linear(&name("uncertainty"), hidden)?;
            let value = net.plain("Sigmoid", &name("uncertainty.sigmoid"), &[value]);
            net.reshape(&name("uncertainty.flat"), value, &[-1])?
        }
        None => {
            let shares = net.with("Softmax", &name("shares"), &[logits], "axis", Attr::Int(-1));
            let axes = net.vector(&name("best.axes"), &[-1i64])?;
            let best = net.node("ReduceMax", &name("best"), &[shares, axes], Attrs::from([("keepdims", Attr::Int(0))]));
            let one = net.scalar(&name("one"), 1f32);
            net.plain("Sub", &name("rest"), &[one, best])
        }
    };
    Ok(Some(Head { layer, logits, classes, uncertainty }))
}

/// Makes the heads outputs as `graph::exits` names them.
pub fn output(net: &mut Net, heads: &[Head]) {
    for Head { layer, logits, classes, uncertainty } in heads {
        net.output(&format!("exit.{layer}.logits"), *logits, &[symbol("batch"), Dim::Known(*classes)]);
        net.output(&format!("exit.{layer}.uncertainty"), *uncertainty, &[symbol("batch")]);
    }
}
