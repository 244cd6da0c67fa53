//! Attention. Shader: `shaders/attention.wgsl`.

use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::shader::attention::{D16, D64, D128, Params};
use crate::Result;
use crate::ops::attention::AttentionShape;
use crate::tensor::{DType, broadcast_strides};

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("Attention", attention)];

fn attention(e: &mut Emit) -> Result<()> {
    let (q, k, v) = (e.input_type(0)?, e.input_type(1)?, e.input_type(2)?);
    if [q, k, v].iter().any(|t| t.dtype != DType::F32) {
        return Err(e.unsupported("only f32"));
    }
    if (4..e.node.inputs.len()).any(|i| e.has(i)) || (1..e.node.outputs.len()).any(|i| e.has_output(i)) {
        return Err(e.unsupported("a cache, or the scores as an output"));
    }
    if ["left_window_size", "right_window_size"].iter().any(|name| e.node.attrs.int_or(name, -1) >= 0) {
        return Err(e.unsupported("a window"));
    }
    let s = AttentionShape::new(e.node, &q.shape, &k.shape, &v.shape, None)?;
    let shader = match s.head.max(s.v_head) {
        0..=16 => &D16,
        17..=64 => &D64,
        65..=128 => &D128,
        wide => return Err(e.unsupported(format!("heads of {wide} elements"))),
    };
    let (mask_kind, mask_stride) = if e.has(3) {
        let ty = e.input_type(3)?;
        let full = [s.batch, s.q_heads, s.q_len, s.kv_len];
        // The mask may be shorter than the keys; that needs padding, which only the CPU does.
        if ty.shape.last() != Some(&s.kv_len) && ty.shape.last() != Some(&1) || ty.shape.len() > 4 {
            return Err(e.unsupported(format!("a mask of shape {:?}", ty.shape)));
        }
        let kind = match ty.dtype {
            DType::F32 => 1,
            DType::Bool => 2,
            other => return Err(e.unsupported(format!("a mask of {}", other.name()))),
        };
        (kind, broadcast_strides(&ty.shape, &full))
    } else {
        (0, vec![0; 4])
    };
    let stride = |heads: usize, len: usize, head: usize| -> Result<[u32; 4]> {
        let [batch, head, row] = s.strides(heads, len, head);
        Ok([u32_of(batch)?, u32_of(head)?, u32_of(row)?, 0])
    };
    let attrs = &e.node.attrs;
    let params = Params {
        q_stride: stride(s.q_heads, s.q_len, s.head)?,
        k_stride: stride(s.kv_heads, s.kv_len, s.head)?,
        v_stride: stride(s.kv_heads, s.kv_len, s.v_head)?,
        y_stride: stride(s.q_heads, s.q_len, s.v_head)?,
        mask_stride: [
            u32_of(mask_stride[0])?,
            u32_of(mask_stride[1])?,
            u32_of(mask_stride[2])?,
            u32_of(mask_stride[3])?,
        ],
        batch: u32_of(s.batch)?,
        heads: u32_of(s.q_heads)?,
        q_len: u32_of(s.q_len)?,
        kv_len: u32_of(s.kv_len)?,
        head: u32_of(s.head)?,
        v_head: u32_of(s.v_head)?,
        share: u32_of(s.q_heads.checked_div(s.kv_heads).unwrap_or(1))?,
        scale: attrs.float_or("scale", 1.0 / (s.head.max(1) as f32).sqrt()),
        softcap: attrs.float_or("softcap", 0.0),
    };
    let causal = attrs.flag("is_causal");
    let operands = [e.input(0)?, e.input(1)?, e.input(2)?, e.opt_input(3)?, e.output(0)?];
    let overrides = [("MASK", f64::from(mask_kind)), ("CAUSAL", u32::from(causal).into())];
    let lanes = s.batch * s.q_heads * s.q_len.next_multiple_of(8);
    e.dispatch(shader, &overrides, &operands, &params, grid(lanes.div_ceil(64))?)
}
