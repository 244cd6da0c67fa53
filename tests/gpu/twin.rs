//! Runs one node on the GPU and on the CPU and compares them.

use fewbit::cpu::{self, Arg, Call, Threads};
use fewbit::graph::{Attr, Attrs, Node, ValueId};
use fewbit::ops::{self, Infer};
use fewbit::tensor::{DType, Tensor};

use crate::harness::{In, run_node};

pub fn attrs(list: &[(&str, Attr)]) -> Attrs {
    let mut all = Attrs::default();
    list.iter().for_each(|(name, value)| all.set(name, value.clone()));
    all
}

fn value(input: &In) -> Option<&Tensor> {
    match input {
        In::Run(t) | In::Weight(t) => Some(t),
        In::Encoded(_) | In::Absent => None,
    }
}

/// The CPU kernel's outputs.
pub fn on_cpu(op: &str, attrs: &Attrs, inputs: &[In], outputs: usize) -> Vec<Tensor> {
    let ids = (0..inputs.len()).map(|i| value(&inputs[i]).map(|_| ValueId(i as u32))).collect();
    let outs = (0..outputs).map(|i| Some(ValueId(100 + i as u32))).collect();
    let node = Node { name: "twin".into(), op: op.into(), inputs: ids, outputs: outs, attrs: attrs.clone() };
    let values: Vec<_> = inputs.iter().map(value).collect();
    let types = values.iter().map(|v| v.map(|t| t.ty().clone())).collect();
    let types = ops::find(op).expect("operator")(&Infer { node: &node, types, values: values.clone() }).expect("types");
    let args: Vec<Option<Arg>> = values.iter().map(|v| v.map(|t| Arg::Dense(t.view()))).collect();
    let mut results: Vec<Tensor> = types.into_iter().take(outputs).map(|t| Tensor::zeros(t).expect("memory")).collect();
    let mut views: Vec<_> = results.iter_mut().map(Tensor::view_mut).collect();
    let threads = Threads::single();
    let call = &mut Call { node: &node, inputs: &args, outputs: &mut views, prepared: None, threads: &threads };
    (cpu::find(op).expect("kernel").run)(call).expect("runs");
    results
}

/// Fails unless both agree: exactly, or within `tolerance · (1 + |value|)` for f32.
pub fn agree(op: &str, list: &[(&str, Attr)], inputs: &[In], outputs: usize, tolerance: f32) {
    let attrs = attrs(list);
    let want = on_cpu(op, &attrs, inputs, outputs);
    let types: Vec<_> = want.iter().map(|t| t.ty().clone()).collect();
    let got = run_node(op, attrs, inputs, &types);
    for (want, got) in want.iter().zip(&got) {
        if want.dtype() != DType::F32 || tolerance == 0.0 {
            assert!(want.bytes() == got.bytes(), "{op} {list:?} {:?}: differs", want.shape());
            continue;
        }
        for (i, (w, g)) in want.to_f32().expect("f32").iter().zip(got.to_f32().expect("f32")).enumerate() {
            let close = (w - g).abs() <= tolerance * (1.0 + w.abs());
            assert!(close, "{op} {list:?} {:?}: element {i} is {g}, expected {w}", want.shape());
        }
    }
}
