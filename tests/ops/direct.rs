//! A case on its CPU kernel, without a session.

use fewbit::cpu::{Arg, Call, Packs, Prepare, Threads};
use fewbit::graph::{Node, ValueId, Weight};
use fewbit::ops::Infer;
use fewbit::tensor::Tensor;

use super::Case;

/// The first output, which starts as 0xff bytes (NaN). `prepared`: weights known beforehand.
pub fn run(case: &Case, threads: &Threads, prepared: bool) -> Vec<f32> {
    let id = |i: usize| Some(ValueId(i as u32));
    let inputs = case.inputs.iter().enumerate().map(|(i, w)| w.as_ref().and(id(i))).collect();
    let node = Node {
        name: case.name.clone(),
        op: case.op.into(),
        inputs,
        outputs: vec![id(case.inputs.len())],
        attrs: case.attrs.clone(),
    };
    let types: Vec<_> = case.inputs.iter().map(|w| w.as_ref().map(Weight::ty)).collect();
    let infer = Infer { node: &node, types: types.clone(), values: vec![None; types.len()] };
    // Convolutions with channels last keep the type of the others, and have no shape function of their own.
    let op = if case.op == "fewbit.Conv" { "Conv" } else { case.op };
    let ty = fewbit::ops::find(op).unwrap()(&infer).unwrap().remove(0);
    let kernel = fewbit::cpu::find(case.op).unwrap();
    let weights: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
    let packs = Packs::default();
    let prepare = Prepare { node: &node, types: &types, weights: &weights, threads, packs: &packs };
    let work = kernel.prepare.filter(|_| prepared).and_then(|p| p(&prepare).unwrap());
    let args: Vec<Option<Arg>> = case
        .inputs
        .iter()
        .map(|w| {
            w.as_ref().map(|w| match w {
                Weight::Dense(t) => Arg::Dense(t.view()),
                Weight::Encoded(e) => Arg::Encoded(e),
            })
        })
        .collect();
    let mut out = Tensor::from_bytes(ty.clone(), &vec![0xff; ty.bytes()]).unwrap();
    let mut outputs = [out.view_mut()];
    let mut call = Call { node: &node, inputs: &args, outputs: &mut outputs, prepared: work.as_ref(), threads };
    (kernel.run)(&mut call).unwrap();
    out.to_f32().unwrap()
}
