//! `DequantizeLinear` of a constant matrix in blocks: `(x − zero) · scale`.
//!
//! In blocks along the last axis the matrix itself is encoded. In blocks along the first, as `MatMul` takes weights, its
//! transpose is, and the products use that.

use super::fold::{Fold, scales, size};
use crate::Result;
use crate::formats::codes::Packer;
use crate::graph::{Attr, Node};
use crate::tensor::{DType, Tensor};
use crate::weights::{Affine, Zero};

pub fn rewrite(fold: &mut Fold, node: Node) -> Result<Option<Node>> {
    let group = size(&node, "block_size");
    let (Some(x), Some(factors)) = (fold.constant(&node, 0), fold.constant(&node, 1)) else {
        return Ok(Some(node));
    };
    let bits = fold.bits(&node, 0).unwrap_or(8);
    let axis = node.attrs.int_or("axis", 1);
    let (&[height, width], Some(output)) = (x.shape(), node.outputs.first().copied().flatten()) else {
        return Ok(Some(node));
    };
    let fits = matches!(x.dtype(), DType::I8 | DType::U8) && [4, 8].contains(&bits) && factors.dtype() == DType::F32;
    if group == 0 || height * width == 0 || !fits || !(-2..2).contains(&axis) {
        return Ok(Some(node));
    }
    let transpose = axis.rem_euclid(2) == 0;
    let (rows, cols) = if transpose { (width, height) } else { (height, width) };
    let group = group.min(cols);
    let groups = cols.div_ceil(group);
    let turned = |elements: Vec<u8>, rows: usize, cols: usize| match transpose {
        true => (0..rows * cols).map(|i| elements[i % cols * rows + i / cols]).collect(),
        false => elements,
    };
    let zero = match node.input(2) {
        // Zero itself, as codes count from the lowest number of a signed type.
        None if x.dtype() == DType::I8 => Zero::Middle,
        None => Zero::PerGroup(Tensor::new([rows, groups], &vec![0u8; rows * groups])?),
        Some(_) => match fold.constant(&node, 2) {
            Some(zeros) if zeros.dtype() == x.dtype() && zeros.len() == rows * groups => {
                let zeros = turned(shifted(&zeros, bits), rows, groups);
                Zero::PerGroup(Tensor::new([rows, groups], &zeros)?)
            }
            _ => return Ok(Some(node)),
        },
    };
    let stored = if transpose { [groups, rows] } else { [rows, groups] };
    let Some((factors, _)) = scales(&factors, stored).filter(|_| factors.shape() == stored) else {
        return Ok(Some(node));
    };
    let values = factors.slice::<f32>()?;
    let factors: Vec<f32> = match transpose {
        true => (0..rows * groups).map(|i| values[i % groups * rows + i / groups]).collect(),
        false => values.to_vec(),
    };
    let codes = turned(shifted(&x, bits), rows, cols);
    let mut packer = Packer::new(rows, cols, bits)?;
    codes.chunks_exact(cols).enumerate().for_each(|(row, codes)| packer.row(row, codes));
    let factors = Tensor::new([rows, groups], &factors)?;
    let affine = Affine::new(vec![rows, cols], bits, group, packer.finish(), factors, zero)?;
    if transpose {
        let name = fold.name(&node, 0);
        let weight = fold.weight(format!("{name}.transposed"), affine);
        fold.transposed.insert(output, weight);
        return Ok(Some(node));
    }
    fold.set(output, affine);
    Ok(None)
}

/// Elements as unsigned codes: those of a signed type count from its lowest number.
pub fn shifted(tensor: &Tensor, bits: u32) -> Vec<u8> {
    let lowest = if tensor.dtype() == DType::I8 { 1u8 << (bits - 1) } else { 0 };
    tensor.bytes().iter().map(|byte| byte.wrapping_add(lowest)).collect()
}

/// `MatMul(x, W)` with the transpose of W.
pub fn matmul(fold: &mut Fold, node: Node) -> Result<Option<Node>> {
    let Some(weight) = node.input(1).and_then(|id| fold.transposed.get(&id).copied()) else {
        return Ok(Some(node));
    };
    let inputs = vec![node.input(0), Some(weight)];
    fold.replace(&node, "fewbit.Linear", inputs, ("transposed", Attr::Int(1)), DType::F32);
    Ok(None)
}

/// `Gemm` with the transpose of W.
pub fn gemm(fold: &mut Fold, mut node: Node) -> Result<Option<Node>> {
    let weight = node.input(1).and_then(|id| fold.transposed.get(&id).copied());
    if let (Some(weight), false) = (weight, node.attrs.flag("transB")) {
        node.attrs.set("transB", Attr::Int(1));
        node.inputs[1] = Some(weight);
    }
    Ok(Some(node))
}
