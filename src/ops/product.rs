//! Matrix products: MatMul, Gemm, their integer forms, and the fused `fewbit.Linear`.

use super::infer::{Infer, InferFn};
use crate::Result;
use crate::graph::Node;
use crate::tensor::{DType, Shape, TensorType, broadcast, broadcast_strides};

pub const OPS: &[(&str, InferFn)] = &[
    ("MatMul", matmul),
    ("Gemm", gemm),
    ("MatMulInteger", matmul_integer),
    ("QLinearMatMul", qlinear_matmul),
    ("fewbit.Linear", linear),
];

/// A broadcast batch of products `[m, k] · [k, n]` (numpy's `matmul`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchedProduct {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    /// Broadcast batch shape.
    pub batch: Shape,
    /// Output shape: `batch`, then `m` and `n` unless the operand was a vector.
    pub output: Shape,
    a_strides: Vec<usize>,
    b_strides: Vec<usize>,
}

impl BatchedProduct {
    pub fn new(node: &Node, a: &[usize], b: &[usize]) -> Result<Self> {
        let mismatch = || node.error(format!("cannot multiply matrices of shapes {a:?} and {b:?}"));
        let (a_batch, m, k) = match a {
            [] => return Err(mismatch()),
            [k] => (&a[..0], 1, *k),
            [batch @ .., m, k] => (batch, *m, *k),
        };
        let (b_batch, k2, n) = match b {
            [] => return Err(mismatch()),
            [k] => (&b[..0], *k, 1),
            [batch @ .., k, n] => (batch, *k, *n),
        };
        if k != k2 {
            return Err(mismatch());
        }
        let batch = broadcast(&[a_batch, b_batch]).ok_or_else(mismatch)?;
        let mut output = batch.clone();
        if a.len() > 1 {
            output.push(m);
        }
        if b.len() > 1 {
            output.push(n);
        }
        let a_strides = broadcast_strides(a_batch, &batch);
        let b_strides = broadcast_strides(b_batch, &batch);
        Ok(BatchedProduct { m, k, n, batch, output, a_strides, b_strides })
    }

    pub fn batches(&self) -> usize {
        self.batch.iter().product()
    }

    /// Numbers of the matrices of `a` and of `b` that make up product `index`.
    pub fn operands(&self, mut index: usize) -> (usize, usize) {
        let (mut a, mut b) = (0, 0);
        for axis in (0..self.batch.len()).rev() {
            let i = index % self.batch[axis];
            index /= self.batch[axis];
            a += i * self.a_strides[axis];
            b += i * self.b_strides[axis];
        }
        (a, b)
    }
}

fn matmul(infer: &Infer) -> Result<Vec<TensorType>> {
    let product = BatchedProduct::new(infer.node, infer.shape(0)?, infer.shape(1)?)?;
    infer.one(infer.dtype(0)?, product.output)
}

fn matmul_integer(infer: &Infer) -> Result<Vec<TensorType>> {
    let product = BatchedProduct::new(infer.node, infer.shape(0)?, infer.shape(1)?)?;
    infer.one(DType::I32, product.output)
}

fn qlinear_matmul(infer: &Infer) -> Result<Vec<TensorType>> {
    let product = BatchedProduct::new(infer.node, infer.shape(0)?, infer.shape(3)?)?;
    infer.one(infer.dtype(7)?, product.output)
}

/// `(m, k, n)` of a Gemm node.
pub fn gemm_sizes(node: &Node, a: &[usize], b: &[usize]) -> Result<(usize, usize, usize)> {
    let (&[a0, a1], &[b0, b1]) = (a, b) else {
        return Err(node.error(format!("needs two matrices, got shapes {a:?} and {b:?}")));
    };
    let (m, k) = if node.attrs.flag("transA") { (a1, a0) } else { (a0, a1) };
    let (k2, n) = if node.attrs.flag("transB") { (b1, b0) } else { (b0, b1) };
    if k != k2 {
        return Err(node.error(format!("cannot multiply matrices of shapes {a:?} and {b:?}")));
    }
    Ok((m, k, n))
}

fn gemm(infer: &Infer) -> Result<Vec<TensorType>> {
    let (m, _, n) = gemm_sizes(infer.node, infer.shape(0)?, infer.shape(1)?)?;
    if let Some(c) = infer.opt_ty(2)
        && broadcast(&[&c.shape, &[m, n]]).as_deref() != Some(&[m, n])
    {
        return Err(infer.node.error(format!("C of shape {:?} does not broadcast to [{m}, {n}]", c.shape)));
    }
    infer.one(infer.dtype(0)?, [m, n])
}

/// `(k, n)` of a `fewbit.Linear` weight: `[n, k]` when `transposed`, else `[k, n]`.
pub fn linear_sizes(node: &Node, x: &[usize], weight: &[usize]) -> Result<(usize, usize)> {
    let (k, n) = match (weight, node.attrs.flag("transposed")) {
        (&[n, k], true) | (&[k, n], false) => (k, n),
        _ => return Err(node.error(format!("the weight must be a matrix, got shape {weight:?}"))),
    };
    if x.last() != Some(&k) {
        return Err(node.error(format!("input of shape {x:?} does not fit a weight of shape {weight:?}")));
    }
    Ok((k, n))
}

fn linear(infer: &Infer) -> Result<Vec<TensorType>> {
    let x = infer.ty(0)?;
    let (_, n) = linear_sizes(infer.node, &x.shape, infer.shape(1)?)?;
    let mut shape = x.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last = n;
    }
    if let Some(bias) = infer.opt_ty(2)
        && bias.shape != [n]
    {
        return Err(infer.node.error(format!("the bias must have shape [{n}], got {:?}", bias.shape)));
    }
    if let Some(residual) = infer.opt_ty(3)
        && residual.shape != shape
    {
        return Err(infer.node.error(format!("the residual must have shape {shape:?}, got {:?}", residual.shape)));
    }
    infer.one(x.dtype, shape)
}
