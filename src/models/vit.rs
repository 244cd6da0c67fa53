//! Vision transformers (Dosovitskiy et al. 2021): patches of a picture as tokens of an encoder. ViT, DeiT (Touvron et al.
//! 2021: a token of distillation), DINOv2 (Oquab et al. 2024: positions for any size; Darcet et al. 2024: registers).
//! `models::clip` builds its towers of the same parts.
//!
//! Input `pixel_values` f32 `[batch, channels, height, width]`. Output `logits` f32 `[batch, classes]` where the file has a
//! classifier (with outputs of its early exits, if it has such), else `last_hidden_state` f32 `[batch, tokens, width]` and, if it has a pooler, `pooler_output`
//! `[batch, width]`.
//!
//! Parts in `Names`, beside those of blocks: `patches`, `positions`, and where there are such tokens `class_token`,
//! `distillation_token`, `registers`; `embedding_norm` before the blocks; `norm` behind them; `pooler`.

use std::collections::BTreeMap;

use super::encoder::{Block, Config};
use super::exits;
use super::net::{Names, Net, symbol};
use crate::Result;
use crate::graph::{Attr, Attrs, Dim, Graph, ValueId, Weight};
use crate::tensor::DType;

/// The input with pictures.
pub const PIXELS: &str = "pixel_values";

/// What a file says beside its tensors.
#[derive(Clone, Debug)]
pub struct Vit {
    /// Names the file in messages.
    pub file: String,
    pub encoder: Config,
    pub names: Names,
    /// Height and width of pictures in pixels; `None`: any, and the table of positions is resized to it.
    pub size: Option<[usize; 2]>,
    pub head: Head,
}

/// What becomes of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The class token's state through `classifier`.
    Class,
    /// The mean of two: the class token's through `cls_classifier`, the distillation token's through
    /// `distillation_classifier`.
    Distilled,
    /// The class token's and the mean of the patches', side by side, through `classifier`.
    ClassAndMean,
    /// No classifier: states, and the class token's through the pooler if there is one.
    Hidden,
    /// No classifier: states, and the class token's as it is.
    HiddenAndClass,
}

/// The graph of a whole file.
pub fn build(config: &Vit, weights: BTreeMap<String, Weight>) -> Result<Graph> {
    let mut net = Net::new(&config.file, "vit", weights);
    let (names, epsilon) = (&config.names, config.encoder.epsilon);
    let pixels = input(&mut net, names, config.size, "batch")?;
    let tokens = embed(&mut net, names, config.size, epsilon, pixels)?;
    net.check_heads(tokens.width, config.encoder.heads)?;
    let (mut x, mut exits) = (tokens.states, Vec::new());
    for block in 0..config.encoder.layers {
        x = Block { config: &config.encoder, names, block }.add_to(&mut net, x, None)?;
        exits.extend(exits::add(&mut net, block + 1, epsilon, x)?);
    }
    let x = net.norm(&names.of(None, "norm"), epsilon, x)?;
    config.finish(&mut net, &tokens, x)?;
    exits::output(&mut net, &exits);
    net.finish()
}

impl Vit {
    fn finish(&self, net: &mut Net, tokens: &Tokens, x: ValueId) -> Result<()> {
        let class = match tokens.special {
            0 => return Err(net.error(format!("tensor `{}` is missing", self.names.of(None, "class_token")))),
            _ => net.pick("class", x, 1, 0),
        };
        let logits = match self.head {
            Head::Class => net.linear("classifier", class)?,
            Head::Distilled => {
                let distilled = net.pick("distilled", x, 1, 1);
                let (a, b) = (net.linear("cls_classifier", class)?, net.linear("distillation_classifier", distilled)?);
                net.plain("Mean", "classifiers", &[a, b])
            }
            Head::ClassAndMean => {
                let end = net.vector("patches.end", &[i64::MAX])?;
                let patches = net.part("patches", x, 1, tokens.special as i64, end)?;
                let axes = net.vector("mean.axes", &[1i64])?;
                let mean = net.with("ReduceMean", "mean", &[patches, axes], "keepdims", Attr::Int(0));
                let both = net.concat("class_and_mean", &[class, mean], -1);
                net.linear("classifier", both)?
            }
            Head::Hidden | Head::HiddenAndClass => {
                let dims = [symbol("batch"), tokens.count.clone(), Dim::Known(tokens.width)];
                net.output("last_hidden_state", x, &dims);
                let pooler = self.names.of(None, "pooler");
                let pooled = match net.find(&format!("{pooler}.weight")) {
                    Some(_) => {
                        let pooled = net.linear(&pooler, class)?;
                        Some(net.plain("Tanh", &format!("{pooler}.act"), &[pooled]))
                    }
                    None => (self.head == Head::HiddenAndClass).then_some(class),
                };
                if let Some(pooled) = pooled {
                    net.output("pooler_output", pooled, &[symbol("batch"), Dim::Known(tokens.width)]);
                }
                return Ok(());
            }
        };
        let head = if self.head == Head::Distilled { "cls_classifier.weight" } else { "classifier.weight" };
        let [classes, _] = net.shape(head)?;
        net.output("logits", logits, &[symbol("batch"), Dim::Known(classes)]);
        Ok(())
    }
}

