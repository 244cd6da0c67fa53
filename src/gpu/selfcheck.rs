//! Nothing unproved on a device is trusted: every kernel family is compared with the CPU on small inputs, and operators
//! that differ are switched off, so that their nodes run on the CPU.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::device::GpuDevice;
use super::program::{Placement, Program};
use super::storage::storage_bytes;
use super::weights::WeightCache;
use crate::cpu::{self, Packs, Threads};
use crate::graph::{Attr, Attrs, Dim, Graph, Node, TypedGraph, Weight, plan};
#[cfg(feature = "full")]
use crate::ops::next_token::Draw;
use crate::ops::{self, Infer};
use crate::tensor::{DType, Tensor, TensorType};
use crate::weights::{Encoded, Palette};
use crate::{Error, Result};

/// Largest difference from the CPU, relative to 1 + |value|, that passes.
const TOLERANCE: f32 = 1e-3;

/// One operator's verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub operator: &'static str,
    pub passed: bool,
    /// Why it failed; empty when it passed.
    pub why: String,
}

struct Check {
    operator: &'static str,
    attrs: &'static [(&'static str, i64)],
    /// Of the inputs. Ragged, so that edges of tiles are met.
    shapes: &'static [&'static [usize]],
    /// Input 1 is a 4-bit palette.
    few_bit: bool,
}

const fn dense(
    operator: &'static str,
    attrs: &'static [(&'static str, i64)],
    shapes: &'static [&'static [usize]],
) -> Check {
    Check { operator, attrs, shapes, few_bit: false }
}

const fn few_bit(
    operator: &'static str,
    attrs: &'static [(&'static str, i64)],
    shapes: &'static [&'static [usize]],
) -> Check {
    Check { operator, attrs, shapes, few_bit: true }
}

const CHECKS: &[Check] = &[
    dense("Relu", &[], &[&[3, 37]]),
    dense("Gelu", &[], &[&[3, 37]]),
    dense("Add", &[], &[&[5, 7, 3], &[7, 1]]),
    dense("MatMul", &[], &[&[2, 9, 13], &[2, 13, 35]]),
    dense("Gemm", &[("transB", 1)], &[&[9, 13], &[35, 13], &[35]]),
    dense("fewbit.Linear", &[("transposed", 1)], &[&[11, 13], &[35, 13], &[35]]),
    few_bit("fewbit.Linear", &[("transposed", 1)], &[&[11, 43], &[35, 43], &[35]]),
    few_bit("fewbit.Linear", &[("transposed", 1)], &[&[3, 43], &[35, 43]]),
    dense("Conv", &[], &[&[1, 5, 9, 11], &[10, 5, 3, 3], &[10]]),
    dense("Conv", &[("group", 5)], &[&[1, 5, 9, 11], &[5, 1, 3, 3]]),
    // Input 3 is absent, those behind it are masks.
    #[cfg(feature = "full")]
    dense(GATED, &[], &[&[2, 5, 9, 11], &[14, 5, 3, 3], &[14], &[], &[2, 14, 1, 1], &[2, 5, 1, 1]]),
    #[cfg(feature = "full")]
    few_bit(GATED, &[], &[&[2, 5, 9, 11], &[14, 5, 3, 3], &[14], &[], &[2, 14, 1, 1], &[2, 5, 1, 1]]),
    few_bit("Conv", &[], &[&[1, 5, 9, 11], &[10, 5, 3, 3], &[10]]),
    few_bit("Conv", &[("group", 5)], &[&[1, 5, 9, 11], &[5, 1, 3, 3]]),
    dense("ConvTranspose", &[], &[&[1, 5, 6, 7], &[5, 9, 3, 3]]),
    dense("Attention", &[], &[&[1, 2, 9, 8], &[1, 2, 11, 8], &[1, 2, 11, 8]]),
    // Input 3 are positions of both sequences; heads of 20, of which 12 turn.
    #[cfg(feature = "full")]
    dense(
        CACHED,
        &[("cache", 0), ("q_num_heads", 6), ("kv_num_heads", 2)],
        &[&[2, 71, 120], &[2, 71, 40], &[2, 71, 40], &[1, 71], &[1, 71, 6], &[1, 71, 6]],
    ),
    // Heads of 10, of which 6 turn.
    #[cfg(feature = "full")]
    dense("RotaryEmbedding", &[("num_heads", 7), ("rotary_embedding_dim", 6)], &[&[1, 9, 70], &[1, 9, 3], &[1, 9, 3]]),
    // Values come again every 101 elements: of equals the first is wanted.
    #[cfg(feature = "full")]
    dense("fewbit.NextToken", &[], &[&[3, 1201]]),
    #[cfg(feature = "full")]
    dense(DRAWN, &[], &[&[3, 1201], &[5]]),
    #[cfg(feature = "full")]
    dense("fewbit.ClassAttention", &[("q_num_heads", 2), ("kv_num_heads", 2)], &[&[2, 9, 14], &[2, 9, 14]]),
    #[cfg(feature = "full")]
    dense("fewbit.RankTokens", &[("pinned", 1)], &[&[2, 131]]),
    #[cfg(feature = "full")]
    dense("fewbit.MatchTokens", &[("heads", 2), ("pinned", 1)], &[&[2, 77, 14]]),
    dense("Softmax", &[], &[&[5, 77]]),
    dense("LayerNormalization", &[], &[&[5, 77], &[77], &[77]]),
    dense("GlobalAveragePool", &[], &[&[1, 3, 7, 7]]),
];

