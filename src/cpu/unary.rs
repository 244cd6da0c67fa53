//! Elementwise operators of one tensor. GPU twin: `shaders/unary.wgsl`.

use super::elementwise::{map, predicate};
use super::math::Real;
use super::number::{Int, Wide};
use super::vector::{self, Function};
use super::{Call, Kernel};
use crate::Result;
use crate::tensor::DType;
use crate::{for_float, for_wide};

pub const KERNELS: &[Kernel] = &[
    Kernel::new("Abs", arithmetic),
    Kernel::new("Neg", arithmetic),
    Kernel::new("Sign", arithmetic),
    Kernel::new("Relu", arithmetic),
    Kernel::new("Clip", clip),
    Kernel::new("BitwiseNot", not),
    Kernel::new("Not", not),
    Kernel::new("IsInf", is_inf),
    Kernel::new("IsNaN", is_nan),
    Kernel::new("Acos", library),
    Kernel::new("Acosh", library),
    Kernel::new("Asin", library),
    Kernel::new("Asinh", library),
    Kernel::new("Atan", library),
    Kernel::new("Atanh", library),
    Kernel::new("Ceil", library),
    Kernel::new("Cos", library),
    Kernel::new("Cosh", library),
    Kernel::new("Floor", library),
    Kernel::new("Round", library),
    Kernel::new("Sin", library),
    Kernel::new("Sinh", library),
    Kernel::new("Tan", library),
    Kernel::new("Celu", float),
    Kernel::new("Elu", float),
    Kernel::new("Erf", float),
    Kernel::new("Exp", float),
    Kernel::new("Gelu", float),
    Kernel::new("HardSigmoid", float),
    Kernel::new("HardSwish", float),
    Kernel::new("LeakyRelu", float),
    Kernel::new("Log", float),
    Kernel::new("Mish", float),
    Kernel::new("Reciprocal", float),
    Kernel::new("Selu", float),
    Kernel::new("Shrink", shrink),
    Kernel::new("Sigmoid", float),
    Kernel::new("Softplus", float),
    Kernel::new("Softsign", float),
    Kernel::new("Sqrt", float),
    Kernel::new("Swish", float),
    Kernel::new("Tanh", float),
    Kernel::new("ThresholdedRelu", float),
];

/// Applies `f` to every element of input 0.
#[inline(always)]
fn each<W: Wide>(call: &mut Call, f: impl Fn(W) -> W + Sync + Send) -> Result<()> {
    map(call, |x: &mut [W]| x.iter_mut().for_each(|v| *v = f(*v)))
}

fn unknown(call: &Call) -> Result<()> {
    Err(crate::Error::UnknownOperator(call.node.op.clone()))
}

/// Operators of integers and floats.
#[allow(clippy::absurd_extreme_comparisons)] // for unsigned types nothing is below zero
fn arithmetic(call: &mut Call) -> Result<()> {
    for_wide!(call.input(0)?.dtype, W => match call.node.op.as_str() {
        "Abs" => each(call, <W as Wide>::abs),
        "Neg" => each::<W>(call, |x| W::ZERO.sub(x)),
        "Sign" => each::<W>(call, |x| x.sign()),
        "Relu" => each::<W>(call, |x| if x < W::ZERO { W::ZERO } else { x }),
        _ => unknown(call),
    })
}

/// min(max(x, low), high); a bound left out does not bind.
fn clip(call: &mut Call) -> Result<()> {
    for_wide!(call.input(0)?.dtype, W => {
        let bound = |i: usize, none: W| -> Result<W> {
            match call.opt_input(i)? {
                Some(view) => super::number::widened::<W>(&view).first().copied().ok_or_else(|| call.node.error("an empty bound")),
                None => Ok(none),
            }
        };
        let (low, high) = (bound(1, W::LOWEST)?, bound(2, W::HIGHEST)?);
        each::<W>(call, |x| {
            let x = if x < low { low } else { x };
            if x > high { high } else { x }
        })
    })
}

fn not(call: &mut Call) -> Result<()> {
    match call.node.op.as_str() {
        "Not" => each::<i64>(call, |x| i64::from(x == 0)),
        _ => each::<i64>(call, Int::not),
    }
}

fn is_inf(call: &mut Call) -> Result<()> {
    let positive = call.node.attrs.int_or("detect_positive", 1) != 0;
    let negative = call.node.attrs.int_or("detect_negative", 1) != 0;
    for_float!(call.input(0)?.dtype, R => {
        predicate::<R>(call, |x| (positive && x == R::INFINITY) || (negative && x == R::NEG_INFINITY))
    })
}

fn is_nan(call: &mut Call) -> Result<()> {
    for_float!(call.input(0)?.dtype, R => predicate::<R>(call, R::is_nan))
}

