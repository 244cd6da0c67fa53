// y = x · Wᵀ for few rows of x: bound by the bytes of W, each read once per four rows of x.
//
// permute: weights
// permute: one | four
// Layout   x: [m, k]; W: [n, k] in its encoding, word column by word column, the rows of W that one binding holds;
//          bias: [total]; residual, y: [m, total]; all f32 but W.
// Tiling   a lane sums four outputs: four columns (`one` row of x) or the `four` rows of x (grid y) of one column. Loads of
//          W are contiguous over lanes, loads of x the same for all, by fours. Scales are applied once a span. SPLIT parts
//          of a workgroup share a column, each every SPLIT-th span; a tree in workgroup memory adds their sums. With
//          SPLIT = 1 there is no barrier (software adapters, where one costs more than the sum).
// Cost     reads W once and x n / 256 or n / 64 times, the latter from cache.

import package::decode::stage::{inputs8, raw8, span};
import package::shared::eight::{dot_eight, Eight};
import package::shared::epilogue::{finish, RESIDUAL};

override SPLIT: u32 = 8u;
override BIAS: bool = false;
/// Rows of x start at multiples of four elements.
override ALIGNED: bool = true;

/// `n` columns from `first` on of `total` in all; `span`: columns with one scale, a multiple of 8.
struct Params { weight: vec4u, m: u32, n: u32, k: u32, span: u32, first: u32, total: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> sums: array<vec4f, 64>;

fn load4(at: u32) -> vec4f {
    if ALIGNED { return x[at / 4u]; }
    return vec4f(load(at), load(at + 1u), load(at + 2u), load(at + 3u));
}

fn load(at: u32) -> f32 {
    return x[at / 4u][at % 4u];
}

fn load8(at: u32) -> Eight {
    return Eight(load4(at), load4(at + 4u));
}

/// The last elements of a row, zeros behind them.
fn load_rest(at: u32, count: u32) -> Eight {
    var v = array<f32, 8>();
    for (var i = 0u; i < count; i++) { v[i] = load(at + i); }
    return Eight(vec4f(v[0], v[1], v[2], v[3]), vec4f(v[4], v[5], v[6], v[7]));
}

/// Weights beyond the end of a row are arbitrary, maybe not finite.
fn only(w: Eight, count: u32) -> Eight {
    let i = vec4u(0u, 1u, 2u, 3u);
    return Eight(select(vec4f(), w.a, i < vec4u(count)), select(vec4f(), w.b, i + 4u < vec4u(count)));
}

@compute @workgroup_size(64)
fn matvec(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let width = 64u / SPLIT;
    // Software adapters load faster what they know to be the same for all lanes.
    let part = select(lane / width, 0u, SPLIT == 1u);
    @if(one) let left = group.x * width * 4u + lane % width;
    @if(four) let left = group.x * width + lane % width;
    @if(one) let top = group.y;
    @if(four) let top = group.y * 4u;
    // Columns and rows beyond the last are computed from the last, so that all lanes reach the barriers.
    @if(one) let cols = min(left + width * vec4u(0u, 1u, 2u, 3u), vec4u(params.n - 1u));
    @if(one) let start = top * params.k;
    @if(four) let col = min(left, params.n - 1u);
    @if(four) let starts = min(top + vec4u(0u, 1u, 2u, 3u), vec4u(params.m - 1u)) * params.k;

    var sum = vec4f();
    for (var begin = part * params.span; begin < params.k; begin += SPLIT * params.span) {
        let end = min(begin + params.span, params.k);
        @if(one) {
            var raw = vec4f();
            var inputs = 0.0;
            for (var k = begin; k + 8u <= end; k += 8u) {
                let v = inputs8(load8(start + k));
                raw.x += dot_eight(raw8(params.weight, cols.x, k), v.x);
                raw.y += dot_eight(raw8(params.weight, cols.y, k), v.x);
                raw.z += dot_eight(raw8(params.weight, cols.z, k), v.x);
                raw.w += dot_eight(raw8(params.weight, cols.w, k), v.x);
                inputs += v.sum;
            }
            let p0 = span(params.weight, cols.x, begin);
            let p1 = span(params.weight, cols.y, begin);
            let p2 = span(params.weight, cols.z, begin);
            let p3 = span(params.weight, cols.w, begin);
            sum += vec4f(p0.x, p1.x, p2.x, p3.x) * raw + vec4f(p0.y, p1.y, p2.y, p3.y) * inputs;
        }
        @if(four) {
            var raw = vec4f();
            var inputs = vec4f();
            for (var k = begin; k + 8u <= end; k += 8u) {
                let w = raw8(params.weight, col, k);
                let v0 = inputs8(load8(starts.x + k));
                let v1 = inputs8(load8(starts.y + k));
                let v2 = inputs8(load8(starts.z + k));
                let v3 = inputs8(load8(starts.w + k));
                raw += vec4f(dot_eight(w, v0.x), dot_eight(w, v1.x), dot_eight(w, v2.x), dot_eight(w, v3.x));
                inputs += vec4f(v0.sum, v1.sum, v2.sum, v3.sum);
            }
            let p = span(params.weight, col, begin);
            sum += p.x * raw + p.y * inputs;
        }
    }
    let k = params.k / 8u * 8u;
    if part == 0u && k < params.k {
        let count = params.k - k;
        for (var i = 0u; i < 4u; i++) {
            @if(four) let row = col;
            @if(one) let row = cols[i];
            @if(one) let v = inputs8(load_rest(start + k, count));
            @if(four) let v = inputs8(load_rest(starts[i] + k, count));
            let p = span(params.weight, row, k);
            sum[i] += p.x * dot_eight(only(raw8(params.weight, row, k), count), v.x) + p.y * v.sum;
        }
    }
    if SPLIT > 1u {
        sums[lane] = sum;
        for (var half = SPLIT / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if part < half { sums[lane] += sums[lane + half * width]; }
        }
        workgroupBarrier();
        sum = sums[lane % width];
    }
    if part != 0u { return; }
    for (var i = 0u; i < 4u; i++) {
        @if(one) let col = left + width * i;
        @if(one) let row = top;
        @if(four) let row = top + i;
        if col >= params.n || row >= params.m || left >= params.n { break; }
        var v = sum.x;
        sum = sum.yzwx;
        if BIAS { v += bias[params.first + col]; }
        let at = row * params.total + params.first + col;
        var r = 0.0;
        if RESIDUAL != 0u { r = residual[at]; }
        y[at] = finish(v, r, params.a, params.b);
    }
}
