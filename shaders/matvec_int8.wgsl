// y = x · Wᵀ for few rows of x as integers of 8 bits (quantize_blocks.wgsl), four products at a time.
//
// feature: full
// permute: weights with bytes_of
// permute: wide
// permute: bytes
// permute: one | four
// Layout   q: [m, blocks, 8] words, x_scales: [m, blocks] pairs, of x; W: [n, k] in its encoding, column by column, the rows of
//          W that one binding holds; bias: [total]; residual, y: [m, total]. A span of W is a multiple of 32.
// Tiling   that of matvec_wide.wgsl: four columns of `one` or `four` rows of x an invocation, SPLIT parts of k.
// Cost     reads W once per four rows of x. Sums of a block are exact.

import package::decode::stage::{bytes_of, of_bytes, spans4};
import package::shared::bits::BITS;
import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::parts::{over_parts, SPLIT};
import package::shared::spans::Spans;
import package::shared::words::{unit, Unit, word};

override BIAS: bool = false;

/// `n` columns from `first` on of `total` in all; `blocks`: of 32 elements of k.
struct Params { weight: vec4u, m: u32, n: u32, blocks: u32, first: u32, total: u32, a: f32, b: f32, pad0: u32 }

@group(0) @binding(0) var<storage, read> q: array<vec2u>;
@group(0) @binding(1) var<storage, read> x_scales: array<vec2f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

/// Eight bytes of each of four rows of W.
struct Bytes { r0: vec2u, r1: vec2u, r2: vec2u, r3: vec2u }

/// Columns `8 i … 8 i + 7` of a unit.
fn bytes(u: Unit, i: u32) -> Bytes {
    let low = word(u, i * BITS / 4u);
    let high = word(u, i * BITS / 4u + 1u);
    return Bytes(
        bytes_of(vec2u(low.x, high.x), 8u * i),
        bytes_of(vec2u(low.y, high.y), 8u * i),
        bytes_of(vec2u(low.z, high.z), 8u * i),
        bytes_of(vec2u(low.w, high.w), 8u * i),
    );
}

fn dot8(w: vec2u, v: vec2u) -> i32 {
    return dot4I8Packed(w.x, v.x) + dot4I8Packed(w.y, v.y);
}

/// Their products with eight integers of x.
fn products(w: Bytes, v: vec2u) -> vec4i {
    return vec4i(dot8(w.r0, v), dot8(w.r1, v), dot8(w.r2, v), dot8(w.r3, v));
}

/// A block's share of the sums of four columns.
fn block_sum(w0: Bytes, w1: Bytes, w2: Bytes, w3: Bytes, block: u32, p: Spans) -> vec4f {
    let i = 4u * block;
    let sum = products(w0, q[i]) + products(w1, q[i + 1u]) + products(w2, q[i + 2u]) + products(w3, q[i + 3u]);
    let s = x_scales[block];
    return s.x * p.scale * vec4f(sum) + s.y * p.offset;
}

fn store(row: u32, left: u32, sum: vec4f) {
    var v = sum;
    for (var i = 0u; i < 4u && left + i < params.n; i++) {
        let col = params.first + left + i;
        let at = row * params.total + col;
        var value = v.x;
        v = v.yzwx;
        if BIAS { value += bias[col]; }
        var r = 0.0;
        if RESIDUAL != 0u { r = residual[at]; }
        y[at] = finish(value, r, params.a, params.b);
    }
}

@compute @workgroup_size(64)
fn matvec_int8(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let width = 64u / SPLIT;
    let part = lane / width;
    let left = (group.x * width + lane % width) * 4u;
    // Rows beyond the last are computed from the last, so that all lanes reach the barriers.
    let row = min(left, (params.n - 1u) / 4u * 4u);
    @if(one) let top = group.y;
    @if(four) let top = group.y * 4u;
    @if(four) let starts = min(top + vec4u(0u, 1u, 2u, 3u), vec4u(params.m - 1u)) * params.blocks;

    var t0 = vec4f();
    @if(four) var t1 = vec4f();
    @if(four) var t2 = vec4f();
    @if(four) var t3 = vec4f();
    for (var block = part; block < params.blocks; block += SPLIT) {
        let u = unit(params.weight.x, row, 32u * block);
        let w0 = bytes(u, 0u);
        let w1 = bytes(u, 1u);
        let w2 = bytes(u, 2u);
        let w3 = bytes(u, 3u);
        let p = of_bytes(spans4(params.weight, row, 32u * block));
        @if(one) { t0 += block_sum(w0, w1, w2, w3, top * params.blocks + block, p); }
        @if(four) {
            t0 += block_sum(w0, w1, w2, w3, starts.x + block, p);
            t1 += block_sum(w0, w1, w2, w3, starts.y + block, p);
            t2 += block_sum(w0, w1, w2, w3, starts.z + block, p);
            t3 += block_sum(w0, w1, w2, w3, starts.w + block, p);
        }
    }
    let stored = part == 0u && left < params.n;
    t0 = over_parts(t0, lane);
    if stored { store(top, left, t0); }
    @if(four) {
        t1 = over_parts(t1, lane);
        t2 = over_parts(t2, lane);
        t3 = over_parts(t3, lane);
        if stored && top + 1u < params.m { store(top + 1u, left, t1); }
        if stored && top + 2u < params.m { store(top + 2u, left, t2); }
        if stored && top + 3u < params.m { store(top + 3u, left, t3); }
    }
}