/// Adds the input with pictures, as many as the size `batch`.
pub fn input(net: &mut Net, names: &Names, size: Option<[usize; 2]>, batch: &str) -> Result<ValueId> {
    let [_, channels, _, _] = net.shape(&format!("{}.weight", names.of(None, "patches")))?;
    let [height, width] = match size {
        Some(sides) => sides.map(Dim::Known),
        None => [symbol("height"), symbol("width")],
    };
    Ok(net.graph.add_input(PIXELS, DType::F32, vec![symbol(batch), Dim::Known(channels), height, width]))
}

/// A picture's tokens before the first block.
pub struct Tokens {
    /// `[batch, tokens, width]`.
    pub states: ValueId,
    pub width: usize,
    /// Tokens before those of patches: class, distillation, registers.
    pub special: usize,
    /// Of all tokens.
    pub count: Dim,
}

/// Adds patches, special tokens and positions of `pixels`; `epsilon` is of the norm behind them, if there is one.
pub fn embed(net: &mut Net, names: &Names, size: Option<[usize; 2]>, epsilon: f32, pixels: ValueId) -> Result<Tokens> {
    let name = |part: &str| names.of(None, part);
    let patches = name("patches");
    let Patches { states: mut x, grid, width, sides: [rows, columns] } = cut(net, &patches, pixels)?;
    let batch = net.size(&format!("{patches}.batch"), pixels, 0);
    let mut special = 0;
    let first: Vec<String> = ["class_token", "distillation_token"].map(name).into();
    let first: Vec<&String> = first.iter().filter(|name| net.find(name).is_some()).collect();
    if !first.is_empty() {
        let mut parts = Vec::new();
        for token in first {
            parts.push(repeated(net, token, batch, 1, width)?);
            special += 1;
        }
        parts.push(x);
        x = net.concat(&format!("{patches}.with_class"), &parts, 1);
    }
    let (positions, count) = positions(net, names, size, [rows, columns], special, grid)?;
    x = net.plain("Add", &format!("{patches}.with_positions"), &[x, positions]);
    let mut count = count.map_or_else(|| symbol("tokens"), Dim::Known);
    let registers = name("registers");
    if net.find(&registers).is_some() {
        let [_, more, _] = net.shape(&registers)?;
        let kept = repeated(net, &registers, batch, more, width)?;
        let one = net.vector(&format!("{registers}.at"), &[special as i64])?;
        let end = net.vector(&format!("{registers}.end"), &[i64::MAX])?;
        let before = net.part(&format!("{registers}.before"), x, 1, 0, one)?;
        let after = net.part(&format!("{registers}.after"), x, 1, special as i64, end)?;
        x = net.concat(&format!("{registers}.with"), &[before, kept, after], 1);
        special += more;
        if let Dim::Known(n) = &mut count {
            *n += more;
        }
    }
    let norm = name("embedding_norm");
    if net.find(&format!("{norm}.weight")).is_some() {
        x = net.norm(&norm, epsilon, x)?;
    }
    Ok(Tokens { states: x, width, special, count })
}

/// A picture's patches as tokens.
pub struct Patches {
    /// `[batch, patches, width]`, row by row.
    pub states: ValueId,
    /// `[batch, width, rows, columns]`.
    pub grid: ValueId,
    pub width: usize,
    /// Height and width of a patch in pixels.
    pub sides: [usize; 2],
}

/// Adds the convolution `name` that makes patches of `pixels`.
pub fn cut(net: &mut Net, name: &str, pixels: ValueId) -> Result<Patches> {
    let [width, _, rows, columns] = net.shape(&format!("{name}.weight"))?;
    let kernel = net.need(&format!("{name}.weight"))?;
    let bias = net.find(&format!("{name}.bias"));
    let sides = Attr::Ints(vec![rows as i64, columns as i64]);
    let inputs: Vec<ValueId> = [pixels, kernel].into_iter().chain(bias).collect();
    let attrs = Attrs::from([("kernel_shape", sides.clone()), ("strides", sides)]);
    let grid = net.node("Conv", name, &inputs, attrs);
    let rows_of = net.reshape(&format!("{name}.rows"), grid, &[0, width as i64, -1])?;
    let states = net.with("Transpose", &format!("{name}.tokens"), &[rows_of], "perm", Attr::Ints(vec![0, 2, 1]));
    Ok(Patches { states, grid, width, sides: [rows, columns] })
}

