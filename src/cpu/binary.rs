//! Elementwise operators of several tensors, with broadcasting. GPU twins: `shaders/binary.wgsl`, `shaders/choose.wgsl`.

use super::elementwise::{binary, choose, compare, fold};
use super::number::{Int, Wide};
use super::{Call, Kernel};
use crate::tensor::DType;
use crate::{Error, Result};
use crate::{for_float, for_wide};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("Add", arithmetic),
    Kernel::new("Div", arithmetic),
    Kernel::new("Mod", arithmetic),
    Kernel::new("Mul", arithmetic),
    Kernel::new("PRelu", arithmetic),
    Kernel::new("Pow", pow),
    Kernel::new("Sub", arithmetic),
    Kernel::new("SwiGLU", swiglu),
    Kernel::new("Equal", comparison),
    Kernel::new("Greater", comparison),
    Kernel::new("GreaterOrEqual", comparison),
    Kernel::new("Less", comparison),
    Kernel::new("LessOrEqual", comparison),
    Kernel::new("And", logic),
    Kernel::new("Or", logic),
    Kernel::new("Xor", logic),
    Kernel::new("BitShift", bits),
    Kernel::new("BitwiseAnd", bits),
    Kernel::new("BitwiseOr", bits),
    Kernel::new("BitwiseXor", bits),
    Kernel::new("Max", variadic),
    Kernel::new("Mean", variadic),
    Kernel::new("Min", variadic),
    Kernel::new("Sum", variadic),
    Kernel::new("Where", choice),
];

fn unknown(call: &Call) -> Result<()> {
    Err(Error::UnknownOperator(call.node.op.clone()))
}

#[allow(clippy::absurd_extreme_comparisons)] // for unsigned types nothing is below zero
fn arithmetic(call: &mut Call) -> Result<()> {
    for_wide!(call.input(0)?.dtype, W => match call.node.op.as_str() {
        "Add" => binary(call, W::add),
        "Div" => binary(call, <W as Wide>::div),
        "Mod" if call.node.attrs.flag("fmod") => binary(call, W::fmod),
        "Mod" => binary(call, W::modulo),
        "Mul" => binary(call, W::mul),
        "PRelu" => binary(call, |x: W, slope| if x < W::ZERO { slope.mul(x) } else { x }),
        "Sub" => binary(call, W::sub),
        _ => unknown(call),
    })
}

/// The result has the base's dtype; the exponent may have another. An integer base with a float exponent is computed in
/// f64, a float base takes its exponent in its own precision.
fn pow(call: &mut Call) -> Result<()> {
    let (base, exponent) = (call.input(0)?.dtype, call.input(1)?.dtype);
    if base.is_int() && exponent.is_float() {
        return binary(call, f64::powf);
    }
    for_wide!(base, W => binary(call, <W as Wide>::pow))
}

/// Swish(a) · b
fn swiglu(call: &mut Call) -> Result<()> {
    use super::math::Real;
    let alpha = call.node.attrs.float_or("alpha", 1.0);
    for_float!(call.input(0)?.dtype, R => {
        let alpha = R::from(alpha);
        binary(call, |a: R, b| a * Real::sigmoid(alpha * a) * b)
    })
}

fn comparison(call: &mut Call) -> Result<()> {
    for_wide!(call.input(0)?.dtype, W => match call.node.op.as_str() {
        "Equal" => compare(call, |a: W, b| a == b),
        "Greater" => compare(call, |a: W, b| a > b),
        "GreaterOrEqual" => compare(call, |a: W, b| a >= b),
        "Less" => compare(call, |a: W, b| a < b),
        "LessOrEqual" => compare(call, |a: W, b| a <= b),
        _ => unknown(call),
    })
}

fn logic(call: &mut Call) -> Result<()> {
    match call.node.op.as_str() {
        "And" => compare(call, |a: i64, b| a != 0 && b != 0),
        "Or" => compare(call, |a: i64, b| a != 0 || b != 0),
        "Xor" => compare(call, |a: i64, b| (a != 0) != (b != 0)),
        _ => unknown(call),
    }
}

fn bits(call: &mut Call) -> Result<()> {
    match call.input(0)?.dtype {
        DType::U64 => bits_of::<u64>(call),
        _ => bits_of::<i64>(call),
    }
}

fn bits_of<I: Int>(call: &mut Call) -> Result<()> {
    match (call.node.op.as_str(), call.node.attrs.string_or("direction", "")) {
        ("BitwiseAnd", _) => binary(call, I::and),
        ("BitwiseOr", _) => binary(call, I::or),
        ("BitwiseXor", _) => binary(call, I::xor),
        ("BitShift", "LEFT") => binary(call, I::shl),
        ("BitShift", "RIGHT") => binary(call, I::shr),
        ("BitShift", other) => Err(call.node.error(format!("direction `{other}` is neither LEFT nor RIGHT"))),
        _ => unknown(call),
    }
}

fn variadic(call: &mut Call) -> Result<()> {
    let count = call.inputs.len();
    for_wide!(call.input(0)?.dtype, W => match call.node.op.as_str() {
        "Max" => fold(call, W::larger, |v| v),
        "Min" => fold(call, W::smaller, |v| v),
        "Sum" => fold(call, W::add, |v| v),
        "Mean" => {
            let count = W::of(count as u64);
            fold(call, W::add, move |v: W| Wide::div(v, count))
        }
        _ => unknown(call),
    })
}

fn choice(call: &mut Call) -> Result<()> {
    match call.input(1)?.dtype.size() {
        1 => choose::<u8>(call),
        2 => choose::<u16>(call),
        4 => choose::<u32>(call),
        _ => choose::<u64>(call),
    }
}
