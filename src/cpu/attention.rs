//! Scaled dot-product attention (ONNX `Attention`): per head, blocks of queries against all keys they may see.
//! Scores of a block stay in cache between the two products.

use super::gemm::{Epilogue, Operand, Product, Strided, with_scratch};
use super::simd::{Level, math, multiversion};
use super::{Call, Kernel, numeric};
use crate::Result;
use crate::ops::attention::AttentionShape;
use crate::tensor::{DType, View, broadcast_strides};

pub const KERNELS: &[Kernel] = &[Kernel::new("Attention", attention)];

/// Scores of one block of queries: half of a small second-level cache.
const BLOCK_SCORES: usize = 64 * 1024;

/// Heads of a tensor: elements between batches, heads and positions.
#[derive(Clone, Copy)]
struct Heads<'a> {
    data: &'a [f32],
    strides: [usize; 3],
}

impl<'a> Heads<'a> {
    fn head(&self, batch: usize, head: usize, position: usize) -> &'a [f32] {
        let [b, h, p] = self.strides;
        self.data.get(batch * b + head * h + position * p..).unwrap_or(&[])
    }
}

/// What is added to the scores, or which are left out.
enum MaskValues<'a> {
    Allowed(&'a [u8]),
    Added(std::borrow::Cow<'a, [f32]>),
}

struct Mask<'a> {
    values: MaskValues<'a>,
    /// Elements between batches, heads and queries; 0 where the mask repeats.
    strides: [usize; 3],
    /// Keys it covers; those beyond are left out.
    width: usize,
}

impl<'a> Mask<'a> {
    fn new(call: &Call<'a>, mask: View<'a>, s: &AttentionShape) -> Result<Self> {
        let width = mask.shape.last().copied().unwrap_or(1);
        let mut dims = [1; 4];
        let misfit = || call.node.error(format!("attn_mask has shape {:?}", mask.shape));
        let start = 4usize.checked_sub(mask.shape.len()).ok_or_else(misfit)?;
        dims[start..].copy_from_slice(mask.shape);
        let full = [s.batch, s.q_heads, s.q_len];
        if width > s.total() || dims.iter().zip(full).any(|(&d, f)| d != 1 && d != f) {
            return Err(misfit());
        }
        let strides = broadcast_strides(&dims, &[full[0], full[1], full[2], width]);
        let values = match mask.dtype {
            DType::Bool => MaskValues::Allowed(mask.slice()?),
            _ => MaskValues::Added(numeric::to_f32(mask)?),
        };
        Ok(Mask { values, strides: [strides[0], strides[1], strides[2]], width })
    }

    /// Applies the mask to the scores of one query; returns whether any key is left.
    fn apply(&self, batch: usize, head: usize, query: usize, scores: &mut [f32]) -> bool {
        let [b, h, q] = self.strides;
        let start = batch * b + head * h + query * q;
        let (inside, outside) = scores.split_at_mut(self.width.min(scores.len()));
        outside.fill(f32::NEG_INFINITY);
        let mut any = false;
        match &self.values {
            MaskValues::Allowed(allowed) => {
                for (score, &allowed) in inside.iter_mut().zip(&allowed[start..]) {
                    any |= allowed != 0;
                    *score = if allowed != 0 { *score } else { f32::NEG_INFINITY };
                }
            }
            MaskValues::Added(added) => {
                for (score, &added) in inside.iter_mut().zip(&added[start..]) {
                    any |= added != f32::NEG_INFINITY;
                    *score += added;
                }
            }
        }
        any
    }
}

/// Everything that a block of queries needs.
struct Job<'a> {
    shape: AttentionShape,
    level: Level,
    scale: f32,
    softcap: f32,
    causal: bool,
    /// Keys visible to the left and right of a query; `None` = all.
    window: [Option<usize>; 2],
    /// Valid keys by batch.
    valid: Option<Vec<i64>>,
    mask: Option<Mask<'a>>,
    q: Heads<'a>,
    k: Heads<'a>,
    v: Heads<'a>,
    /// What the optional fourth output shows: 0 raw, 1 capped, 2 masked, 3 normalised scores.
    mode: i64,
}

