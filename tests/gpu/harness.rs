//! Runs one node on the GPU, with chosen inputs as weights, and compares it with a reference.

use std::sync::{Arc, OnceLock};

use fewbit::cpu::Threads;
use fewbit::gpu::program::Placement;
use fewbit::gpu::{GpuDevice, Program, WeightCache, storage_bytes};
use fewbit::graph::{Attrs, Dim, Graph, Node, TypedGraph, Weight, plan};
use fewbit::tensor::{Tensor, TensorType};
use fewbit::weights::Encoded;

/// The adapter under test. No adapter fails the test: a suite that skips proves nothing.
pub fn device() -> Arc<GpuDevice> {
    static DEVICE: OnceLock<Arc<GpuDevice>> = OnceLock::new();
    let open = || Arc::new(pollster::block_on(GpuDevice::new()).expect("a GPU adapter (lavapipe serves)"));
    DEVICE.get_or_init(open).clone()
}

/// Tables with no more cases than this are run whole.
const FEW: usize = 60;

/// The cases of a table that are run: all, or every `FEWBIT_TEST_EVERY`-th of a long table, for adapters that compile each
/// pipeline for up to a second.
pub fn sampled<T>(cases: &[T]) -> impl Iterator<Item = &T> {
    let every =
        std::env::var("FEWBIT_TEST_EVERY").map_or(1, |every| every.parse().expect("FEWBIT_TEST_EVERY is a number"));
    cases.iter().step_by(if cases.len() > FEW { every } else { 1 })
}

#[derive(Clone)]
pub enum In {
    /// Given at run time.
    Run(Tensor),
    /// A dense weight.
    Weight(Tensor),
    Encoded(Arc<Encoded>),
    Absent,
}

/// The program of a single node.
pub fn node_program(op: &str, attrs: Attrs, inputs: &[In], outputs: &[TensorType]) -> (Program, Vec<Tensor>) {
    let mut graph = Graph { name: op.into(), ..Graph::default() };
    let mut given = Vec::new();
    let mut ids = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        ids.push(match input {
            In::Run(t) => {
                let dims = t.shape().iter().map(|&d| Dim::Known(d)).collect();
                given.push(t.clone());
                Some(graph.add_input(format!("in{i}"), t.dtype(), dims))
            }
            In::Weight(t) => Some(graph.add_weight(format!("in{i}"), Weight::Dense(t.clone()))),
            In::Encoded(e) => Some(graph.add_weight(format!("in{i}"), Weight::Encoded(e.clone()))),
            In::Absent => None,
        });
    }
    let out: Vec<_> = (0..outputs.len()).map(|i| graph.add_value(format!("out{i}"))).collect();
    graph.outputs = out.clone();
    let outs = out.iter().map(|&id| Some(id)).collect();
    graph.nodes.push(Node { name: op.into(), op: op.into(), inputs: ids.clone(), outputs: outs, attrs });
    let mut types = vec![None; graph.values.len()];
    for (id, input) in ids.iter().zip(inputs) {
        if let Some(id) = id {
            types[id.0 as usize] = Some(match input {
                In::Run(t) | In::Weight(t) => t.ty().clone(),
                In::Encoded(e) => Weight::Encoded(e.clone()).ty(),
                In::Absent => continue,
            });
        }
    }
    for (id, ty) in out.iter().zip(outputs) {
        types[id.0 as usize] = Some(ty.clone());
    }
    let schedule = plan::schedule(TypedGraph { graph, types }, storage_bytes);
    let threads = Threads::single();
    let program = Program::build(device(), Arc::new(schedule), &WeightCache::default(), &threads).expect("builds");
    (program, given)
}

/// Runs the node twice (the second run must not see the first's leftovers) and insists that it ran on the GPU.
pub fn run_node(op: &str, attrs: Attrs, inputs: &[In], outputs: &[TensorType]) -> Vec<Tensor> {
    let (mut program, given) = node_program(op, attrs, inputs, outputs);
    assert!(matches!(program.placement()[0], Placement::Gpu(_)), "{op}: {:?}", program.placement());
    let given: Vec<&Tensor> = given.iter().collect();
    let first = pollster::block_on(program.run(&given)).expect("runs");
    let again = pollster::block_on(program.run(&given)).expect("runs again");
    for (a, b) in first.iter().zip(&again) {
        assert_eq!(a.bytes(), b.bytes(), "{op}: two runs differ");
    }
    first
}

/// Fails unless `|got − want| ≤ tolerance · (1 + |want|)` everywhere.
pub fn assert_close(what: &str, got: &Tensor, want: &[f64], tolerance: f64) {
    let got = got.slice::<f32>().expect("f32 output");
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let close = (f64::from(g) - w).abs() <= tolerance * (1.0 + w.abs()) || (g.is_nan() && w.is_nan());
        assert!(close, "{what}: element {i} of {} is {g}, expected {w}", want.len());
    }
}

/// Reproducible values, roughly normal.
pub fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| (next() + next() + next()) * 2.0).collect()
}

pub fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::new(shape, &random(shape.iter().product(), seed)).expect("sizes agree")
}
