//! MLX: `weight` u32 `[outputs, words]`, a dense stream of codes; `scales` and `biases` `[outputs, groups]`, and
//! `W = code · scale + bias`.

use super::config::Config;
use super::state::{State, factors};
use crate::Result;
use crate::tensor::{DType, Tensor, TensorType};
use crate::weights::{Affine, Zero};

pub fn convert(state: &mut State, config: &Config) -> Result<()> {
    for layer in state.layers("biases") {
        let (packed, [rows, words]) = state.matrix(&layer, "weight", DType::U32)?;
        let (scales, biases) = (state.need(&layer, "scales")?, state.need(&layer, "biases")?);
        let groups = scales.shape().last().copied().unwrap_or(0);
        let group = config.size_of(&layer, "group_size").unwrap_or(64);
        let cols = groups.saturating_mul(group);
        let bits = words * 32 / cols.max(1);
        if scales.shape() != [rows, groups]
            || biases.shape() != scales.shape()
            || words.checked_mul(32) != cols.checked_mul(bits)
        {
            return Err(state.error(&layer, format!("has {words} words for {groups} groups of {group}")));
        }
        let codes = Tensor::from_bytes(TensorType::new(DType::U8, [rows, 4 * words]), packed.bytes())?;
        let offsets = Zero::Offset(factors(&biases, [rows, groups])?);
        let scales = factors(&scales, [rows, groups])?;
        state.put(&layer, "weight", Affine::new(vec![rows, cols], bits as u32, group, codes, scales, offsets)?);
    }
    Ok(())
}