impl Job<'_> {
    /// Keys that query `query` may see by position alone.
    fn visible(&self, batch: usize, query: usize) -> std::ops::Range<usize> {
        let s = &self.shape;
        let valid = self.valid.as_ref().and_then(|v| v.get(batch)).copied();
        let offset = match valid {
            _ if s.past > 0 => s.past as i64,
            Some(valid) => valid - s.q_len as i64,
            None => 0,
        };
        let position = offset + query as i64;
        let mut end = s.total() as i64;
        if let Some(valid) = valid {
            end = end.min(valid);
        }
        if self.causal {
            end = end.min(position + 1);
        }
        let [left, right] = self.window;
        if let Some(right) = right {
            end = end.min(position + right as i64 + 1);
        }
        let begin = left.map_or(0, |left| (position - left as i64).max(0));
        let end = end.max(0) as usize;
        (begin as usize).min(end)..end
    }

    /// Queries `first .. first + y.len()` of one head. `shown`: rows of the fourth output.
    fn run(&self, batch: usize, head: usize, first: usize, y: Vec<&mut [f32]>, mut shown: Vec<&mut [f32]>) {
        let s = &self.shape;
        let kv_head = head / (s.q_heads / s.kv_heads.max(1)).max(1);
        let (queries, total) = (y.len(), s.total());
        with_scratch(queries * total, |scores| {
            let a = Strided { data: self.q.head(batch, head, first), lane_stride: self.q.strides[2], depth_stride: 1 };
            let b = Strided { data: self.k.head(batch, kv_head, 0), lane_stride: self.k.strides[2], depth_stride: 1 };
            let epilogue = Epilogue { scale: self.scale, ..Epilogue::default() };
            let (a, b) = (Operand::Source(&a), Operand::Source(&b));
            Product { m: queries, n: total, k: s.head, a, b, epilogue }
                .run_rows(self.level, scores.chunks_mut(total.max(1)).collect());
            for (i, scores) in scores.chunks_exact_mut(total.max(1)).enumerate() {
                self.finish_scores(batch, head, first + i, scores, shown.get_mut(i).map(|s| &mut **s));
            }
            let a = Strided::rows(scores, total);
            let b = Strided { data: self.v.head(batch, kv_head, 0), lane_stride: 1, depth_stride: self.v.strides[2] };
            let (a, b) = (Operand::Source(&a), Operand::Source(&b));
            Product { m: queries, n: s.v_head, k: total, a, b, epilogue: Epilogue::default() }.run_rows(self.level, y);
        });
    }

    /// From raw scores to weights: cap, mask, softmax.
    fn finish_scores(
        &self,
        batch: usize,
        head: usize,
        query: usize,
        scores: &mut [f32],
        mut shown: Option<&mut [f32]>,
    ) {
        let mut show = |stage: i64, scores: &[f32]| {
            if let Some(shown) = shown.as_deref_mut()
                && (self.mode == stage || (stage == 0 && !(1..=3).contains(&self.mode)))
            {
                shown.copy_from_slice(scores);
            }
        };
        show(0, scores);
        if self.softcap != 0.0 {
            cap(self.level, scores, self.softcap);
        }
        show(1, scores);
        let visible = self.visible(batch, query);
        let any_allowed = match &self.mask {
            Some(mask) => {
                // Keys out of sight must not count as allowed.
                mask.apply(batch, head, query, scores);
                let mut probe = Vec::new();
                probe.resize(visible.end, 0f32);
                mask.apply(batch, head, query, &mut probe);
                probe[visible.clone()].iter().any(|&v| v != f32::NEG_INFINITY)
            }
            None => !visible.is_empty(),
        };
        scores[..visible.start].fill(f32::NEG_INFINITY);
        scores[visible.end..].fill(f32::NEG_INFINITY);
        show(2, scores);
        if any_allowed {
            softmax(self.level, scores);
        } else {
            scores.fill(0.0);
        }
        show(3, scores);
    }
}

multiversion! {
    /// `cap · tanh(x / cap)` in place.
    fn cap = cap_body(scores: &mut [f32], cap: f32)
}

#[inline(always)]
fn cap_body<const FMA: bool>(scores: &mut [f32], cap: f32) {
    for v in scores {
        *v = cap * math::tanh::<FMA>(*v / cap);
    }
}

multiversion! {
    /// Softmax in place. A row of −∞ becomes zeros.
    pub fn softmax = softmax_body(scores: &mut [f32])
}

#[inline(always)]
fn softmax_body<const FMA: bool>(scores: &mut [f32]) {
    const LANES: usize = 16;
    let (blocks, rest) = scores.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (m, &v) in largest.iter_mut().zip(block) {
            *m = if v > *m { v } else { *m };
        }
    }
    let max = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m });
    if max == f32::NEG_INFINITY {
        scores.fill(0.0);
        return;
    }
    let (blocks, rest) = scores.as_chunks_mut::<LANES>();
    let mut sums = [0f32; LANES];
    for block in blocks {
        for (v, sum) in block.iter_mut().zip(&mut sums) {
            *v = math::exp::<FMA>(*v - max);
            *sum += *v;
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for v in rest {
        *v = math::exp::<FMA>(*v - max);
        sum += *v;
    }
    let scale = 1.0 / sum;
    for v in scores {
        *v *= scale;
    }
}

/// `[past, new]` along the positions, as `[batch, kv_heads, total, head]`.
fn join(s: &AttentionShape, past: Option<&[f32]>, new: Heads, head: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(s.batch * s.kv_heads * s.total() * head);
    for batch in 0..s.batch {
        for h in 0..s.kv_heads {
            if let Some(past) = past {
                let start = (batch * s.kv_heads + h) * s.past * head;
                all.extend_from_slice(&past[start..][..s.past * head]);
            }
            for position in 0..s.kv_len {
                all.extend_from_slice(&new.head(batch, h, position)[..head]);
            }
        }
    }
    all
}

/// A block of queries: its rows of the output, and of the fourth output.
struct Task<'a> {
    index: usize,
    y: Vec<&'a mut [f32]>,
    shown: Vec<&'a mut [f32]>,
}

