//! Elementwise operators of one tensor. Shader: `shaders/unary.wgsl`; the operators' numbers are shared with it.

use super::binary;
use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::unary::{Params, SHADER};
use crate::Result;
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[
    GpuKernel::new("Abs", emit),
    GpuKernel::new("BitwiseNot", emit),
    GpuKernel::new("Ceil", emit),
    GpuKernel::new("Celu", emit),
    GpuKernel::new("Clip", clip),
    GpuKernel::new("Cos", emit),
    GpuKernel::new("Elu", emit),
    GpuKernel::new("Erf", emit),
    GpuKernel::new("Exp", emit),
    GpuKernel::new("Floor", emit),
    GpuKernel::new("Gelu", emit),
    GpuKernel::new("HardSigmoid", emit),
    GpuKernel::new("HardSwish", emit),
    GpuKernel::new("IsInf", emit),
    GpuKernel::new("IsNaN", emit),
    GpuKernel::new("LeakyRelu", emit),
    GpuKernel::new("Log", emit),
    GpuKernel::new("Mish", emit),
    GpuKernel::new("Neg", emit),
    GpuKernel::new("Not", emit),
    GpuKernel::new("Reciprocal", emit),
    GpuKernel::new("Relu", emit),
    GpuKernel::new("Round", emit),
    GpuKernel::new("Selu", emit),
    GpuKernel::new("Shrink", emit),
    GpuKernel::new("Sigmoid", emit),
    GpuKernel::new("Sign", emit),
    GpuKernel::new("Sin", emit),
    GpuKernel::new("Softplus", emit),
    GpuKernel::new("Softsign", emit),
    GpuKernel::new("Sqrt", emit),
    GpuKernel::new("Swish", emit),
    GpuKernel::new("Tanh", emit),
    GpuKernel::new("ThresholdedRelu", emit),
];

const CLIP: u32 = 30;

/// `(number, attribute a, attribute b)` of an f32 operator.
fn of_floats(e: &Emit) -> Option<(u32, f32, f32)> {
    let attrs = &e.node.attrs;
    let plain = |op| Some((op, 0.0, 0.0));
    match e.node.op.as_str() {
        "Abs" => plain(0),
        "Neg" => plain(1),
        "Sign" => plain(2),
        "Relu" => plain(3),
        "Ceil" => plain(4),
        "Floor" => plain(5),
        "Round" => plain(6),
        "Sqrt" => plain(7),
        "Exp" => plain(8),
        "Log" => plain(9),
        "Reciprocal" => plain(10),
        "Sin" => plain(11),
        "Cos" => plain(12),
        "Erf" => plain(13),
        "Sigmoid" => plain(14),
        "Tanh" => plain(15),
        "Gelu" => plain(if attrs.string("approximate") == Some("tanh") { 17 } else { 16 }),
        "Swish" => Some((18, attrs.float_or("alpha", 1.0), 0.0)),
        "HardSigmoid" => Some((19, attrs.float_or("alpha", 0.2), attrs.float_or("beta", 0.5))),
        "HardSwish" => plain(20),
        "LeakyRelu" => Some((21, attrs.float_or("alpha", 0.01), 0.0)),
        "ThresholdedRelu" => Some((22, attrs.float_or("alpha", 1.0), 0.0)),
        "Elu" => Some((23, attrs.float_or("alpha", 1.0), 0.0)),
        "Celu" => Some((24, attrs.float_or("alpha", 1.0), 0.0)),
        "Selu" => Some((25, attrs.float_or("alpha", 1.673_263_2), attrs.float_or("gamma", 1.050_701))),
        "Softplus" => plain(26),
        "Softsign" => plain(27),
        "Mish" => plain(28),
        "Shrink" => Some((29, attrs.float_or("lambd", 0.5), attrs.float_or("bias", 0.0))),
        "IsNaN" => plain(70),
        "IsInf" => {
            let detects = |name| attrs.int_or(name, 1) != 0;
            match (detects("detect_positive"), detects("detect_negative")) {
                (true, true) => plain(71),
                (true, false) => plain(72),
                (false, true) => plain(73),
                (false, false) => None,
            }
        }
        _ => None,
    }
}

fn of_ints(op: &str) -> Option<u32> {
    match op {
        "Abs" => Some(64),
        "Neg" => Some(65),
        "Sign" => Some(66),
        "Relu" => Some(67),
        "BitwiseNot" => Some(68),
        _ => None,
    }
}

fn emit(e: &mut Emit) -> Result<()> {
    let dtype = e.input_type(0)?.dtype;
    let op = match dtype {
        DType::F32 => of_floats(e),
        DType::I32 => of_ints(&e.node.op).map(|op| (op, 0.0, 0.0)),
        DType::Bool if e.node.op == "Not" => Some((69, 0.0, 0.0)),
        _ => None,
    };
    match op {
        Some((op, a, b)) => dispatch(e, op, a, b),
        None => Err(e.unsupported(format!("elements of {}", dtype.name()))),
    }
}

fn dispatch(e: &mut Emit, op: u32, a: f32, b: f32) -> Result<()> {
    let count = e.input_type(0)?.len();
    let operands = [e.input(0)?, e.output(0)?];
    let groups = grid(count.div_ceil(SHADER.code.workgroup_size[0] as usize))?;
    e.dispatch(&SHADER, &[("OP", op.into())], &operands, &Params { count: u32_of(count)?, a, b }, groups)
}

/// Known bounds are parameters; computed ones are the operands of a maximum and a minimum.
fn clip(e: &mut Emit) -> Result<()> {
    let ty = e.input_type(0)?.clone();
    let known = |i: usize| !e.has(i) || e.value(i).is_some();
    if ty.dtype == DType::F32 && known(1) && known(2) {
        let bound = |i: usize, none: f32| e.value(i).and_then(|t| t.to_f32().ok()?.first().copied()).unwrap_or(none);
        let (low, high) = (bound(1, f32::MIN), bound(2, f32::MAX));
        return dispatch(e, CLIP, low, high);
    }
    let x = e.input(0)?;
    match (e.has(1), e.has(2)) {
        (true, true) => {
            let (low, high) = (e.input(1)?, e.input(2)?);
            let middle = e.scratch(ty.len().max(4))?;
            let out = e.output(0)?;
            binary::dispatch(e, "Max", [(x, &ty.shape), (low, &[])], (middle.clone(), &ty), 0.0)?;
            binary::dispatch(e, "Min", [(middle, &ty.shape), (high, &[])], (out, &ty), 0.0)
        }
        (false, false) => Err(e.unsupported("no bounds")),
        (low, _) => {
            let (op, bound) = if low { ("Max", e.input(1)?) } else { ("Min", e.input(2)?) };
            let out = e.output(0)?;
            binary::dispatch(e, op, [(x, &ty.shape), (bound, &[])], (out, &ty), 0.0)
        }
    }
}