/// The one with two outputs.
const MATCHED: &str = "fewbit.MatchTokens";

/// Its second input says how to draw.
#[cfg(feature = "full")]
const DRAWN: &str = "fewbit.DrawToken";

/// Not at the border of two tokens.
#[cfg(feature = "full")]
const DRAW: Draw = Draw { inverse_temperature: 1.25, top_k: 500, top_p: 0.9, min_p: 0.2, uniform: 0.40123 };

#[cfg(feature = "full")]
const GATED: &str = "fewbit.GatedConv";

#[cfg(feature = "full")]
const CACHED: &str = "fewbit.CachedAttention";

/// Runs every check and switches off the operators that fail. A lost device is an error, not a verdict.
pub async fn self_check(device: &Arc<GpuDevice>) -> Result<Vec<Verdict>> {
    verdicts(device, |_| true).await
}

/// Checks those of `operators` that were not checked on this device yet, and switches off what fails. True if all
/// passed.
pub async fn prove(device: &Arc<GpuDevice>, operators: &BTreeSet<String>) -> Result<bool> {
    let verdicts = verdicts(device, |op| operators.contains(op) && !device.is_checked(op)).await?;
    Ok(verdicts.iter().all(|v| v.passed))
}

async fn verdicts(device: &Arc<GpuDevice>, wanted: impl Fn(&str) -> bool) -> Result<Vec<Verdict>> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    for check in CHECKS.iter().filter(|c| wanted(c.operator)) {
        let why = match run(device, check).await {
            Ok(why) => why,
            Err(e) if device.is_lost() => return Err(e),
            Err(e) => e.to_string(),
        };
        if !why.is_empty() {
            device.disable(check.operator);
        }
        match verdicts.iter_mut().find(|v| v.operator == check.operator) {
            Some(known) if !why.is_empty() => *known = Verdict { operator: check.operator, passed: false, why },
            Some(_) => {}
            None => verdicts.push(Verdict { operator: check.operator, passed: why.is_empty(), why }),
        }
    }
    verdicts.iter().for_each(|v| device.set_checked(v.operator));
    Ok(verdicts)
}

