// c = act(alpha · a · b + beta · bias + residual), a batch of products of strided matrices.
//
// permute: weights
// permute: together | alone
// Layout   a: [m, k], dense b: [k, n] at their strides from the batch's offsets; few-bit b: [n, k] in its encoding, with
//          a batch of one; c, residual: [batch, m, total] row-major.
// Tiling   an invocation sums 8 rows × 8 columns in registers, the columns LANES apart, so that loads of b are
//          contiguous over lanes and loads of a the same for all. Dense operands come straight from memory; few-bit b
//          through workgroup memory (see staged.wgsl). A workgroup is 64 / LANES tiles high and one wide.
// Cost     16 loads for 64 multiply-adds; bound by arithmetic on software adapters.
// Grid     a workgroup per tile of the product, wrapped from x into y.

import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::grid::flat_group;
@if(!dense && together) import package::shared::staged::{stage, tile, Chunk, VALUES};
@if(!dense && alone) import package::decode::stage::{raw8, span, weights8};
@if(!dense && alone) import package::shared::eight::{dot_eight, Eight};

/// Invocations side by side along n: 8, 16, 32 or 64; with few-bit b 8, so that a chunk has columns by eights.
override LANES: u32 = 8u;
override BIAS: bool = false;
/// Rows of a start at multiples of four elements, which are neighbours.
override ALIGNED: bool = false;

struct Params {
    /// Of few-bit b: the decode stage's form.
    weight: vec4u,
    m: u32, n: u32, k: u32,
    /// The n columns are those from `first` on of `total`.
    first: u32, total: u32,
    /// Workgroups along m and n, and in all.
    tiles_m: u32, tiles_n: u32, tiles: u32,
    a_row: u32, a_col: u32, b_row: u32, b_col: u32,
    bias_row: u32, bias_col: u32,
    /// Columns of few-bit b with one scale.
    span: u32,
    alpha: f32, beta: f32,
    act_a: f32, act_b: f32,
}

@if(dense || together) @group(0) @binding(0) var<storage, read> a: array<f32>;
@if(!dense && alone) @group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@if(dense) @group(0) @binding(3) var<storage, read> offsets: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;
@if(dense) @group(0) @binding(10) var<storage, read> b: array<f32>;

@if(!dense && alone)
fn load_a(i: u32) -> f32 {
    return a[i / 4u][i % 4u];
}

/// Eight elements of a row of a from column `k` on; zeros beyond the last.
@if(!dense && alone)
fn load8_a(row: u32, k: u32) -> Eight {
    let c = params.a_col;
    let i = row + k * c;
    if ALIGNED && k + 8u <= params.k { return Eight(a[i / 4u], a[i / 4u + 1u]); }
    var v = Eight();
    for (var q = 0u; q < min(8u, params.k - k); q++) {
        if q < 4u { v.a[q] = load_a(i + q * c); } else { v.b[q - 4u] = load_a(i + q * c); }
    }
    return v;
}

/// The weights of a column from row `k` on.
@if(!dense && alone)
fn load_w(col: u32, k: u32, p: vec2f) -> Eight {
    return weights8(raw8(params.weight, min(col, params.n - 1u), k), p);
}

@if(!dense && alone)
fn span_of(col: u32, k: u32) -> vec2f {
    return span(params.weight, min(col, params.n - 1u), k);
}

@if(!dense && alone)
fn dot4(x: Eight, w0: Eight, w1: Eight, w2: Eight, w3: Eight) -> vec4f {
    return vec4f(dot_eight(w0, x), dot_eight(w1, x), dot_eight(w2, x), dot_eight(w3, x));
}

/// Four values of b, `step` apart.
@if(dense || together)
fn load_b(i: u32, step: u32) -> vec4f {
    @if(dense) { return vec4f(b[i], b[i + step], b[i + 2u * step], b[i + 3u * step]); }
    @if(!dense && together) { return vec4f(tile[i], tile[i + step], tile[i + 2u * step], tile[i + 3u * step]); }
}

fn put(batch: u32, row: u32, left: u32, sum: f32) {
    if left >= params.n { return; }
    let col = params.first + left;
    var v = params.alpha * sum;
    if BIAS { v += params.beta * bias[row * params.bias_row + col * params.bias_col]; }
    let at = (batch * params.m + row) * params.total + col;
    var r = 0.0;
    if RESIDUAL != 0u { r = residual[at]; }
    c[at] = finish(v, r, params.act_a, params.act_b);
}

/// A row's 8 columns. Loops shift the sums along, so that the code of `put` stands here once.
fn store(batch: u32, row: u32, col: u32, left: vec4f, right: vec4f) {
    var u = left;
    var v = right;
    for (var q = 0u; q < 8u; q++) {
        put(batch, row, col + q * LANES, u.x);
        u = vec4f(u.yzw, v.x);
        v = v.yzwx;
    }
}

