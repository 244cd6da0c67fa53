// y = x · Wᵀ for few rows of x: bound by the bytes of W, each read once per four rows of x.
//
// permute: weights
// permute: one | four
// Layout   x: [m, k]; W: [n, k] in its encoding, words column by column, the rows of W that one binding holds;
//          bias: [total]; residual, y: [m, total]; all f32 but W.
// Tiling   a lane sums four outputs: four columns (`one` row of x) or the `four` rows of x (grid y) of one column. Loads of
//          W are contiguous over lanes, loads of x the same for all. SPLIT parts of a workgroup share a column, each
//          every SPLIT-th run of 8 weights; a tree in workgroup memory adds their sums. With SPLIT = 1 there is no
//          barrier (software adapters, where one costs more than the sum).
// Cost     reads W once and x n / 256 or n / 64 times, the latter from cache.

import package::decode::stage::{decode8, dot8, inputs8};
import package::shared::eight::{dot_eight, Eight};
import package::shared::epilogue::{finish, RESIDUAL};

override SPLIT: u32 = 8u;
override BIAS: bool = false;

/// `n` columns from `first` on of `total` in all.
struct Params { weight: vec4u, m: u32, n: u32, k: u32, first: u32, total: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> sums: array<vec4f, 64>;

fn load8(at: u32) -> Eight {
    let a = vec4f(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    return Eight(a, vec4f(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]));
}

/// The last elements of a row, zeros behind them.
fn load_rest(at: u32, count: u32) -> Eight {
    var v = array<f32, 8>();
    for (var i = 0u; i < count; i++) { v[i] = x[at + i]; }
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
    let part = lane / width;
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
    var k = part * 8u;
    for (; k + 8u <= params.k; k += SPLIT * 8u) {
        @if(one) {
            let v = inputs8(load8(start + k));
            sum.x += dot8(params.weight, cols.x, k, v);
            sum.y += dot8(params.weight, cols.y, k, v);
            sum.z += dot8(params.weight, cols.z, k, v);
            sum.w += dot8(params.weight, cols.w, k, v);
        }
        @if(four) {
            let w = decode8(params.weight, col, k);
            sum.x += dot_eight(w, load8(starts.x + k));
            sum.y += dot_eight(w, load8(starts.y + k));
            sum.z += dot_eight(w, load8(starts.z + k));
            sum.w += dot_eight(w, load8(starts.w + k));
        }
    }
    if k < params.k {
        let count = params.k - k;
        for (var i = 0u; i < 4u; i++) {
            @if(one) let w = decode8(params.weight, cols[i], k);
            @if(four) let w = decode8(params.weight, col, k);
            @if(one) let v = load_rest(start + k, count);
            @if(four) let v = load_rest(starts[i] + k, count);
            sum[i] += dot_eight(only(w, count), v);
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
