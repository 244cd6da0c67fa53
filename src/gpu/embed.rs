//! Gather of rows of a few-bit table (an embedding). Shader: `shaders/embed.wgsl`; CPU twin: `cpu/gather.rs`.

use super::decode::{Window, coded};
use super::emit::{Emit, grid, u32_of};
use super::movement::index_words;
use super::shader::embed::{Params, decoding};
use crate::Result;
use crate::weights::Encoded;

pub fn emit(e: &mut Emit, table: &Encoded) -> Result<()> {
    let (picks, cols) = (e.input_type(1)?.len(), table.cols());
    let runs = cols.div_ceil(8);
    let count = picks.saturating_mul(runs);
    let index_words = index_words(e, 1)?;
    for window in Window::split(table, e.binding_limit()) {
        let weight = coded(e, &window)?;
        let params = Params {
            weight: weight.form,
            count: u32_of(count)?,
            first: u32_of(window.first)?,
            rows: u32_of(window.rows())?,
            len: u32_of(table.rows())?,
            cols: u32_of(cols)?,
            runs: u32_of(runs)?,
        };
        let mut overrides = weight.overrides;
        overrides.push(("INDEX_WORDS", index_words));
        let mut operands = vec![e.input(1)?, e.output(0)?];
        operands.extend(weight.operands);
        e.dispatch(decoding(weight.stage), &overrides, &operands, &params, grid(count.div_ceil(64))?)?;
    }
    Ok(())
}
