// Scaled dot-product attention in one pass (online softmax; Milakov & Gimelshein 2018), with grouped heads.
//
// permute: d16 | d64 | d128
// Layout   q: [batch, heads, q_len, head], k: [batch, kv_heads, kv_len, head], v alike with v_head, at their strides;
//          mask: f32 added to the scores, or words that allow (≠ 0) a key, at its strides; y: as q with v_head.
// Tiling   an invocation holds one query and its sum in registers and walks over the keys four at a time; lanes are
//          neighbouring queries, so that loads of k and v are the same for all.
// Cost     (1 + 4) loads for 4 multiply-adds in the scores, the same in the sum; no workgroup memory, no barrier.

import package::shared::grid::flat_index;

/// 0: none; 1: f32; 2: bool.
override MASK: u32 = 0u;
override CAUSAL: bool = false;

@if(d16) const VECS = 4u;
@if(d64) const VECS = 16u;
@if(d128) const VECS = 32u;

struct Params {
    /// Elements between batches, heads, positions.
    q_stride: vec4u,
    k_stride: vec4u,
    v_stride: vec4u,
    y_stride: vec4u,
    /// Elements between batches, heads, queries, keys.
    mask_stride: vec4u,
    batch: u32, heads: u32, q_len: u32, kv_len: u32,
    head: u32, v_head: u32,
    /// Query heads that share a key head.
    share: u32,
    scale: f32,
    /// 0: none.
    softcap: f32,
}

@group(0) @binding(0) var<storage, read> query: array<f32>;
@group(0) @binding(1) var<storage, read> key: array<f32>;
@group(0) @binding(2) var<storage, read> value: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

const LOWEST = -3.4028e38;

/// A score with scale, cap and mask; LOWEST forbids the key.
fn score(dot: f32, mask_at: u32, i: u32, j: u32) -> f32 {
    var s = dot * params.scale;
    if params.softcap > 0.0 { s = params.softcap * tanh(clamp(s / params.softcap, -10.0, 10.0)); }
    if j >= params.kv_len { return LOWEST; }
    if CAUSAL && j > i { return LOWEST; }
    if MASK == 1u { s = max(s + bitcast<f32>(mask[mask_at + j * params.mask_stride.w]), LOWEST); }
    if MASK == 2u && mask[mask_at + j * params.mask_stride.w] == 0u { return LOWEST; }
    return s;
}

@compute @workgroup_size(64)
fn attention(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    // Queries of a head fill whole workgroups of 8 lanes, so that no two heads share loads of k and v.
    let padded = (params.q_len + 7u) / 8u * 8u;
    let id = flat_index(group, grid, 64u, lane);
    if id >= params.batch * params.heads * padded { return; }
    let i = min(id % padded, params.q_len - 1u);
    let head = id / padded % params.heads;
    let batch = id / padded / params.heads;

    let q_at = batch * params.q_stride.x + head * params.q_stride.y + i * params.q_stride.z;
    var k_at = batch * params.k_stride.x + head / params.share * params.k_stride.y;
    var v_at = batch * params.v_stride.x + head / params.share * params.v_stride.y;
    let mask_at = batch * params.mask_stride.x + head * params.mask_stride.y + i * params.mask_stride.z;

    var q: array<f32, VECS * 4u>;
    var sum: array<f32, VECS * 4u>;
    for (var d = 0u; d < params.head; d++) { q[d] = query[q_at + d]; }
    for (var d = 0u; d < params.v_head; d++) { sum[d] = 0.0; }
    var top = LOWEST;
    var total = 0.0;
    for (var j = 0u; j < params.kv_len; j += 4u) {
        var dots = vec4f();
        for (var d = 0u; d < params.head; d++) {
            let at = k_at + d;
            let step = params.k_stride.z;
            dots += q[d] * vec4f(key[at], key[at + step], key[at + 2u * step], key[at + 3u * step]);
        }
        let s = vec4f(
            score(dots.x, mask_at, i, j), score(dots.y, mask_at, i, j + 1u),
            score(dots.z, mask_at, i, j + 2u), score(dots.w, mask_at, i, j + 3u),
        );
        let now = max(max(max(s.x, s.y), max(s.z, s.w)), top);
        let weights = select(exp(s - now), vec4f(), s <= vec4f(LOWEST));
        let shrink = exp(top - now);
        total = total * shrink + weights.x + weights.y + weights.z + weights.w;
        top = now;
        for (var d = 0u; d < params.v_head; d++) {
            let at = v_at + d;
            let step = params.v_stride.z;
            let v = vec4f(value[at], value[at + step], value[at + 2u * step], value[at + 3u * step]);
            sum[d] = sum[d] * shrink + dot(weights, select(vec4f(), v, weights > vec4f()));
        }
        k_at += 4u * params.k_stride.z;
        v_at += 4u * params.v_stride.z;
    }
    if id % padded >= params.q_len { return; }
    let y_at = batch * params.y_stride.x + head * params.y_stride.y + i * params.y_stride.z;
    // A query that may look at no key gets zeros.
    let norm = select(1.0 / total, 0.0, total == 0.0);
    for (var d = 0u; d < params.v_head; d++) { y[y_at + d] = sum[d] * norm; }
}