/// A learnt `[tokens, width]`, of whatever rank, for every picture of a batch.
pub fn repeated(net: &mut Net, name: &str, batch: ValueId, tokens: usize, width: usize) -> Result<ValueId> {
    let token = net.dense(name)?;
    let rest = net.vector(&format!("{name}.rest"), &[tokens as i64, width as i64])?;
    let shape = net.concat(&format!("{name}.shape"), &[batch, rest], 0);
    Ok(net.plain("Expand", &format!("{name}.repeated"), &[token, shape]))
}

/// What is added to the tokens, `[…, tokens, width]`, and how many there are if that is fixed.
fn positions(
    net: &mut Net,
    names: &Names,
    size: Option<[usize; 2]>,
    patch: [usize; 2],
    special: usize,
    grid: ValueId,
) -> Result<(ValueId, Option<usize>)> {
    let name = names.of(None, "positions");
    let table = net.dense(&name)?;
    let shape = net.graph.weights.get(&table).map(|weight| weight.ty().shape).unwrap_or_default();
    let (&[rows, width] | &[1, rows, width]) = shape.as_slice() else {
        return Err(net.error(format!("tensor `{name}` has the shape {shape:?}, not [tokens, width]")));
    };
    let Some(size) = size else { return Ok((resized(net, names, table, [rows, width], special, grid)?, None)) };
    let patches = |i: usize| size[i].checked_div(patch[i]).unwrap_or(0);
    match patches(0).checked_mul(patches(1)).and_then(|n| n.checked_add(special)) {
        Some(tokens) if tokens == rows => Ok((table, Some(rows))),
        _ => {
            let ([height, width], [down, right]) = (size, patch);
            Err(net.error(format!(
                "`{name}` has {rows} rows, but {height}×{width} pixels in patches of {down}×{right} are another number"
            )))
        }
    }
}

/// The rows of patches, a square, to the size of `grid` `[batch, width, rows, columns]` by bicubic interpolation with
/// a = −0.75; for models with registers, which were trained so, antialiased with a = −0.5 and nothing beyond the edge.
fn resized(
    net: &mut Net,
    names: &Names,
    table: ValueId,
    [rows, width]: [usize; 2],
    special: usize,
    grid: ValueId,
) -> Result<ValueId> {
    let name = &names.of(None, "positions");
    let patches = rows.saturating_sub(special);
    let side = patches.isqrt();
    if side == 0 || side * side != patches {
        return Err(net.error(format!("`{name}` has {patches} rows for patches, which are no square")));
    }
    let [side, wide] = [side as i64, width as i64];
    let table = net.reshape(&format!("{name}.table"), table, &[1, rows as i64, wide])?;
    let split = net.vector(&format!("{name}.split"), &[special as i64])?;
    let end = net.vector(&format!("{name}.end"), &[i64::MAX])?;
    let first = net.part(&format!("{name}.special"), table, 1, 0, split)?;
    let rest = net.part(&format!("{name}.patches"), table, 1, special as i64, end)?;
    let square = net.reshape(&format!("{name}.square"), rest, &[1, side, side, wide])?;
    let turned = net.with("Transpose", &format!("{name}.planes"), &[square], "perm", Attr::Ints(vec![0, 3, 1, 2]));
    let planes = net.vector(&format!("{name}.plane_sizes"), &[1, wide])?;
    let inner = Attrs::from([("start", Attr::Int(2)), ("end", Attr::Int(4))]);
    let sides = net.node("Shape", &format!("{name}.sides"), &[grid], inner);
    let sizes = net.concat(&format!("{name}.sizes"), &[planes, sides], 0);
    let smooth = net.find(&names.of(None, "registers")).is_some();
    let cubic = Attrs::from([
        ("mode", Attr::String("cubic".into())),
        ("antialias", Attr::Int(smooth.into())),
        ("exclude_outside", Attr::Int(smooth.into())),
        ("cubic_coeff_a", Attr::Float(if smooth { -0.5 } else { -0.75 })),
        ("coordinate_transformation_mode", Attr::String("half_pixel".into())),
    ]);
    let inputs = [Some(turned), None, None, Some(sizes)];
    let [resized] = net.wide("Resize", &format!("{name}.resized"), &inputs, cubic);
    let lines = net.reshape(&format!("{name}.lines"), resized, &[1, wide, -1])?;
    let lines = net.with("Transpose", &format!("{name}.rows"), &[lines], "perm", Attr::Ints(vec![0, 2, 1]));
    Ok(net.concat(&format!("{name}.all"), &[first, lines], 1))
}
