//! `MatMulBnb4`: y = x·Wᵀ, `W = table[code] · absmax` for each block of the flattened weight.
//!
//! Codes u8 `[outputs·inputs/2]`, the first in the high bits. `quant_type` 0 is FP4, 1 is NF4.

use super::fold::{Fold, scales, size};
use crate::Result;
use crate::formats::codes::Packer;
use crate::graph::{Attr, Node};
use crate::tensor::{DType, Tensor};
use crate::weights::{Palette, Scale, tables};

pub fn rewrite(fold: &mut Fold, node: Node) -> Result<Option<Node>> {
    let (rows, cols, group) = (size(&node, "N"), size(&node, "K"), size(&node, "block_size"));
    let table = match node.attrs.int("quant_type") {
        Some(0) => &tables::FP4,
        Some(1) => &tables::NF4,
        _ => return Err(node.error("has no `quant_type` of 0 (FP4) or 1 (NF4)")),
    };
    // A block that runs from one output into the next has no scale of its own here.
    if group == 0 || rows == 0 || cols == 0 || !cols.is_multiple_of(group) || node.attrs.int_or("transB", 1) == 0 {
        return Err(crate::Error::Unsupported(format!("MatMulBnb4 `{}` with blocks of {group} for {cols}", node.name)));
    }
    let (Some(codes), Some(absmax)) = (fold.constant(&node, 1), fold.constant(&node, 2)) else {
        return Ok(Some(node));
    };
    let elements = rows.checked_mul(cols);
    if codes.dtype() != DType::U8 || elements.map(|n| n.div_ceil(2)) != Some(codes.len()) {
        return Err(node.error(format!("has codes {:?} for a weight [{rows}, {cols}]", codes.shape())));
    }
    let Some((values, dtype)) = scales(&absmax, [rows, cols / group]) else {
        return Err(node.error(format!("has scales {:?}", absmax.shape())));
    };
    let mut packer = Packer::new(rows, cols, 4)?;
    let mut line = vec![0; cols];
    for row in 0..rows {
        for (col, code) in line.iter_mut().enumerate() {
            let at = row * cols + col;
            *code = codes.bytes()[at / 2] >> (4 * (1 - at % 2)) & 15;
        }
        packer.row(row, &line);
    }
    let table = Tensor::new([1, 16], &table[..])?;
    let scale = Some(Scale { group, values });
    let palette = Palette::with(vec![rows, cols], 4, rows, 1, packer.finish(), table, scale)?;
    let weight = fold.weight(fold.name(&node, 1), palette);
    fold.replace(&node, "fewbit.Linear", vec![node.input(0), Some(weight)], ("transposed", Attr::Int(1)), dtype);
    Ok(None)
}
