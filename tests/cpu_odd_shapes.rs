//! Kernels on legal but odd shapes: empty axes, scalars, one element. They must give tensors of the inferred shape, not
//! panic; and nonsense must give an error.

use fewbit::cpu::{self, Arg, Call, Threads};
use fewbit::graph::{Attr, Attrs, Node, ValueId};
use fewbit::ops::{self, Infer};
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::{Error, Result};

fn run(op: &str, attrs: &[(&str, Attr)], inputs: &[Tensor], outputs: usize) -> Result<Vec<Tensor>> {
    let mut all = Attrs::default();
    attrs.iter().for_each(|(name, value)| all.set(name, value.clone()));
    let node = Node {
        name: "odd".into(),
        op: op.into(),
        inputs: (0..inputs.len() as u32).map(|i| Some(ValueId(i))).collect(),
        outputs: (0..outputs as u32).map(|i| Some(ValueId(100 + i))).collect(),
        attrs: all,
    };
    let types = inputs.iter().map(|t| Some(t.ty().clone())).collect();
    let values = inputs.iter().map(Some).collect();
    let infer = ops::find(op).ok_or_else(|| Error::UnknownOperator(op.into()))?;
    let types = infer(&Infer { node: &node, types, values })?;
    let args: Vec<Option<Arg>> = inputs.iter().map(|t| Some(Arg::Dense(t.view()))).collect();
    let mut results = types.into_iter().map(Tensor::zeros).collect::<Result<Vec<_>>>()?;
    let mut views: Vec<_> = results.iter_mut().map(Tensor::view_mut).collect();
    let threads = Threads::new(2)?;
    let kernel = cpu::find(op).ok_or_else(|| Error::UnknownOperator(op.into()))?;
    (kernel.run)(&mut Call { node: &node, inputs: &args, outputs: &mut views, prepared: None, threads: &threads })?;
    Ok(results)
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(TensorType::new(DType::F32, shape)).expect("small")
}

fn ints(values: &[i64]) -> Tensor {
    Tensor::new([values.len()], values).expect("fits")
}

fn shape_of(op: &str, attrs: &[(&str, Attr)], inputs: &[Tensor]) -> Vec<usize> {
    run(op, attrs, inputs, 1).unwrap_or_else(|e| panic!("{op}: {e}"))[0].shape().to_vec()
}

#[test]
fn empty_and_scalar_tensors_pass() {
    let int = |name, v| (name, Attr::Int(v));
    assert_eq!(shape_of("Transpose", &[], &[zeros(&[])]), [0usize; 0]);
    assert_eq!(shape_of("Transpose", &[], &[zeros(&[2, 0, 3])]), [3, 0, 2]);
    assert_eq!(shape_of("Concat", &[int("axis", 0)], &[zeros(&[0, 3]), zeros(&[0, 3])]), [0, 3]);
    assert_eq!(shape_of("Tile", &[], &[zeros(&[2, 3]), ints(&[0, 2])]), [0, 6]);
    assert_eq!(shape_of("Expand", &[], &[zeros(&[]), ints(&[2, 0])]), [2, 0]);
    assert_eq!(shape_of("Pad", &[], &[zeros(&[0, 2]), ints(&[0, 1, 0, 1])]), [0, 4]);
    assert_eq!(shape_of("Pad", &[], &[zeros(&[0, 2]), ints(&[1, 1, 0, 1])]), [1, 4]);
    assert_eq!(shape_of("Pad", &[], &[zeros(&[]), ints(&[])]), [0usize; 0]);
    assert_eq!(shape_of("Gather", &[], &[zeros(&[3, 0]), ints(&[1, -1])]), [2, 0]);
    assert_eq!(shape_of("Gather", &[], &[zeros(&[0, 2]), ints(&[])]), [0, 2]);
    assert_eq!(shape_of("NonZero", &[], &[zeros(&[])]), [0, 0]);
    assert_eq!(shape_of("NonZero", &[], &[zeros(&[2, 0])]), [2, 0]);
    assert_eq!(shape_of("Unique", &[], &[zeros(&[0])]), [0]);
    assert_eq!(shape_of("Unique", &[int("axis", 0)], &[zeros(&[2, 0])]), [1, 0]);
    assert_eq!(shape_of("TopK", &[], &[zeros(&[2, 3]), ints(&[0])]), [2, 0]);
    assert_eq!(shape_of("TopK", &[], &[zeros(&[0, 3]), ints(&[2])]), [0, 2]);
    assert_eq!(shape_of("Trilu", &[], &[zeros(&[2, 0, 3])]), [2, 0, 3]);
    assert_eq!(shape_of("GlobalAveragePool", &[], &[zeros(&[0, 3, 4])]), [0, 3, 1]);
    assert_eq!(shape_of("GlobalMaxPool", &[], &[zeros(&[2, 3])]), [2, 3]);
    let kernel = ("kernel_shape", Attr::Ints(vec![2]));
    let pads = ("pads", Attr::Ints(vec![1, 1]));
    assert_eq!(shape_of("MaxPool", &[kernel.clone(), pads.clone()], &[zeros(&[1, 1, 0])]), [1, 1, 1]);
    assert_eq!(shape_of("AveragePool", &[kernel, pads], &[zeros(&[0, 1, 5])]), [0, 1, 6]);
    assert_eq!(
        shape_of("Einsum", &[("equation", Attr::String("ij,jk->ik".into()))], &[zeros(&[2, 0]), zeros(&[0, 3])]),
        [2, 3]
    );
    assert_eq!(shape_of("Det", &[], &[zeros(&[0, 0])]), [0usize; 0]);
    assert_eq!(shape_of("DFT", &[], &[zeros(&[0, 4, 1])]), [0, 4, 2]);
    assert_eq!(shape_of("GridSample", &[], &[zeros(&[1, 2, 3, 3]), zeros(&[1, 0, 2, 2])]), [1, 2, 0, 2]);
    assert_eq!(shape_of("DepthToSpace", &[int("blocksize", 2)], &[zeros(&[1, 0, 2, 2])]), [1, 0, 4, 4]);
    assert_eq!(shape_of("HannWindow", &[], &[Tensor::scalar(1i64)]), [1]);
}

