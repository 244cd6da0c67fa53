//! Reductions over any set of axes. Shader: `shaders/reduce.wgsl`; the operators' numbers are shared with it.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::reduce::{Params, SERIAL, TREE};
use crate::Result;
use crate::ops::reduce::{merged_axes, reduced_axes};
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("ReduceL1", emit),
    GpuKernel::new("ReduceL2", emit),
    GpuKernel::new("ReduceLogSum", emit),
    GpuKernel::new("ReduceLogSumExp", emit),
    GpuKernel::new("ReduceMax", emit),
    GpuKernel::new("ReduceMean", emit),
    GpuKernel::new("ReduceMin", emit),
    GpuKernel::new("ReduceProd", emit),
    GpuKernel::new("ReduceSum", emit),
    GpuKernel::new("ReduceSumSquare", emit),
];

/// Axes the shader's uniform has room for, after merging.
const MAX_AXES: usize = 8;
/// Rows of fewer elements than this are not worth a workgroup each.
const TREE_FROM: usize = 64;
/// A software adapter computes many rows faster one by one, but has nothing to spread few over.
const FEW_ROWS: usize = 64;

/// Whether each of `rows` contiguous rows of `len` elements should get a workgroup rather than an invocation.
pub fn by_workgroups(e: &Emit, rows: usize, len: usize) -> bool {
    len >= TREE_FROM && (rows < FEW_ROWS || !e.is_software())
}

fn number(op: &str, dtype: DType) -> Option<u32> {
    match (op, dtype) {
        ("ReduceSum", DType::F32) => Some(0),
        ("ReduceMean", DType::F32) => Some(1),
        ("ReduceMax", DType::F32) => Some(2),
        ("ReduceMin", DType::F32) => Some(3),
        ("ReduceProd", DType::F32) => Some(4),
        ("ReduceL1", DType::F32) => Some(5),
        ("ReduceL2", DType::F32) => Some(6),
        ("ReduceSumSquare", DType::F32) => Some(7),
        ("ReduceLogSum", DType::F32) => Some(8),
        ("ReduceLogSumExp", DType::F32) => Some(9),
        ("ReduceSum", DType::I32) => Some(16),
        ("ReduceMax", DType::I32) => Some(18),
        ("ReduceMin", DType::I32) => Some(19),
        ("ReduceProd", DType::I32) => Some(20),
        _ => None,
    }
}

fn emit(e: &mut Emit) -> Result<()> {
    let (ty, attrs) = (e.input_type(0)?, &e.node.attrs);
    let op = number(&e.node.op, ty.dtype).ok_or_else(|| e.unsupported(format!("elements of {}", ty.dtype.name())))?;
    let axes = match e.has(1) {
        true => Some(e.value(1).ok_or_else(|| e.unsupported("axes known only at run time"))?.to_i64()?),
        false => attrs.ints("axes").map(<[i64]>::to_vec),
    };
    let reduced = reduced_axes(ty.shape.len(), axes.as_deref(), attrs.flag("noop_with_empty_axes"))
        .ok_or_else(|| e.node.error("an axis is outside the tensor"))?;

    let merged = merged_axes(&ty.shape, &reduced);
    let mut table = [[1, 0, 1, 0]; MAX_AXES];
    let (mut stride, mut size, mut kept, mut folded) = (1, 1, Vec::new(), Vec::new());
    for &(d, r) in merged.iter().rev() {
        let axis = [u32_of(d)?, u32_of(stride)?];
        if r {
            size *= d;
            folded.insert(0, axis);
        } else {
            kept.insert(0, axis);
        }
        stride *= d;
    }
    if kept.len() > MAX_AXES || folded.len() > MAX_AXES {
        return Err(e.unsupported(format!("{} axes that do not merge", merged.len())));
    }
    for (row, axis) in table.iter_mut().zip(&kept) {
        row[..2].copy_from_slice(axis);
    }
    for (row, axis) in table.iter_mut().zip(&folded) {
        row[2..].copy_from_slice(axis);
    }

    let count = e.output_type(0)?.len();
    let contiguous = merged.last().is_some_and(|&(_, r)| r);
    let (shader, groups) = match contiguous && by_workgroups(e, count, size) {
        true => (&TREE, grid(count)?),
        false => (&SERIAL, grid(count.div_ceil(SERIAL.code.workgroup_size[0] as usize))?),
    };
    let axes_of = |list: &[[u32; 2]]| list.len().max(1) as f64;
    let overrides = [("OP", op.into()), ("KEPT", axes_of(&kept)), ("REDUCED", axes_of(&folded))];
    let params = Params { axes: table, count: u32_of(count)?, size: u32_of(size)?, scale: 1.0 / size as f32 };
    let operands = [e.input(0)?, e.output(0)?];
    e.dispatch(shader, &overrides, &operands, &params, groups)
}
