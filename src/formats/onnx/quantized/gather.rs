//! `GatherBlockQuantized`: rows of a table `(code − zero) · scale` in blocks along its last axis.
//!
//! The table is of 4-bit integers `[rows, cols]`, or u8 with several codes a byte, the first in the low bits. Without zero
//! points zero is 0, for packed u8 `2^(bits−1)`.

use super::dequantize::shifted;
use super::fold::{Fold, scales, size, unpacked};
use crate::Result;
use crate::formats::codes::Packer;
use crate::graph::{Attr, Node};
use crate::tensor::{DType, Tensor};
use crate::weights::{Affine, Zero};

pub fn rewrite(fold: &mut Fold, node: Node) -> Result<Option<Node>> {
    let group = match size(&node, "block_size") {
        0 => 128,
        group => group,
    };
    let (Some(data), Some(factors)) = (fold.constant(&node, 0), fold.constant(&node, 2)) else {
        return Ok(Some(node));
    };
    let small = fold.bits(&node, 0);
    let (bits, per_byte) = match small {
        Some(bits) => (bits, 1),
        None if data.dtype() == DType::U8 => match node.attrs.int_or("bits", 4) {
            4 => (4, 2),
            8 => (8, 1),
            _ => return Ok(Some(node)),
        },
        None => return Ok(Some(node)),
    };
    let (gather, along) = (node.attrs.int_or("gather_axis", 0), node.attrs.int_or("quantize_axis", 1));
    let &[rows, wide] = data.shape() else { return Ok(Some(node)) };
    let cols = wide * per_byte;
    if gather != 0 || !matches!(along, 1 | -1) || rows * cols == 0 || ![4, 8].contains(&bits) {
        return Ok(Some(node));
    }
    let group = group.min(cols);
    let groups = cols.div_ceil(group);
    let Some((factors, dtype)) = scales(&factors, [rows, groups]) else {
        return Err(node.error(format!("has scales {:?}", factors.shape())));
    };
    let zeros = match node.input(3) {
        None if small.is_some() && data.dtype() == DType::U8 => Some(vec![0; rows * groups]),
        None => None,
        Some(_) => {
            let Some(zeros) = fold.constant(&node, 3) else { return Ok(Some(node)) };
            let codes = match fold.bits(&node, 3) {
                Some(_) if zeros.len() == rows * groups => Some(shifted(&zeros, bits)),
                _ => unpacked(&zeros, [rows, groups], bits),
            };
            Some(codes.ok_or_else(|| node.error(format!("has zero points {:?}", zeros.shape())))?)
        }
    };
    let zero = match zeros {
        Some(zeros) => Zero::PerGroup(Tensor::new([rows, groups], &zeros)?),
        None => Zero::Middle,
    };
    let codes = if per_byte == 1 { shifted(&data, bits) } else { halves(&data) };
    let mut packer = Packer::new(rows, cols, bits)?;
    codes.chunks_exact(cols).enumerate().for_each(|(row, codes)| packer.row(row, codes));
    let affine = Affine::new(vec![rows, cols], bits, group, packer.finish(), factors, zero)?;
    let weight = fold.weight(fold.name(&node, 0), affine);
    fold.replace(&node, "Gather", vec![Some(weight), node.input(1)], ("axis", Attr::Int(0)), dtype);
    Ok(None)
}

/// Two codes a byte.
fn halves(data: &Tensor) -> Vec<u8> {
    data.bytes().iter().flat_map(|byte| [byte & 15, byte >> 4]).collect()
}
