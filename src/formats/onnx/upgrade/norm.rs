//! Normalisations: training outputs, and scales that were given per group.

use super::{Table, Upgrade, first_input, take, too_old};
use crate::Result;
use crate::graph::{Attr, Node, ValueId};

pub const RULES: Table = &[("BatchNormalization", 14, batch), ("GroupNormalization", 21, group)];

/// Training showed in `is_test=0` (before 7) or in more than one output; only inference is meant here.
fn batch(_: &mut Upgrade, mut node: Node) -> Result<Node> {
    let spatial = take(&mut node, "spatial");
    let test = take(&mut node, "is_test");
    if matches!(spatial, Some(Attr::Int(0))) {
        return Err(too_old(&node, "statistics per position (spatial=0)"));
    }
    let used = node.outputs.iter().flatten().count();
    if used > 1 && !matches!(test, Some(Attr::Int(1))) {
        return Err(too_old(&node, "training"));
    }
    Ok(node)
}

/// Opset 18 had one scale and bias a group; now they are per channel: each is repeated over its group's channels.
fn group(up: &mut Upgrade, mut node: Node) -> Result<Node> {
    let groups = node.attrs.int_or("num_groups", 0).max(1);
    let data = first_input(&node)?;
    let name = node.name.clone();
    let range = [("start", Attr::Int(1)), ("end", Attr::Int(2))];
    let channels = up.emit("Shape", format!("{name}.channels"), &[data], &range)?;
    let divisor = up.list(format!("{name}.groups"), &[groups])?;
    let repeats = up.emit("Div", format!("{name}.repeats"), &[channels, divisor], &[])?;
    let one = up.list(format!("{name}.one"), &[1i64])?;
    let tile = up.emit("Concat", format!("{name}.tile"), &[one, repeats], &[("axis", Attr::Int(0))])?;
    let column = up.list(format!("{name}.column"), &[-1i64, 1])?;
    let flat = up.list(format!("{name}.flat"), &[-1i64])?;
    for i in [1, 2] {
        let Some(per_group) = node.input(i) else { return Err(node.error(format!("input {i} is missing"))) };
        let step = |what: &str| format!("{name}.{what}.{i}");
        let mut emit = |op: &str, what: &str, inputs: &[ValueId]| up.emit(op, step(what), inputs, &[]);
        let rows = emit("Reshape", "rows", &[per_group, column])?;
        let repeated = emit("Tile", "repeated", &[rows, tile])?;
        node.inputs[i] = Some(emit("Reshape", "per_channel", &[repeated, flat])?);
    }
    Ok(node)
}
