//! A weight as a kernel takes it.

use crate::Result;
use crate::gpu::emit::{Operand, u32_of};
use crate::gpu::shader::Stage;

/// The span of a weight of which a row has one scale and offset.
pub const ALL: u32 = 1 << 30;

/// The kernel is picked by the weight's `stage` and binds `operands` behind its own.
pub struct Coded {
    pub stage: Stage,
    /// The stage's `form`.
    pub form: [u32; 4],
    /// Columns with one scale and offset: a multiple of 8, or `ALL`.
    pub span: u32,
    /// The stage's bindings, in order.
    pub operands: Vec<Operand>,
    /// The stage's overrides.
    pub overrides: Vec<(&'static str, f64)>,
    /// Whether its words of four neighbouring rows can be read at once, if there are so many.
    pub fours: bool,
    /// A stage with tables: its override `HELD` where subgroups have eight lanes or more, and fewer; 0 = not held.
    pub held: Option<[f64; 2]>,
}

impl Coded {
    /// f32 weights column by column; `rows` is the length of a column.
    pub fn dense(operand: Operand, rows: usize) -> Result<Self> {
        let form = [u32_of(rows)?, 0, 0, 0];
        Ok(Coded {
            stage: Stage::Dense,
            form,
            span: ALL,
            operands: vec![operand],
            overrides: Vec::new(),
            fours: false,
            held: None,
        })
    }

    pub fn is_dense(&self) -> bool {
        self.stage == Stage::Dense
    }

    /// So much code that only kernels which decode at one place are worth compiling.
    pub fn is_bulky(&self) -> bool {
        self.stage.holds_another()
    }

    /// The stage's overrides in a kernel whose subgroups have so many lanes at least.
    pub fn overrides_in_subgroups(&self, lanes: Option<u32>) -> Vec<(&'static str, f64)> {
        let held = self.held.map(|[many, few]| ("HELD", if lanes >= Some(8) { many } else { few }));
        self.overrides.iter().copied().chain(held).collect()
    }
}

/// The logarithm of a group of which every run of eight columns is a part; 31 = all columns are one group.
pub fn shift_of(group: usize, cols: usize) -> Option<u32> {
    match group {
        _ if group >= cols => Some(31),
        _ => (group.is_power_of_two() && group >= 8).then(|| group.ilog2()),
    }
}

/// The span of a weight with groups of this logarithm.
pub fn span_of(shift: u32) -> u32 {
    if shift == 31 { ALL } else { 1 << shift }
}
