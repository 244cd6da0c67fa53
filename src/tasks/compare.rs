//! Are two tensors the same up to rounding? The measure of the public ONNX tests.

use crate::Result;
use crate::tensor::{DType, Tensor};

/// `|got − expected| ≤ ABSOLUTE + RELATIVE · |expected|`, the limits of `onnx.backend.test`.
const RELATIVE: f64 = 1e-3;
const ABSOLUTE: f64 = 1e-7;

/// `None` if type, shape and values agree (integers and bools exactly, NaN equals NaN), else what differs first.
pub fn difference(got: &Tensor, expected: &Tensor) -> Result<Option<String>> {
    if got.ty() != expected.ty() {
        return Ok(Some(format!(
            "got {} {:?}, expected {} {:?}",
            got.dtype().name(),
            got.shape(),
            expected.dtype().name(),
            expected.shape()
        )));
    }
    if got.dtype().is_float() {
        return Ok(first_difference(&to_f64(got)?, &to_f64(expected)?, |&a, &b| close(a, b)));
    }
    Ok(first_difference(&got.to_i64()?, &expected.to_i64()?, |a, b| a == b))
}

fn to_f64(tensor: &Tensor) -> Result<Vec<f64>> {
    match tensor.dtype() {
        DType::F64 => Ok(tensor.slice::<f64>()?.to_vec()),
        _ => Ok(tensor.to_f32()?.into_iter().map(f64::from).collect()),
    }
}

fn close(got: f64, expected: f64) -> bool {
    got == expected
        || (got.is_nan() && expected.is_nan())
        || (expected.is_finite() && (got - expected).abs() <= ABSOLUTE + RELATIVE * expected.abs())
}

fn first_difference<T: std::fmt::Display>(got: &[T], expected: &[T], same: impl Fn(&T, &T) -> bool) -> Option<String> {
    let differs = |i: &usize| !same(&got[*i], &expected[*i]);
    let count = (0..got.len()).filter(differs).count();
    let first = (0..got.len()).find(differs)?;
    let (a, b) = (&got[first], &expected[first]);
    Some(format!("{count} of {} values differ; number {first} is {a}, expected {b}", got.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(got: &[f32], expected: &[f32]) -> bool {
        let (got, expected) =
            (Tensor::new([got.len()], got).unwrap(), Tensor::new([expected.len()], expected).unwrap());
        difference(&got, &expected).unwrap().is_none()
    }

    #[test]
    fn nan_and_infinities_equal_themselves_only() {
        assert!(same(&[f32::NAN, f32::INFINITY], &[f32::NAN, f32::INFINITY]));
        assert!(!same(&[f32::INFINITY], &[f32::NEG_INFINITY]));
        assert!(!same(&[3e38], &[f32::INFINITY]));
        assert!(!same(&[0.0], &[f32::NAN]));
    }

    #[test]
    fn tolerance_is_relative() {
        assert!(same(&[1000.9], &[1000.0]));
        assert!(!same(&[1.0 + 2e-3], &[1.0]));
    }

    #[test]
    fn shape_and_type_count() {
        let (a, b) = (Tensor::new([1], &[1f32]).unwrap(), Tensor::scalar(1f32));
        assert!(difference(&a, &b).unwrap().is_some());
        assert!(difference(&Tensor::scalar(1i32), &Tensor::scalar(1i64)).unwrap().is_some());
    }
}