/// Scores that have no order among them: the standard library's sort panics on these.
#[test]
fn suppression_survives_scores_that_are_not_numbers() {
    let n = 25;
    let boxes: Vec<f32> = (0..n).flat_map(|i| [i as f32, 0.0, i as f32 + 0.5, 1.0]).collect();
    let scores: Vec<f32> = (0..n).map(|i| if i % 3 == 0 { f32::NAN } else { (i * 37 % 101) as f32 }).collect();
    let inputs = [
        Tensor::new([1, n, 4], &boxes).expect("fits"),
        Tensor::new([1, 1, n], &scores).expect("fits"),
        ints(&[n as i64]),
    ];
    let kept = run("NonMaxSuppression", &[], &inputs, 1).expect("legal");
    let kept = kept[0].slice::<i64>().expect("int64");
    let mut boxes: Vec<i64> = kept.chunks_exact(3).map(|row| row[2]).collect();
    boxes.sort();
    assert_eq!(boxes, (0..n as i64).collect::<Vec<_>>());
}

#[test]
fn nonsense_is_refused() {
    let int = |name, v| (name, Attr::Int(v));
    let bad: Vec<(&str, Vec<(&str, Attr)>, Vec<Tensor>)> = vec![
        ("Gather", vec![], vec![zeros(&[3]), ints(&[3])]),
        ("Gather", vec![], vec![zeros(&[3]), ints(&[i64::MIN])]),
        ("GatherElements", vec![], vec![zeros(&[3]), ints(&[-4])]),
        ("GatherND", vec![], vec![zeros(&[3]), ints(&[3])]),
        ("ScatterElements", vec![], vec![zeros(&[3]), ints(&[5]), zeros(&[1])]),
        ("ScatterND", vec![], vec![zeros(&[3]), ints(&[7]), zeros(&[])]),
        ("Pad", vec![], vec![zeros(&[3]), ints(&[i64::MIN, i64::MAX])]),
        ("Pad", vec![("mode", Attr::String("edge".into()))], vec![zeros(&[0]), ints(&[1, 0])]),
        ("Tile", vec![], vec![zeros(&[3]), ints(&[i64::MAX])]),
        ("Tile", vec![], vec![zeros(&[3]), ints(&[-1])]),
        ("Expand", vec![], vec![zeros(&[3]), ints(&[1 << 40, 1 << 40, 3])]),
        ("TopK", vec![], vec![zeros(&[3]), ints(&[4])]),
        ("Transpose", vec![("perm", Attr::Ints(vec![0, 0]))], vec![zeros(&[2, 2])]),
        ("DepthToSpace", vec![int("blocksize", i64::MAX)], vec![zeros(&[1, 4, 1, 1])]),
        ("MaxPool", vec![("kernel_shape", Attr::Ints(vec![0]))], vec![zeros(&[1, 1, 3])]),
        ("MaxPool", vec![("kernel_shape", Attr::Ints(vec![9]))], vec![zeros(&[1, 1, 3])]),
        ("Slice", vec![], vec![zeros(&[3]), ints(&[0]), ints(&[1]), ints(&[0]), ints(&[0])]),
        ("Slice", vec![], vec![zeros(&[3]), ints(&[0]), ints(&[1]), ints(&[7])]),
        ("Resize", vec![], vec![zeros(&[3]), zeros(&[0]), zeros(&[1])]),
        ("ReverseSequence", vec![], vec![zeros(&[2, 1]), ints(&[3])]),
        ("ConstantOfShape", vec![], vec![ints(&[-1])]),
        ("Range", vec![], vec![Tensor::scalar(0i64), Tensor::scalar(5i64), Tensor::scalar(0i64)]),
        ("STFT", vec![], vec![zeros(&[1, 8, 1]), Tensor::scalar(0i64), zeros(&[4])]),
    ];
    for (op, attrs, inputs) in bad {
        assert!(run(op, &attrs, &inputs, 1).is_err(), "{op} {attrs:?}");
    }
}
