//! The tower of Qwen2-VL (Wang et al. 2024), which looks at pictures of any size: patches turn by their row and column
//! instead of having learnt positions, and squares of them become one feature. Names are Hugging Face's.
//!
//! Inputs `pixel_values` f32 `[patches, values]`, a patch's channels, frames, rows and columns; `image_positions` i64
//! `[2, patches]`, each patch's row and column. Patches that become one feature follow each other. Result f32
//! `[patches / merge², width of the words]`.

use super::encoder::Activation;
use super::net::{Net, symbol};
use super::rope::{Rope, Scaling};
use super::vit::PIXELS;
use crate::Result;
use crate::graph::{Attr, Attrs, Dim, ValueId};
use crate::tensor::DType;

/// The input with rows and columns.
pub const POSITIONS: &str = "image_positions";

/// What a file says about the tower beside its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Tower {
    pub layers: usize,
    pub heads: usize,
    /// Side of the squares of patches that become a feature.
    pub merge: usize,
    pub activation: Activation,
}

const EPSILON: f32 = 1e-6;

const THETA: f64 = 10_000.0;

/// The weight of patches, which files have as a convolution over frames, rows and columns and this needs as a matrix.
pub const PATCHES: &str = "visual.patch_embed.proj.weight";

/// Adds the tower with its inputs.
pub fn tower(net: &mut Net, config: &Tower) -> Result<ValueId> {
    let [width, values] = net.shape(PATCHES)?;
    net.check_heads(width, config.heads)?;
    let pixels = net.graph.add_input(PIXELS, DType::F32, vec![symbol("patches"), Dim::Known(values)]);
    let positions = net.graph.add_input(POSITIONS, DType::I64, vec![Dim::Known(2), symbol("patches")]);
    let x = net.linear("visual.patch_embed.proj", pixels)?;
    let mut x = net.reshape("visual.patches", x, &[1, -1, width as i64])?;
    let angles = angles(net, width / config.heads, positions);
    for layer in 0..config.layers {
        x = block(net, config, &format!("visual.blocks.{layer}"), angles, x)?;
    }
    let x = net.norm("visual.merger.ln_q", EPSILON, x)?;
    let x = net.reshape("visual.merger.squares", x, &[-1, (width * config.merge * config.merge) as i64])?;
    let x = net.linear("visual.merger.mlp.0", x)?;
    let x = Activation::Gelu.apply(net, "visual.merger.mlp.1", x);
    net.linear("visual.merger.mlp.2", x)
}

/// Half of a head's pairs turn by the row and half by the column, both with the same frequencies.
fn angles(net: &mut Net, head: usize, positions: ValueId) -> [ValueId; 2] {
    let rope = Rope { theta: THETA, dims: head / 2, interleaved: false, scaling: Scaling::None };
    let each = rope.frequencies();
    let attrs = Attrs::from([
        ("frequencies", Attr::Floats([each.as_slice(), &each].concat())),
        ("sections", Attr::Ints(vec![each.len() as i64; 2])),
    ]);
    net.wide("fewbit.RotaryAngles", "visual.angles", &[Some(positions)], attrs)
}

fn block(net: &mut Net, config: &Tower, name: &str, [cos, sin]: [ValueId; 2], x: ValueId) -> Result<ValueId> {
    let heads = || Attr::Int(config.heads as i64);
    let normal = net.norm(&format!("{name}.norm1"), EPSILON, x)?;
    let all = net.linear(&format!("{name}.attn.qkv"), normal)?;
    let thirds = Attrs::from([("axis", Attr::Int(-1)), ("num_outputs", Attr::Int(3))]);
    let [q, k, v] = net.wide("Split", &format!("{name}.attn.split"), &[Some(all)], thirds);
    let mut turned = |part: &str, x: ValueId| {
        net.with("RotaryEmbedding", &format!("{name}.attn.{part}"), &[x, cos, sin], "num_heads", heads())
    };
    let (q, k) = (turned("q", q), turned("k", k));
    let attrs = Attrs::from([("q_num_heads", heads()), ("kv_num_heads", heads())]);
    let seen = net.node("Attention", &format!("{name}.attn"), &[q, k, v], attrs);
    let out = net.linear(&format!("{name}.attn.proj"), seen)?;
    let x = net.plain("Add", &format!("{name}.attn.add"), &[x, out]);
    let normal = net.norm(&format!("{name}.norm2"), EPSILON, x)?;
    let inner = net.linear(&format!("{name}.mlp.fc1"), normal)?;
    let inner = config.activation.apply(net, &format!("{name}.mlp.act"), inner);
    let out = net.linear(&format!("{name}.mlp.fc2"), inner)?;
    Ok(net.plain("Add", &format!("{name}.mlp.add"), &[x, out]))
}
