//! Rotary position embedding. Shader: `rotary.wgsl`; CPU twin: `cpu/rotary.rs`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::movement::index_words;
use super::shader::rotary::{Params, SHADER};
use crate::Result;
use crate::ops::attention::rotary_sizes;
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("RotaryEmbedding", rotary)];

fn rotary(e: &mut Emit) -> Result<()> {
    let (x, cos, sin) = (e.input_type(0)?, e.input_type(1)?, e.input_type(2)?);
    if [x, cos, sin].iter().any(|ty| ty.dtype != DType::F32) {
        return Err(e.unsupported("only f32"));
    }
    let [batch, heads, tokens, head] = rotary_sizes(e.node, &x.shape)?;
    let turned = match usize::try_from(e.node.attrs.int_or("rotary_embedding_dim", 0)) {
        Ok(0) => head,
        Ok(n) if n <= head => n,
        _ => return Err(e.node.error("rotary_embedding_dim is larger than a head")),
    };
    let half = turned / 2;
    if cos.shape != sin.shape || cos.shape.last() != Some(&half) {
        return Err(e.node.error(format!("the caches must end in {half} values, got {:?}", cos.shape)));
    }
    let rows = cos.len().checked_div(half).unwrap_or(0);
    if rows == 0 || head == 0 || (!e.has(3) && rows < batch * tokens) {
        return Err(e.unsupported("no angles"));
    }
    // What turns is even, so that a lane is a pair or an element behind them.
    if turned % 2 == 1 {
        return Err(e.unsupported("an odd number of elements"));
    }
    let count = batch * heads * tokens * (head - half);
    let params = Params {
        heads: u32_of(heads)?,
        tokens: u32_of(tokens)?,
        head: u32_of(head)?,
        half: u32_of(half)?,
        count: u32_of(count)?,
        rows: u32_of(rows)?,
        pad0: 0,
        pad1: 0,
    };
    let overrides = [
        ("WORDS", if e.has(3) { index_words(e, 3)? } else { 0.0 }),
        ("INTERLEAVED_HEADS", u32::from(x.shape.len() == 3).into()),
        ("ADJOINING", u32::from(e.node.attrs.flag("interleaved")).into()),
    ];
    let operands = [e.input(0)?, e.input(1)?, e.input(2)?, e.opt_input(3)?, e.output(0)?];
    e.dispatch(&SHADER, &overrides, &operands, &params, grid(count.div_ceil(SHADER.code.workgroup_size[0] as usize))?)
}
