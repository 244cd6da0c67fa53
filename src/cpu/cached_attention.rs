//! `fewbit.CachedAttention`: new tokens attend to themselves and to what the session keeps of those before, block by block
//! of keys (online softmax; Milakov & Gimelshein 2018). Heads that share keys are rows of one product. GPU twin:
//! `shaders/cached_attention.wgsl`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::caches::{Cache, Rows};
use super::gemm::{Epilogue, Operand, Product, Strided, with_scratch};
use super::simd::{Level, fma, math, multiversion};
use super::{Call, Kernel, Prepare, Prepared, numeric};
use crate::Result;
use crate::ops::cached_attention::{CachedOptions, CachedShape, KvKind, hadamard, missing, span};

pub const KERNELS: &[Kernel] =
    &[Kernel { op: "fewbit.CachedAttention", run: cached_attention, prepare: Some(prepare), encoded_inputs: &[] }];

/// Keys that are widened at once, and stay in the second-level cache with their scores.
const KEYS: usize = 256;
/// Rows of queries (tokens times heads that share keys) of a task.
const ROWS: usize = 96;
/// From so many rows on a packed product pays.
const PACKED_ROWS: usize = 8;

fn prepare(p: &Prepare) -> Result<Option<Prepared>> {
    let options = CachedOptions::of(p.node, 1)?;
    Ok(Some(p.packs.caches.get(options.cache)))
}

/// Everything that a block of queries needs.
struct Job<'a> {
    shape: CachedShape,
    options: CachedOptions,
    level: Level,
    cache: &'a Cache,
    /// Position of the first token.
    first: usize,
    /// Turned queries `[batch, kv_heads, tokens, share, head]`.
    queries: &'a [f32],
}

/// Tokens of one sequence's head of keys, and their rows of the output, each of the heads that share it.
struct Task<'a> {
    /// Of `[batch, kv_heads]`.
    kv_head: usize,
    token: usize,
    y: Vec<&'a mut [f32]>,
}

fn cached_attention(call: &mut Call) -> Result<()> {
    let node = call.node;
    let (q, k, v) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let angles = match (call.opt_input(4)?, call.opt_input(5)?) {
        (Some(cos), Some(sin)) => Some([cos, sin]),
        _ => None,
    };
    let inputs = [q.shape, k.shape, v.shape, call.input(3)?.shape];
    let shape = CachedShape::new(node, inputs, angles.map(|pair| pair.map(|view| view.shape)))?;
    let options = CachedOptions::of(node, shape.head)?;
    let Some((first, _)) = span(&call.ints(3)?)? else { return Ok(()) };
    let cache = call.prepared.and_then(|prepared| prepared.downcast_ref::<Mutex<Cache>>());
    let cache = cache.ok_or_else(|| node.error("it needs the memory of a session"))?;
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.cut(first, [shape.batch, shape.kv_heads, shape.head]).ok_or_else(|| missing(first))?;

    let [cos, sin] = match angles {
        Some([cos, sin]) => [numeric::to_f32(cos)?, numeric::to_f32(sin)?],
        None => [Cow::Borrowed(&[][..]), Cow::Borrowed(&[][..])],
    };
    let turn = Turn { half: shape.rotated / 2, interleaved: options.interleaved, cos: &cos, sin: &sin };
    remember(&shape, &turn, &numeric::to_f32(k)?, &numeric::to_f32(v)?, &mut cache);
    let queries = arrange(&shape, &turn, options.scale, &numeric::to_f32(q)?, cache.is_turned());
    let threads = call.threads;
    let job = Job { shape, options, level: threads.level(), cache: &cache, first, queries: &queries };
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    numeric::fill_f32(out, |y| threads.for_each(tasks(&shape, y), |task| job.run(task)))
}

/// Rotary position embedding (Su et al. 2021) of the first `2 · half` elements of a head.
pub struct Turn<'a> {
    pub half: usize,
    /// Pairs that turn are neighbours; else `half` apart.
    pub interleaved: bool,
    /// `[tokens, half]`
    pub cos: &'a [f32],
    pub sin: &'a [f32],
}

impl Turn<'_> {
    pub fn apply(&self, token: usize, head: &mut [f32]) {
        let at = token * self.half;
        for (i, (cos, sin)) in self.cos[at..][..self.half].iter().zip(&self.sin[at..]).enumerate() {
            let (a, b) = if self.interleaved { (2 * i, 2 * i + 1) } else { (i, i + self.half) };
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
        }
    }
}

/// Puts the new keys, turned, and values into the cache.
fn remember(shape: &CachedShape, turn: &Turn, keys: &[f32], values: &[f32], cache: &mut Cache) {
    let mut turned = keys.to_vec();
    let width = shape.kv_heads * shape.head;
    for (row, (keys, values)) in turned.chunks_exact_mut(width).zip(values.chunks_exact(width)).enumerate() {
        keys.chunks_exact_mut(shape.head).for_each(|head| turn.apply(row % shape.tokens, head));
        cache.push(row / shape.tokens, keys, values);
    }
}