/// Empty if GPU and CPU agree, or if either has no kernel (then there is nothing to distrust).
async fn run(device: &Arc<GpuDevice>, check: &Check) -> Result<String> {
    let Check { operator, shapes, .. } = check;
    let (Some(infer), Some(_)) = (ops::find(operator), cpu::find(operator)) else { return Ok(String::new()) };
    let mut attrs = Attrs::default();
    for (name, value) in check.attrs {
        attrs.set(name, Attr::Int(*value));
    }
    let mut graph = Graph { name: "self-check".into(), ..Graph::default() };
    let (mut inputs, mut types, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (i, shape) in shapes.iter().enumerate() {
        #[cfg(feature = "full")]
        if *operator == CACHED && i == 3 {
            let positions: Vec<i64> = (0..shape[1] as i64).collect();
            inputs.push(Tensor::new(*shape, &positions)?);
            types.push(Some(TensorType::new(DType::I64, *shape)));
            let dims = shape.iter().map(|&d| Dim::Known(d)).collect();
            ids.push(Some(graph.add_input("p", DType::I64, dims)));
            continue;
        }
        #[cfg(feature = "full")]
        if shape.is_empty() {
            types.push(None);
            ids.push(None);
            continue;
        }
        types.push(Some(TensorType::new(DType::F32, *shape)));
        #[cfg(feature = "full")]
        if *operator == DRAWN && i == 1 {
            inputs.push(DRAW.tensor()?);
            ids.push(Some(graph.add_input("draw", DType::F32, vec![Dim::Known(5)])));
            continue;
        }
        #[cfg(feature = "full")]
        if *operator == GATED && i > 3 {
            inputs.push(mask(shape)?);
            ids.push(Some(graph.add_input("mask", DType::F32, shape.iter().map(|&d| Dim::Known(d)).collect())));
            continue;
        }
        if check.few_bit && i == 1 {
            ids.push(Some(graph.add_weight("w", sample_palette(shape)?)));
        } else {
            inputs.push(sample(shape, i)?);
            let dims = shape.iter().map(|&d| Dim::Known(d)).collect();
            ids.push(Some(graph.add_input("x", DType::F32, dims)));
        }
    }
    let count = if *operator == MATCHED { 2 } else { 1 };
    graph.outputs = (0..count).map(|_| graph.add_value("y")).collect();
    let (name, op) = (operator.to_string(), operator.to_string());
    let node = Node { name, op, inputs: ids, outputs: graph.outputs.iter().copied().map(Some).collect(), attrs };
    let output = infer(&Infer { node: &node, types: types.clone(), values: vec![None; shapes.len()] })?;
    types.retain(Option::is_some);
    types.extend(output.into_iter().take(count).map(Some));
    graph.nodes.push(node);

    let typed = TypedGraph { graph, types };
    let threads = Threads::single();
    let given: Vec<&Tensor> = inputs.iter().collect();
    let on_gpu = Arc::new(plan::schedule(typed.clone(), storage_bytes));
    let mut program = Program::build(device.clone(), on_gpu, &WeightCache::default(), &threads)?;
    if matches!(program.placement().first(), Some(Placement::Host(_)) | None) {
        return Ok(String::new());
    }
    let got = program.run(&given).await?;
    let on_cpu = Arc::new(plan::schedule(typed, TensorType::bytes));
    let want = cpu::Program::build(on_cpu, &threads, &Packs::default())?.run(&given).await?;
    if got.len() != count || want.len() != count {
        return Err(Error::Device("the self-check gave no output".into()));
    }
    let differs = |(g, w): (&f32, &f32)| (g - w).abs() > TOLERANCE * (1.0 + w.abs()) || g.is_nan() != w.is_nan();
    for (got, want) in got.iter().zip(&want) {
        let (got, want) = (got.to_f32()?, want.to_f32()?);
        if let Some(i) = got.iter().zip(&want).position(differs) {
            return Ok(format!("element {i} of {shapes:?} is {}, on the CPU {}", got[i], want[i]));
        }
    }
    Ok(String::new())
}

/// Reproducible values in −1 … 1.
fn sample(shape: &[usize], seed: usize) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    let value = |i: usize| ((i * 37 + seed * 11 + 5) % 101) as f32 / 50.5 - 1.0;
    Tensor::new(shape, &(0..count).map(value).collect::<Vec<_>>())
}

/// Every third is left out.
#[cfg(feature = "full")]
fn mask(shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    Tensor::new(shape, &(0..count).map(|i| if i % 3 == 1 { 0.0 } else { 1.0 }).collect::<Vec<f32>>())
}

/// A 4-bit palette with a table for every three rows, and reproducible codes.
fn sample_palette(shape: &[usize]) -> Result<Weight> {
    let (rows, cols) = (shape[0], shape[1..].iter().product::<usize>());
    let stride = (cols * 4).div_ceil(32) * 4;
    let codes: Vec<u8> = (0..rows * stride).map(|i| (i * 29 + 3) as u8).collect();
    let tables = rows.div_ceil(3);
    let (codes, table) = (Tensor::new([rows, stride], &codes)?, sample(&[tables, 16], 1)?);
    let palette = Palette::new(shape.to_vec(), 4, 3, codes, table, None)?;
    Ok(Weight::Encoded(Arc::new(Encoded::Palette(palette))))
}