@compute @workgroup_size(64)
fn gemm(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = flat_group(group, grid);
    if number >= params.tiles { return; }
    let batch = number / (params.tiles_m * params.tiles_n);
    let left = number % params.tiles_n * LANES * 8u;
    let col = left + lane % LANES;
    let row = (number / params.tiles_n % params.tiles_m * (64u / LANES) + select(lane / LANES, 0u, LANES == 64u)) * 8u;
    @if(dense || alone) { if row >= params.m { return; } }

    // Rows beyond the last are computed from the last and not stored.
    @if(dense) let start = offsets[batch].x;
    @if(!dense) let start = 0u;
    let last = params.m - 1u;
    @if(dense || together) let i0 = start + min(row, last) * params.a_row;
    @if(dense || together) let i1 = start + min(row + 1u, last) * params.a_row;
    @if(dense || together) let i2 = start + min(row + 2u, last) * params.a_row;
    @if(dense || together) let i3 = start + min(row + 3u, last) * params.a_row;
    @if(dense || together) let i4 = start + min(row + 4u, last) * params.a_row;
    @if(dense || together) let i5 = start + min(row + 5u, last) * params.a_row;
    @if(dense || together) let i6 = start + min(row + 6u, last) * params.a_row;
    @if(dense || together) let i7 = start + min(row + 7u, last) * params.a_row;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
    var t0 = vec4f(); var t1 = vec4f(); var t2 = vec4f(); var t3 = vec4f();
    var t4 = vec4f(); var t5 = vec4f(); var t6 = vec4f(); var t7 = vec4f();
    @if(dense) let depth = params.k;
    @if(dense) let step = LANES * params.b_col;
    @if(dense) let b_row = params.b_row;
    @if(dense) var j = offsets[batch].y + col * params.b_col;
    @if(!dense && together) let depth = VALUES / (8u * LANES);
    @if(!dense && together) let step = LANES;
    @if(!dense && together) let b_row = 8u * LANES;
    @if(!dense && alone)
    for (var begin = 0u; begin < params.k; begin += params.span) {
        let p0 = span_of(col, begin);
        let p1 = span_of(col + LANES, begin);
        let p2 = span_of(col + 2u * LANES, begin);
        let p3 = span_of(col + 3u * LANES, begin);
        let p4 = span_of(col + 4u * LANES, begin);
        let p5 = span_of(col + 5u * LANES, begin);
        let p6 = span_of(col + 6u * LANES, begin);
        let p7 = span_of(col + 7u * LANES, begin);
        let end = min(begin + params.span, params.k);
        for (var k = begin; k < end; k += 8u) {
            let w0 = load_w(col, k, p0);
            let w1 = load_w(col + LANES, k, p1);
            let w2 = load_w(col + 2u * LANES, k, p2);
            let w3 = load_w(col + 3u * LANES, k, p3);
            let w4 = load_w(col + 4u * LANES, k, p4);
            let w5 = load_w(col + 5u * LANES, k, p5);
            let w6 = load_w(col + 6u * LANES, k, p6);
            let w7 = load_w(col + 7u * LANES, k, p7);
            // The sums move along, so that the code of a row stands here once.
            for (var r = 0u; r < 8u; r++) {
                let v = load8_a(start + min(row + r, last) * params.a_row, k);
                let s = s0 + dot4(v, w0, w1, w2, w3);
                let t = t0 + dot4(v, w4, w5, w6, w7);
                s0 = s1; s1 = s2; s2 = s3; s3 = s4; s4 = s5; s5 = s6; s6 = s7; s7 = s;
                t0 = t1; t1 = t2; t2 = t3; t3 = t4; t4 = t5; t5 = t6; t6 = t7; t7 = t;
            }
        }
    }
    @if(dense || together) var at = 0u;
    @if(dense || together)
    for (var k0 = 0u; k0 < params.k; k0 += depth) {
        @if(!dense && together) {
            stage(params.weight, Chunk(left, 8u * LANES, k0, depth), params.n - 1u, params.k, lane);
        }
        @if(!dense && together) var j = lane % LANES;

        let end = min(k0 + depth, params.k);
        for (var k = k0; k < end; k++) {
            let v = load_b(j, step);
            let w = load_b(j + 4u * step, step);
            let a0 = a[i0 + at]; s0 += a0 * v; t0 += a0 * w;
            let a1 = a[i1 + at]; s1 += a1 * v; t1 += a1 * w;
            let a2 = a[i2 + at]; s2 += a2 * v; t2 += a2 * w;
            let a3 = a[i3 + at]; s3 += a3 * v; t3 += a3 * w;
            let a4 = a[i4 + at]; s4 += a4 * v; t4 += a4 * w;
            let a5 = a[i5 + at]; s5 += a5 * v; t5 += a5 * w;
            let a6 = a[i6 + at]; s6 += a6 * v; t6 += a6 * w;
            let a7 = a[i7 + at]; s7 += a7 * v; t7 += a7 * w;
            at += params.a_col;
            j += b_row;
        }
    }
    for (var r = 0u; r < 8u && row + r < params.m; r++) {
        store(batch, row + r, col, s0, t0);
        s0 = s1; t0 = t1;
        s1 = s2; t1 = t2;
        s2 = s3; t2 = t3;
        s3 = s4; t3 = t4;
        s4 = s5; t4 = t5;
        s5 = s6; t5 = t6;
        s6 = s7; t6 = t7;
    }
}