/// Queries, turned and scaled, with those that share keys side by side: `[batch, kv_heads, tokens, share, head]`.
/// `as_kept`: turned once more, as the cache turns keys.
fn arrange(shape: &CachedShape, turn: &Turn, scale: f32, q: &[f32], as_kept: bool) -> Vec<f32> {
    let group = shape.share() * shape.head;
    let mut queries = vec![0f32; q.len()];
    for (i, to) in queries.chunks_exact_mut(group).enumerate() {
        let (head, token) = (i / shape.tokens, i % shape.tokens);
        let (sequence, kv_head) = (head / shape.kv_heads, head % shape.kv_heads);
        let from = (sequence * shape.tokens + token) * shape.kv_heads + kv_head;
        to.copy_from_slice(&q[from * group..][..group]);
        to.chunks_exact_mut(shape.head).for_each(|head| turn.apply(token, head));
        to.iter_mut().for_each(|v| *v *= scale);
        if as_kept {
            to.chunks_exact_mut(shape.head).for_each(turn_blocks);
        }
    }
    queries
}

/// What a cache of fewer bits does to a head, and undoes.
fn turn_blocks(head: &mut [f32]) {
    head.chunks_mut(KvKind::BLOCK).for_each(hadamard);
}

fn tasks<'a>(shape: &CachedShape, y: &'a mut [f32]) -> Vec<Task<'a>> {
    let tokens = (ROWS / shape.share()).max(1);
    let per_head = shape.tokens.div_ceil(tokens);
    let task = |i: usize| Task { kv_head: i / per_head, token: i % per_head * tokens, y: Vec::new() };
    let mut all: Vec<Task> = (0..shape.batch * shape.kv_heads * per_head).map(task).collect();
    for (i, y) in y.chunks_exact_mut(shape.share() * shape.head).enumerate() {
        let (row, kv_head) = (i / shape.kv_heads, i % shape.kv_heads);
        let (sequence, token) = (row / shape.tokens, row % shape.tokens);
        all[(sequence * shape.kv_heads + kv_head) * per_head + token / tokens].y.push(y);
    }
    all
}

impl Job<'_> {
    /// Positions that the token number `token` of the new ones sees as they are kept, and in half precision beside that.
    fn visible(&self, keys: &Rows, token: usize) -> [Range<usize>; 2] {
        let end = self.first + token + 1;
        let start = end.saturating_sub(self.options.window);
        let recent = keys.recent(end - 1).max(start);
        [start..recent.min(end), recent..end]
    }

    fn run(&self, task: Task) {
        let Job { shape, level, .. } = *self;
        let Task { kv_head, token, y } = task;
        let (head, share) = (shape.head, shape.share());
        let (tokens, rows) = (y.len(), y.len() * share);
        let queries = &self.queries[(kv_head * shape.tokens + token) * share * head..][..rows * head];
        let (keys, values) = (&self.cache.keys[kv_head], &self.cache.values[kv_head]);
        let (first, last) = (self.visible(keys, token), self.visible(keys, token + tokens - 1));
        let seen = [0, 1].map(|i| first[i].start..last[i].end);
        let width = KEYS.min(seen[0].len().max(seen[1].len()));
        let blocks = seen.iter().enumerate().flat_map(|(kept, seen)| {
            seen.clone().step_by(width).map(move |begin| (kept, begin..seen.end.min(begin + width)))
        });
        with_scratch(width * head + rows * width + 2 * rows * head + 2 * rows, |scratch| {
            let (vectors, rest) = scratch.split_at_mut(width * head);
            let (scores, rest) = rest.split_at_mut(rows * width);
            let (sums, rest) = rest.split_at_mut(rows * head);
            let (parts, rest) = rest.split_at_mut(rows * head);
            let (tops, totals) = rest.split_at_mut(rows);
            sums.fill(0.0);
            tops.fill(f32::NEG_INFINITY);
            totals.fill(0.0);
            for (kept, block) in blocks {
                let read = |rows: &Rows, out: &mut [f32]| match kept {
                    0 => rows.read(level, block.clone(), out),
                    _ => rows.read_recent(level, block.clone(), out),
                };
                let (vectors, scores) = (&mut vectors[..block.len() * head], &mut scores[..rows * block.len()]);
                read(keys, vectors);
                products(level, queries, vectors, head, scores);
                for (row, scores) in scores.chunks_exact_mut(block.len()).enumerate() {
                    let [visible, recent] = self.visible(keys, token + row / share);
                    let visible = if kept == 0 { visible } else { recent };
                    let shrink = self.weigh(visible, &block, scores, &mut tops[row], &mut totals[row]);
                    if shrink != 1.0 {
                        sums[row * head..][..head].iter_mut().for_each(|v| *v *= shrink);
                    }
                }
                read(values, vectors);
                add_products(level, scores, vectors, head, parts, sums);
            }
            let rows = sums.chunks_exact(share * head).zip(totals.chunks_exact(share));
            for (y, (sums, totals)) in y.into_iter().zip(rows) {
                for ((y, sum), total) in y.chunks_exact_mut(head).zip(sums.chunks_exact(head)).zip(totals) {
                    y.iter_mut().zip(sum).for_each(|(y, v)| *y = v / total);
                    if self.cache.is_turned() {
                        turn_blocks(y);
                    }
                }
            }
        });
    }

    /// Turns the scores of one row, those of `visible`, into weights relative to the greatest score so far, adds them to
    /// `total`, and returns by what earlier weights shrink.
    fn weigh(
        &self,
        visible: Range<usize>,
        block: &Range<usize>,
        scores: &mut [f32],
        top: &mut f32,
        total: &mut f32,
    ) -> f32 {
        let place = |position: usize| position.clamp(block.start, block.end) - block.start;
        let (start, end) = (place(visible.start), place(visible.end));
        scores[..start].fill(0.0);
        scores[end..].fill(0.0);
        let scores = &mut scores[start..end];
        if scores.is_empty() {
            return 1.0;
        }
        let above = scores.iter().fold(*top, |top, &v| if v > top { v } else { top });
        let shrink = if *top == f32::NEG_INFINITY { 0.0 } else { (*top - above).exp() };
        *total = *total * shrink + exponentials(self.level, above, scores);
        *top = above;
        shrink
    }
}

