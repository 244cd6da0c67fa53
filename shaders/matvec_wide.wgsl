// y = x · Wᵀ for few rows of x: an invocation reads 16 bytes of codes at once, a word of each of four neighbouring rows
// of W.
//
// feature: full
// permute: weights with spans4
// permute: wide
// permute: one | four
// permute: - | subgroup
// Layout   x: [m, k]; W: [n, k] in its encoding, column by column, the rows of W that one binding holds; bias: [total];
//          residual, y: [m, total]; all f32 but W. k and a span of W are multiples of 32.
// Tiling   an invocation sums four columns of `one` row of x, or of `four`. A workgroup has 64 / SPLIT such fours side by
//          side, of which SPLIT parts each take every SPLIT-th unit; a tree in workgroup memory adds their sums.
// Cost     reads W once per four rows of x, in runs of 1024 / SPLIT bytes; x from cache, 32 bytes for 16 or 64 of W.
// `subgroup`: lanes hold entries of tables (decode/palette.wgsl).

import package::decode::stage::{inputs8, of_words, spans4};
@if(palette && subgroup) import package::decode::stage::hold;
import package::shared::bits::BITS;
import package::shared::eight::{dot_eight, Eight, Inputs};
import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::parts::{over_parts, SPLIT};
import package::shared::spans::Spans;
import package::shared::words::{unit, Unit, word};

override BIAS: bool = false;

/// `n` columns from `first` on of `total` in all; `span`: columns of W with one scale.
struct Params { weight: vec4u, m: u32, n: u32, k: u32, span: u32, first: u32, total: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

/// Eight inputs from element `at` on, a multiple of 8.
fn load8(at: u32) -> Inputs {
    return inputs8(Eight(x[at / 4u], x[at / 4u + 1u]));
}

/// Products of eight inputs with part `q` of a unit, per row of W.
fn products(w0: Eight, w1: Eight, w2: Eight, w3: Eight, v: Eight) -> vec4f {
    return vec4f(dot_eight(w0, v), dot_eight(w1, v), dot_eight(w2, v), dot_eight(w3, v));
}

/// Sums over a span, without its scales: `r0 …` of the rows of x, `inputs` of their elements.
@if(one) struct Sums { r0: vec4f, inputs: f32 }
@if(four) struct Sums { r0: vec4f, r1: vec4f, r2: vec4f, r3: vec4f, inputs: vec4f }

/// Adds columns `8 q … 8 q + 7` of a unit that begins at column `k`.
@if(one)
fn add(s: Sums, u: Unit, q: u32, row: u32, k: u32, start: u32) -> Sums {
    let low = word(u, q * BITS / 4u);
    let high = word(u, q * BITS / 4u + 1u);
    let v = load8(start + k + 8u * q);
    let w0 = of_words(params.weight, vec2u(low.x, high.x), row, 8u * q);
    let w1 = of_words(params.weight, vec2u(low.y, high.y), row + 1u, 8u * q);
    let w2 = of_words(params.weight, vec2u(low.z, high.z), row + 2u, 8u * q);
    let w3 = of_words(params.weight, vec2u(low.w, high.w), row + 3u, 8u * q);
    return Sums(s.r0 + products(w0, w1, w2, w3, v.x), s.inputs + v.sum);
}
@if(four)
fn add(s: Sums, u: Unit, q: u32, row: u32, k: u32, starts: vec4u) -> Sums {
    let low = word(u, q * BITS / 4u);
    let high = word(u, q * BITS / 4u + 1u);
    let w0 = of_words(params.weight, vec2u(low.x, high.x), row, 8u * q);
    let w1 = of_words(params.weight, vec2u(low.y, high.y), row + 1u, 8u * q);
    let w2 = of_words(params.weight, vec2u(low.z, high.z), row + 2u, 8u * q);
    let w3 = of_words(params.weight, vec2u(low.w, high.w), row + 3u, 8u * q);
    let v0 = load8(starts.x + k + 8u * q);
    let v1 = load8(starts.y + k + 8u * q);
    let v2 = load8(starts.z + k + 8u * q);
    let v3 = load8(starts.w + k + 8u * q);
    return Sums(
        s.r0 + products(w0, w1, w2, w3, v0.x),
        s.r1 + products(w0, w1, w2, w3, v1.x),
        s.r2 + products(w0, w1, w2, w3, v2.x),
        s.r3 + products(w0, w1, w2, w3, v3.x),
        s.inputs + vec4f(v0.sum, v1.sum, v2.sum, v3.sum),
    );
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

// Declared here, so that one text of the kernel serves all stages.
@if(palette && subgroup) fn begin(sublane: u32) { hold(sublane); }
@if(!palette && subgroup) fn begin(sublane: u32) {}

@compute @workgroup_size(64)
fn matvec_wide(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
    @if(subgroup) @builtin(subgroup_invocation_id) sublane: u32,
) {
    @if(subgroup) { begin(sublane); }
    let width = 64u / SPLIT;
    let part = lane / width;
    let left = (group.x * width + lane % width) * 4u;
    // Rows beyond the last are computed from the last, so that all lanes reach the barriers.
    let row = min(left, (params.n - 1u) / 4u * 4u);
    @if(one) let top = group.y;
    @if(one) let start = top * params.k;
    @if(four) let top = group.y * 4u;
    @if(four) let start = min(top + vec4u(0u, 1u, 2u, 3u), vec4u(params.m - 1u)) * params.k;

    var t0 = vec4f();
    @if(four) var t1 = vec4f();
    @if(four) var t2 = vec4f();
    @if(four) var t3 = vec4f();
    for (var begin = part * params.span; begin < params.k; begin += SPLIT * params.span) {
        let end = min(begin + params.span, params.k);
        var s = Sums();
        for (var k = begin; k < end; k += 32u) {
            let u = unit(params.weight.x, row, k);
            s = add(s, u, 0u, row, k, start);
            s = add(s, u, 1u, row, k, start);
            s = add(s, u, 2u, row, k, start);
            s = add(s, u, 3u, row, k, start);
        }
        let p = spans4(params.weight, row, begin);
        @if(one) { t0 += p.scale * s.r0 + p.offset * s.inputs; }
        @if(four) {
            t0 += p.scale * s.r0 + p.offset * s.inputs.x;
            t1 += p.scale * s.r1 + p.offset * s.inputs.y;
            t2 += p.scale * s.r2 + p.offset * s.inputs.z;
            t3 += p.scale * s.r3 + p.offset * s.inputs.w;
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
