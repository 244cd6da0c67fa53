//! A weight as a kernel takes it.

use crate::Result;
use crate::gpu::emit::{Operand, u32_of};
use crate::gpu::shader::Stage;

/// The kernel is picked by the weight's `stage` and binds `operands` behind its own.
pub struct Coded {
    pub stage: Stage,
    /// The stage's `form`.
    pub form: [u32; 4],
    /// The stage's bindings, in order.
    pub operands: Vec<Operand>,
    /// The stage's overrides.
    pub overrides: Vec<(&'static str, f64)>,
}

impl Coded {
    /// f32 weights column by column; `rows` is the length of a column.
    pub fn dense(operand: Operand, rows: usize) -> Result<Self> {
        let form = [u32_of(rows)?, 0, 0, 0];
        Ok(Coded { stage: Stage::Dense, form, operands: vec![operand], overrides: Vec::new() })
    }

    pub fn is_dense(&self) -> bool {
        self.stage == Stage::Dense
    }
}

/// The logarithm of a group of which every run of eight columns is a part; 31 = all columns are one group.
pub fn shift_of(group: usize, cols: usize) -> Option<u32> {
    match group {
        _ if group >= cols => Some(31),
        _ => (group.is_power_of_two() && group >= 8).then(|| group.ilog2()),
    }
}