/// Functions taken from the platform's library.
fn library(call: &mut Call) -> Result<()> {
    for_float!(call.input(0)?.dtype, R => match call.node.op.as_str() {
        "Acos" => each(call, R::acos),
        "Acosh" => each(call, R::acosh),
        "Asin" => each(call, R::asin),
        "Asinh" => each(call, R::asinh),
        "Atan" => each(call, R::atan),
        "Atanh" => each(call, R::atanh),
        "Ceil" => each(call, R::ceil),
        "Cos" => each(call, R::cos),
        "Cosh" => each(call, R::cosh),
        "Floor" => each(call, R::floor),
        "Round" => each(call, R::round_ties_even),
        "Sin" => each(call, R::sin),
        "Sinh" => each(call, R::sinh),
        "Tan" => each(call, R::tan),
        _ => unknown(call),
    })
}

fn float(call: &mut Call) -> Result<()> {
    if call.input(0)?.dtype != DType::F64
        && let Some(f) = vectorised(call)
    {
        let level = call.threads.level();
        return map(call, |x: &mut [f32]| vector::map(level, f, x));
    }
    for_float!(call.input(0)?.dtype, R => activation::<R>(call))
}

/// The operator, if its f32 form is compiled per instruction set.
fn vectorised(call: &Call) -> Option<Function> {
    let attrs = &call.node.attrs;
    Some(match call.node.op.as_str() {
        "Erf" => Function::Erf,
        "Exp" => Function::Exp,
        "Gelu" if attrs.string_or("approximate", "none") != "tanh" => Function::Gelu,
        "Sigmoid" => Function::Sigmoid,
        "Swish" => Function::Swish(attrs.float_or("alpha", 1.0)),
        "Tanh" => Function::Tanh,
        _ => return None,
    })
}

/// ln(1 + eˣ) without overflow.
fn softplus<R: Real>(x: R) -> R {
    x.larger(R::ZERO).add(R::ZERO.sub(x.abs()).exp().ln_1p())
}

fn activation<R: Real>(call: &mut Call) -> Result<()> {
    let attrs = &call.node.attrs;
    let attr = |name: &str, default: f32| R::c(attrs.float_or(name, default).into());
    let (zero, one) = (R::ZERO, R::ONE);
    let clamp = move |x: R| x.larger(zero).smaller(one);
    match call.node.op.as_str() {
        "Erf" => each(call, R::erf),
        "Exp" => each(call, R::exp),
        "Log" => each(call, R::ln),
        "Mish" => each(call, |x: R| x.mul(softplus(x).tanh())),
        "Reciprocal" => each(call, |x: R| one.div(x)),
        "Sigmoid" => each(call, R::sigmoid),
        "Softplus" => each(call, softplus::<R>),
        "Softsign" => each(call, |x: R| x.div(one.add(x.abs()))),
        "Sqrt" => each(call, R::sqrt),
        "Tanh" => each(call, R::tanh),
        "Gelu" if attrs.string_or("approximate", "none") == "tanh" => {
            let (a, b, half) = (R::c((2.0 / std::f64::consts::PI).sqrt()), R::c(0.044715), R::c(0.5));
            each(call, |x: R| half.mul(x).mul(one.add(a.mul(x.add(b.mul(x).mul(x).mul(x))).tanh())))
        }
        "Gelu" => {
            let (root, half) = (R::c(std::f64::consts::FRAC_1_SQRT_2), R::c(0.5));
            each(call, |x: R| half.mul(x).mul(one.add(x.mul(root).erf())))
        }
        "Swish" => {
            let alpha = attr("alpha", 1.0);
            each(call, |x: R| x.mul(alpha.mul(x).sigmoid()))
        }
        "HardSigmoid" => {
            let (alpha, beta) = (attr("alpha", 0.2), attr("beta", 0.5));
            each(call, |x: R| clamp(alpha.mul(x).add(beta)))
        }
        "HardSwish" => {
            let (alpha, beta) = (R::c(1.0 / 6.0), R::c(0.5));
            each(call, |x: R| x.mul(clamp(alpha.mul(x).add(beta))))
        }
        "LeakyRelu" => {
            let alpha = attr("alpha", 0.01);
            each(call, |x: R| if x < zero { alpha.mul(x) } else { x })
        }
        "ThresholdedRelu" => {
            let alpha = attr("alpha", 1.0);
            each(call, |x: R| if x > alpha { x } else { zero })
        }
        "Elu" => {
            let alpha = attr("alpha", 1.0);
            each(call, |x: R| if x < zero { alpha.mul(x.exp().sub(one)) } else { x })
        }
        "Celu" => {
            let alpha = attr("alpha", 1.0);
            each(call, |x: R| if x < zero { alpha.mul(x.div(alpha).exp().sub(one)) } else { x })
        }
        "Selu" => {
            let (alpha, gamma) = (attr("alpha", 1.673_263_2), attr("gamma", 1.050_701));
            each(call, |x: R| gamma.mul(if x > zero { x } else { alpha.mul(x.exp().sub(one)) }))
        }
        _ => unknown(call),
    }
}

/// x + bias below −λ, x − bias above λ, 0 between.
fn shrink(call: &mut Call) -> Result<()> {
    let (lambd, bias) = (call.node.attrs.float_or("lambd", 0.5), call.node.attrs.float_or("bias", 0.0));
    for_float!(call.input(0)?.dtype, R => {
        let (lambd, bias) = (R::from(lambd), R::from(bias));
        each(call, |x: R| if x < -lambd { x + bias } else if x > lambd { x - bias } else { 0.0 })
    })
}
