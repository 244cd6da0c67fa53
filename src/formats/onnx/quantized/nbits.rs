//! `MatMulNBits`: y = x·Wᵀ + bias, `W = (code − zero) · scale` for each block along the inputs.
//!
//! Codes u8 `[outputs, blocks, block·bits/8]`, the first in the low bits. Zero points are packed as the codes, each output's
//! from a byte of its own, or floats; without them zero is `2^(bits−1)`.

use super::fold::{Fold, scales, size, unpacked};
use crate::Result;
use crate::graph::{Attr, Node};
use crate::tensor::{DType, Tensor, TensorType};
use crate::weights::parts::row_stride;
use crate::weights::{Affine, Zero};

pub fn rewrite(fold: &mut Fold, node: Node) -> Result<Option<Node>> {
    let (rows, cols, group) = (size(&node, "N"), size(&node, "K"), size(&node, "block_size"));
    let bits = u32::try_from(node.attrs.int_or("bits", 4)).unwrap_or(0);
    if ![2, 4, 8].contains(&bits) || group < 16 || rows == 0 || cols == 0 {
        return Err(node.error(format!("has {bits} bits in blocks of {group}, [{rows}, {cols}]")));
    }
    let (Some(codes), Some(factors)) = (fold.constant(&node, 1), fold.constant(&node, 2)) else {
        return Ok(Some(node));
    };
    if node.input(4).is_some() {
        return Err(crate::Error::Unsupported(format!("MatMulNBits `{}` with an order of groups", node.name)));
    }
    let groups = cols.div_ceil(group);
    let row_bytes = groups.checked_mul(group).map_or(0, |wide| wide / 8 * bits as usize);
    if codes.dtype() != DType::U8 || rows.checked_mul(row_bytes) != Some(codes.len()) || row_bytes == 0 {
        return Err(node.error(format!("has codes {:?} for a weight [{rows}, {cols}]", codes.shape())));
    }
    let Some((factors, dtype)) = scales(&factors, [rows, groups]) else {
        return Err(node.error(format!("has scales {:?}", factors.shape())));
    };
    let zero = match node.input(3) {
        None => Zero::Middle,
        Some(_) => match fold.constant(&node, 3) {
            None => return Ok(Some(node)),
            Some(zeros) => zero_points(&zeros, &factors, [rows, groups], bits)
                .ok_or_else(|| node.error(format!("has zero points {:?}", zeros.shape())))?,
        },
    };
    let stride = row_stride(cols, bits);
    let mut packed = Tensor::zeros(TensorType::new(DType::U8, [rows, stride]))?;
    for (to, from) in packed.bytes_mut().chunks_exact_mut(stride).zip(codes.bytes().chunks_exact(row_bytes)) {
        // Blocks are whole words; what lies beyond the last weight is not copied.
        let take = stride.min(row_bytes);
        to[..take].copy_from_slice(&from[..take]);
    }
    let affine = Affine::new(vec![rows, cols], bits, group, packed, factors, zero)?;
    let weight = fold.weight(fold.name(&node, 1), affine);
    let inputs = vec![node.input(0), Some(weight), node.input(5)];
    fold.replace(&node, "fewbit.Linear", inputs, ("transposed", Attr::Int(1)), dtype);
    Ok(None)
}

/// Integer zero points as they are; a float z as the offset −z·scale.
fn zero_points(zeros: &Tensor, scales: &Tensor, [rows, groups]: [usize; 2], bits: u32) -> Option<Zero> {
    if zeros.dtype() == DType::U8 {
        return Some(Zero::PerGroup(Tensor::new([rows, groups], &unpacked(zeros, [rows, groups], bits)?).ok()?));
    }
    let (zeros, scales) = (zeros.to_f32().ok()?, scales.to_f32().ok()?);
    if zeros.len() != scales.len() {
        return None;
    }
    let offsets: Vec<f32> = zeros.iter().zip(&scales).map(|(zero, scale)| -zero * scale).collect();
    Some(Zero::Offset(Tensor::new([rows, groups], &offsets).ok()?))
}