multiversion! {
    /// `exp(x − top)` in place; their sum.
    fn exponentials = exponentials_body(top: f32, x: &mut [f32]) -> f32
}

#[inline(always)]
fn exponentials_body<const FMA: bool>(top: f32, x: &mut [f32]) -> f32 {
    let (blocks, rest) = x.as_chunks_mut::<16>();
    let mut sums = [0f32; 16];
    for block in blocks {
        for (v, sum) in block.iter_mut().zip(&mut sums) {
            *v = math::exp::<FMA>(*v - top);
            *sum += *v;
        }
    }
    let mut sum = sums.iter().sum();
    for v in rest {
        *v = math::exp::<FMA>(*v - top);
        sum += *v;
    }
    sum
}

/// `scores[r, j] = queries[r] · keys[j]`.
fn products(level: Level, queries: &[f32], keys: &[f32], head: usize, scores: &mut [f32]) {
    let (m, n) = (queries.len() / head, keys.len() / head);
    if m < PACKED_ROWS {
        return few_products(level, queries, keys, head, scores);
    }
    let (a, b) = (Strided::rows(queries, head), Strided::rows(keys, head));
    let (a, b) = (Operand::Source(&a), Operand::Source(&b));
    let rows = scores.chunks_exact_mut(n).collect();
    Product { m, n, k: head, a, b, epilogue: Epilogue::default() }.run_rows(level, rows);
}

multiversion! {
    fn few_products = few_products_body(queries: &[f32], keys: &[f32], head: usize, scores: &mut [f32])
}

#[inline(always)]
fn few_products_body<const FMA: bool>(queries: &[f32], keys: &[f32], head: usize, scores: &mut [f32]) {
    let count = keys.len() / head;
    for (j, key) in keys.chunks_exact(head).enumerate() {
        for (r, query) in queries.chunks_exact(head).enumerate() {
            let ((a, a_rest), (b, b_rest)) = (query.as_chunks::<16>(), key.as_chunks::<16>());
            let mut sums = [0f32; 16];
            for (a, b) in a.iter().zip(b) {
                for i in 0..16 {
                    sums[i] = fma::<FMA>(a[i], b[i], sums[i]);
                }
            }
            let rest = a_rest.iter().zip(b_rest).fold(0.0, |sum, (a, b)| fma::<FMA>(*a, *b, sum));
            scores[r * count + j] = sums.iter().sum::<f32>() + rest;
        }
    }
}

/// `sums[r] += Σ weights[r, j] · values[j]`; `parts` is room of the size of `sums`.
fn add_products(level: Level, weights: &[f32], values: &[f32], head: usize, parts: &mut [f32], sums: &mut [f32]) {
    let (m, k) = (sums.len() / head, values.len() / head);
    if m < PACKED_ROWS {
        return few_sums(level, weights, values, head, sums);
    }
    let (a, b) = (Strided::rows(weights, k), Strided::columns(values, head));
    let (a, b) = (Operand::Source(&a), Operand::Source(&b));
    let rows = parts.chunks_exact_mut(head).collect();
    Product { m, n: head, k, a, b, epilogue: Epilogue::default() }.run_rows(level, rows);
    sums.iter_mut().zip(&*parts).for_each(|(sum, part)| *sum += part);
}

multiversion! {
    fn few_sums = few_sums_body(weights: &[f32], values: &[f32], head: usize, sums: &mut [f32])
}

#[inline(always)]
fn few_sums_body<const FMA: bool>(weights: &[f32], values: &[f32], head: usize, sums: &mut [f32]) {
    let count = values.len() / head;
    for (j, value) in values.chunks_exact(head).enumerate() {
        for (r, sums) in sums.chunks_exact_mut(head).enumerate() {
            let weight = weights[r * count + j];
            sums.iter_mut().zip(value).for_each(|(sum, &v)| *sum = fma::<FMA>(weight, v, *sum));
        }
    }
}
