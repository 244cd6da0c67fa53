//! Nothing unproved on a device is trusted: every kernel family is compared with the CPU on small inputs, and operators
//! that differ are switched off, so that their nodes run on the CPU.

use std::sync::Arc;

use serde::Serialize;

use super::device::GpuDevice;
use super::program::{Placement, Program};
use super::storage::storage_bytes;
use super::weights::WeightCache;
use crate::cpu::{self, Threads};
use crate::graph::{Attr, Attrs, Dim, Graph, Node, TypedGraph, plan};
use crate::ops::{self, Infer};
use crate::tensor::{DType, Tensor, TensorType};
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

/// `(operator, attributes, input shapes)`: ragged, so that edges of tiles are met.
type Check = (&'static str, &'static [(&'static str, i64)], &'static [&'static [usize]]);

const CHECKS: &[Check] = &[
    ("Relu", &[], &[&[3, 37]]),
    ("Gelu", &[], &[&[3, 37]]),
    ("Add", &[], &[&[5, 7, 3], &[7, 1]]),
    ("MatMul", &[], &[&[2, 9, 13], &[2, 13, 35]]),
    ("Gemm", &[("transB", 1)], &[&[9, 13], &[35, 13], &[35]]),
    ("fewbit.Linear", &[("transposed", 1)], &[&[11, 13], &[35, 13], &[35]]),
    ("Conv", &[], &[&[1, 5, 9, 11], &[10, 5, 3, 3], &[10]]),
    ("Conv", &[("group", 5)], &[&[1, 5, 9, 11], &[5, 1, 3, 3]]),
    ("ConvTranspose", &[], &[&[1, 5, 6, 7], &[5, 9, 3, 3]]),
    ("Attention", &[], &[&[1, 2, 9, 8], &[1, 2, 11, 8], &[1, 2, 11, 8]]),
    ("Softmax", &[], &[&[5, 77]]),
    ("LayerNormalization", &[], &[&[5, 77], &[77], &[77]]),
    ("GlobalAveragePool", &[], &[&[1, 3, 7, 7]]),
];

/// Runs every check and switches off the operators that fail. A lost device is an error, not a verdict.
pub async fn self_check(device: &Arc<GpuDevice>) -> Result<Vec<Verdict>> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    for &(operator, attrs, shapes) in CHECKS {
        let why = match check(device, operator, attrs, shapes).await {
            Ok(why) => why,
            Err(e) if device.is_lost() => return Err(e),
            Err(e) => e.to_string(),
        };
        if !why.is_empty() {
            device.disable(operator);
        }
        match verdicts.iter_mut().find(|v| v.operator == operator) {
            Some(known) if !why.is_empty() => *known = Verdict { operator, passed: false, why },
            Some(_) => {}
            None => verdicts.push(Verdict { operator, passed: why.is_empty(), why }),
        }
    }
    Ok(verdicts)
}

/// Empty if GPU and CPU agree, or if either has no kernel (then there is nothing to distrust).
async fn check(device: &Arc<GpuDevice>, operator: &str, attrs: &[(&str, i64)], shapes: &[&[usize]]) -> Result<String> {
    let (Some(infer), Some(_)) = (ops::find(operator), cpu::find(operator)) else { return Ok(String::new()) };
    let mut attributes = Attrs::default();
    for (name, value) in attrs {
        attributes.set(name, Attr::Int(*value));
    }
    let inputs: Vec<Tensor> = shapes.iter().enumerate().map(|(i, s)| sample(s, i)).collect::<Result<_>>()?;
    let mut graph = Graph { name: "self-check".into(), ..Graph::default() };
    let dims = |s: &[usize]| s.iter().map(|&d| Dim::Known(d)).collect();
    let ids: Vec<_> = shapes.iter().map(|s| Some(graph.add_input("x", DType::F32, dims(s)))).collect();
    let out = graph.add_value("y");
    graph.outputs.push(out);
    let (name, op) = (operator.to_string(), operator.to_string());
    let node = Node { name, op, inputs: ids, outputs: vec![Some(out)], attrs: attributes };
    let mut types: Vec<Option<TensorType>> = inputs.iter().map(|t| Some(t.ty().clone())).collect();
    let output = infer(&Infer { node: &node, types: types.clone(), values: vec![None; inputs.len()] })?;
    types.extend(output.into_iter().take(1).map(Some));
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
    let want = cpu::Program::build(on_cpu, &threads)?.run(&given).await?;
    let (Some(got), Some(want)) = (got.first(), want.first()) else {
        return Err(Error::Device("the self-check gave no output".into()));
    };
    let (got, want) = (got.to_f32()?, want.to_f32()?);
    let differs = |(g, w): (&f32, &f32)| (g - w).abs() > TOLERANCE * (1.0 + w.abs()) || g.is_nan() != w.is_nan();
    Ok(match got.iter().zip(&want).position(differs) {
        Some(i) => format!("element {i} of {shapes:?} is {}, on the CPU {}", got[i], want[i]),
        None => String::new(),
    })
}

/// Reproducible values in −1 … 1.
fn sample(shape: &[usize], seed: usize) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    let value = |i: usize| ((i * 37 + seed * 11 + 5) % 101) as f32 / 50.5 - 1.0;
    Tensor::new(shape, &(0..count).map(value).collect::<Vec<_>>())
}
