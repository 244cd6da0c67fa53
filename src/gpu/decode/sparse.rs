//! Stage: `shaders/decode/sparse.wgsl` around the stage of the values.

use super::coded::{ALL, Coded};
use super::window::Window;
use crate::Result;
use crate::gpu::columns;
use crate::gpu::emit::Emit;
use crate::gpu::shader::Stage;
use crate::tensor::Tensor;
use crate::weights::Sparse;

pub fn coded(e: &mut Emit, window: &Window, w: &Sparse) -> Result<Coded> {
    let values = super::coded(e, &window.of_values(w.values()))?;
    let stage = match values.stage {
        Stage::Affine => Stage::SparseAffine,
        Stage::Codebook => Stage::SparseCodebook,
        Stage::Dual => Stage::SparseDual,
        Stage::HalfFloat => Stage::SparseHalfFloat,
        Stage::Kquant => Stage::SparseKquant,
        Stage::Palette => Stage::SparsePalette,
        _ => return Err(e.unsupported(format!("weights of {:?}", window.encoded))),
    };
    let mut operands = values.operands;
    operands.push(e.stored(window, "mask", "ranks", &|mask| Ok(ranks(mask)))?);
    Ok(Coded { stage, span: ALL, operands, fours: false, bulky: true, held: None, ..values })
}

/// The mask's words column by column, each with the ones before it in its row; in front the rows of a column.
fn ranks(mask: &Tensor) -> Vec<u8> {
    let (rows, stride) = (mask.shape()[0], mask.shape()[1]);
    let height = columns::height(rows);
    let mut out = vec![[0u32; 2]; 1 + height * stride / 4];
    out[0][0] = height as u32;
    for (row, bytes) in mask.bytes().chunks_exact(stride.max(1)).enumerate() {
        let mut before = 0;
        for (word, bytes) in bytes.as_chunks().0.iter().enumerate() {
            let bits = u32::from_le_bytes(*bytes);
            out[1 + word * height + row] = [bits, before];
            before += bits.count_ones();
        }
    }
    bytemuck::cast_slice(out.as_flattened()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_what_lies_before_them() {
        let mask = Tensor::new([2, 8], &[3u8, 0, 0, 128, 1, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0]).unwrap();
        let words: Vec<[u32; 2]> = bytemuck::cast_slice(&ranks(&mask)).to_vec();
        assert_eq!(words[..3], [[4, 0], [0x8000_0003, 0], [0, 0]]);
        assert_eq!(words[5..7], [[1, 3], [255, 0]]);
    }
}
