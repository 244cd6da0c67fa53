//! RNN, LSTM and GRU: their shapes.

use super::params;
use super::{Infer, InferFn};
use crate::graph::Node;
use crate::tensor::{Shape, TensorType};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[("RNN", recurrent), ("GRU", recurrent), ("LSTM", recurrent)];

/// Sizes of a recurrent node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub steps: usize,
    pub batch: usize,
    pub input: usize,
    pub hidden: usize,
    /// 1, or 2 for `bidirectional`.
    pub directions: usize,
    /// 1 for RNN, 3 for GRU, 4 for LSTM.
    pub gates: usize,
    /// Attribute `layout` 1: the batch comes first.
    pub batch_first: bool,
}

impl Sizes {
    /// From the shapes of X, W and R.
    pub fn new(node: &Node, x: &[usize], w: &[usize], r: &[usize]) -> Result<Self> {
        let misfit = || node.error(format!("X {x:?}, W {w:?}, R {r:?} do not fit"));
        let gates = match node.op.as_str() {
            "RNN" => 1,
            "GRU" => 3,
            _ => 4,
        };
        let directions = match node.attrs.string_or("direction", "forward") {
            "forward" | "reverse" => 1,
            "bidirectional" => 2,
            other => return Err(Error::Unsupported(format!("{} with direction {other}", node.op))),
        };
        let batch_first = node.attrs.flag("layout");
        let (&[a, b, input], &[_, _, hidden]) = (x, r) else { return Err(misfit()) };
        let (steps, batch) = if batch_first { (b, a) } else { (a, b) };
        let rows = hidden.checked_mul(gates).ok_or_else(misfit)?;
        if w != [directions, rows, input] || r != [directions, rows, hidden] {
            return Err(misfit());
        }
        Ok(Sizes { steps, batch, input, hidden, directions, gates, batch_first })
    }
}

fn recurrent(infer: &Infer) -> Result<Vec<TensorType>> {
    let node = infer.node;
    let dtype = infer.dtype(0)?;
    let s = Sizes::new(node, infer.shape(0)?, infer.shape(1)?, infer.shape(2)?)?;
    let check = |i: usize, wanted: Shape| match infer.opt_ty(i) {
        Some(ty) if ty.shape != wanted => {
            Err(node.error(format!("input {i} has shape {:?}, but {wanted:?} is needed", ty.shape)))
        }
        _ => Ok(()),
    };
    let state: Shape = match s.batch_first {
        true => vec![s.batch, s.directions, s.hidden],
        false => vec![s.directions, s.batch, s.hidden],
    };
    check(3, vec![s.directions, 2 * s.gates * s.hidden])?;
    check(4, vec![s.batch])?;
    check(5, state.clone())?;
    check(6, state.clone())?;
    check(7, vec![s.directions, 3 * s.hidden])?;
    let all: Shape = match s.batch_first {
        true => vec![s.batch, s.steps, s.directions, s.hidden],
        false => vec![s.steps, s.directions, s.batch, s.hidden],
    };
    params::product(node, &all)?;
    let mut types = vec![TensorType::new(dtype, all), TensorType::new(dtype, state.clone())];
    if node.op == "LSTM" {
        types.push(TensorType::new(dtype, state));
    }
    params::outputs(infer, types)
}
