//! Types of the elementwise operators: unary, binary, variadic, comparison, choice and conversion.

use super::{Infer, InferFn};
use crate::Result;
use crate::tensor::{DType, TensorType};

pub const OPS: &[(&str, InferFn)] = &[
    ("Abs", unary),
    ("Acos", unary),
    ("Acosh", unary),
    ("Asin", unary),
    ("Asinh", unary),
    ("Atan", unary),
    ("Atanh", unary),
    ("BitwiseNot", unary),
    ("Ceil", unary),
    ("Celu", unary),
    ("Clip", unary),
    ("Cos", unary),
    ("Cosh", unary),
    ("Elu", unary),
    ("Erf", unary),
    ("Exp", unary),
    ("Floor", unary),
    ("Gelu", unary),
    ("HardSigmoid", unary),
    ("HardSwish", unary),
    ("LeakyRelu", unary),
    ("Log", unary),
    ("Mish", unary),
    ("Neg", unary),
    ("Not", unary),
    ("Reciprocal", unary),
    ("Relu", unary),
    ("Round", unary),
    ("Selu", unary),
    ("Shrink", unary),
    ("Sigmoid", unary),
    ("Sign", unary),
    ("Sin", unary),
    ("Sinh", unary),
    ("Softplus", unary),
    ("Softsign", unary),
    ("Sqrt", unary),
    ("Swish", unary),
    ("Tan", unary),
    ("Tanh", unary),
    ("ThresholdedRelu", unary),
    ("IsInf", predicate),
    ("IsNaN", predicate),
    ("Add", binary),
    ("BitShift", binary),
    ("BitwiseAnd", binary),
    ("BitwiseOr", binary),
    ("BitwiseXor", binary),
    ("Div", binary),
    ("Mod", binary),
    ("Mul", binary),
    ("PRelu", binary),
    ("Sub", binary),
    ("SwiGLU", binary),
    ("And", binary),
    ("Or", binary),
    ("Xor", binary),
    ("Pow", pow),
    ("Equal", compare),
    ("Greater", compare),
    ("GreaterOrEqual", compare),
    ("Less", compare),
    ("LessOrEqual", compare),
    ("Max", variadic),
    ("Mean", variadic),
    ("Min", variadic),
    ("Sum", variadic),
    ("Where", choice),
    ("Cast", cast),
    ("BitCast", bit_cast),
    ("CastLike", cast_like),
];

fn unary(infer: &Infer) -> Result<Vec<TensorType>> {
    Ok(vec![infer.ty(0)?.clone()])
}

fn predicate(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.one(DType::Bool, infer.shape(0)?)
}

/// Inputs `inputs` must share a dtype.
fn same_dtype(infer: &Infer, inputs: std::ops::Range<usize>) -> Result<DType> {
    let first = infer.dtype(inputs.start)?;
    for i in inputs {
        let dtype = infer.dtype(i)?;
        if dtype != first {
            return Err(infer.node.error(format!(
                "input {i} is {}, but input 0 is {}; cast one of them",
                dtype.name(),
                first.name()
            )));
        }
    }
    Ok(first)
}

fn binary(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.one(same_dtype(infer, 0..2)?, infer.broadcast(&[0, 1])?)
}

fn pow(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.one(infer.dtype(0)?, infer.broadcast(&[0, 1])?)
}

fn compare(infer: &Infer) -> Result<Vec<TensorType>> {
    same_dtype(infer, 0..2)?;
    infer.one(DType::Bool, infer.broadcast(&[0, 1])?)
}

fn variadic(infer: &Infer) -> Result<Vec<TensorType>> {
    let all: Vec<usize> = (0..infer.types.len()).collect();
    infer.one(same_dtype(infer, 0..all.len())?, infer.broadcast(&all)?)
}

fn choice(infer: &Infer) -> Result<Vec<TensorType>> {
    if infer.dtype(0)? != DType::Bool {
        return Err(infer.node.error(format!("the condition is {}, not bool", infer.dtype(0)?.name())));
    }
    infer.one(same_dtype(infer, 1..3)?, infer.broadcast(&[0, 1, 2])?)
}

fn cast(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.one(target(infer)?, infer.shape(0)?)
}

/// The dtype that attribute `to` names in ONNX's numbering.
fn target(infer: &Infer) -> Result<DType> {
    let code = infer.node.attrs.int("to").ok_or_else(|| infer.node.error("attribute `to` is missing"))?;
    DType::from_onnx(code)
        .ok_or_else(|| crate::Error::Unsupported(format!("{} to ONNX element type {code}", infer.node.op)))
}

fn cast_like(infer: &Infer) -> Result<Vec<TensorType>> {
    infer.one(infer.dtype(1)?, infer.shape(0)?)
}

fn bit_cast(infer: &Infer) -> Result<Vec<TensorType>> {
    let (from, to) = (infer.dtype(0)?, target(infer)?);
    if from.size() != to.size() {
        return Err(infer.node.error(format!("{} and {} differ in size", from.name(), to.name())));
    }
    infer.one(to, infer.shape(0)?)
}