fn attention(call: &mut Call) -> Result<()> {
    let node = call.node;
    let (q, k, v) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let past = [call.opt_input(4)?, call.opt_input(5)?];
    let s = AttentionShape::new(node, q.shape, k.shape, v.shape, past[0].map(|p| p.shape))?;
    if past[0].is_some() != past[1].is_some()
        || past[1].is_some_and(|p| p.shape != [s.batch, s.kv_heads, s.past, s.v_head])
    {
        return Err(node.error("past_key and past_value do not fit each other"));
    }
    let (q, k, v) = (numeric::to_f32(q)?, numeric::to_f32(k)?, numeric::to_f32(v)?);
    let mut k = Heads { data: &k, strides: s.strides(s.kv_heads, s.kv_len, s.head) };
    let mut v = Heads { data: &v, strides: s.strides(s.kv_heads, s.kv_len, s.v_head) };
    let wanted = |i: usize| node.outputs.get(i).copied().flatten().is_some();
    let (all_k, all_v);
    if past[0].is_some() || wanted(1) || wanted(2) {
        let [past_k, past_v] = past.map(|p| p.map(numeric::to_f32));
        all_k = join(&s, past_k.transpose()?.as_deref(), k, s.head);
        all_v = join(&s, past_v.transpose()?.as_deref(), v, s.v_head);
        k = Heads { data: &all_k, strides: [s.kv_heads * s.total() * s.head, s.total() * s.head, s.head] };
        v = Heads { data: &all_v, strides: [s.kv_heads * s.total() * s.v_head, s.total() * s.v_head, s.v_head] };
        for (i, all) in [(1, &all_k), (2, &all_v)] {
            if let Some(out) = call.outputs.get_mut(i) {
                numeric::fill_f32(out, |out| out.copy_from_slice(all))?;
            }
        }
    }
    let window = |name: &str| usize::try_from(node.attrs.int_or(name, -1)).ok().map(|w| w.min(i32::MAX as usize));
    let job = Job {
        shape: s,
        level: call.threads.level(),
        scale: node.attrs.float("scale").unwrap_or_else(|| 1.0 / (s.head as f32).sqrt()),
        softcap: node.attrs.float_or("softcap", 0.0),
        causal: node.attrs.flag("is_causal"),
        window: [window("left_window_size"), window("right_window_size")],
        valid: if call.arg(6).is_some() { Some(call.ints(6)?) } else { None },
        mask: call.opt_input(3)?.map(|m| Mask::new(call, m, &s)).transpose()?,
        q: Heads { data: &q, strides: s.strides(s.q_heads, s.q_len, s.head) },
        k,
        v,
        mode: node.attrs.int_or("qk_matmul_output_mode", 0),
    };
    let threads = call.threads;
    let (y, others) = match &mut *call.outputs {
        [y, others @ ..] => (y, others),
        [] => return Ok(()),
    };
    let mut shown_values = vec![0f32; if others.len() > 2 { s.batch * s.q_heads * s.q_len * s.total() } else { 0 }];
    numeric::fill_f32(y, |y| {
        // Two blocks per thread at least, unless they would be smaller than a few tiles.
        let heads = (s.batch * s.q_heads).max(1);
        let even = (s.q_len * heads).div_ceil(2 * threads.count()).max(48);
        let queries = (BLOCK_SCORES / s.total().max(1)).max(48).min(even).min(s.q_len.max(1));
        let per_head = s.q_len.div_ceil(queries);
        let mut tasks: Vec<Task> = (0..heads * per_head)
            .map(|index| Task { index, y: Vec::with_capacity(queries), shown: Vec::new() })
            .collect();
        let task_of = |batch: usize, head: usize, query: usize| (batch * s.q_heads + head) * per_head + query / queries;
        for (row, y) in y.chunks_exact_mut(s.v_head.max(1)).enumerate() {
            let (batch, head, query) = if s.interleaved {
                (row / (s.q_heads * s.q_len), row % s.q_heads, row / s.q_heads % s.q_len)
            } else {
                (row / (s.q_heads * s.q_len), row / s.q_len % s.q_heads, row % s.q_len)
            };
            tasks[task_of(batch, head, query)].y.push(y);
        }
        for (row, shown) in shown_values.chunks_exact_mut(s.total().max(1)).enumerate() {
            let head = row / s.q_len;
            tasks[task_of(head / s.q_heads, head % s.q_heads, row % s.q_len)].shown.push(shown);
        }
        threads.for_each(tasks, |task| {
            let (head, block) = (task.index / per_head, task.index % per_head);
            job.run(head / s.q_heads, head % s.q_heads, block * queries, task.y, task.shown);
        });
    })?;
    match others.get_mut(2) {
        Some(out) => numeric::fill_f32(out, |out| out.copy_from_slice(&shown_values)),
        None => Ok(()),
    }
}
