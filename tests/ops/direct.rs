//! A case on its CPU kernel, without a session.

use fewbit::cpu::{Arg, Call, Packs, Prepare, Threads};
use fewbit::graph::Weight;
use fewbit::tensor::Tensor;

use super::Case;

/// Counts of threads; builds without the command line have none of their own.
pub const COUNTS: &[usize] = if cfg!(feature = "cli") { &[1, 3] } else { &[1] };

/// The first output, which starts as 0xff bytes (NaN). `prepared`: weights known beforehand.
pub fn run(case: &Case, threads: &Threads, prepared: bool) -> Vec<f32> {
    let (node, types, ty) = (case.node(), case.input_types(), case.output_type());
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
