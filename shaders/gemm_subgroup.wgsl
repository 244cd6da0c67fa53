// y = act(x · Wᵀ + bias + residual) for many rows of x: each lane of a subgroup loads some of x and hands it to the others.
//
// permute: weights
// permute: subgroup
// Layout   x: [m, k], k a multiple of 4; W: [n, k] in its encoding, column by column, the rows of W that one binding holds;
//          bias: [total]; residual, y: [m, total]; all f32 but W.
// Tiling   an invocation sums 8 rows × 4 columns in registers, or 8 × 8 if it is `WIDE`, the columns 64 apart; a workgroup
//          has 8 rows and 256 or 512 columns. Of every 8 × 8 elements of x a lane loads 16, 8 or 4.
// Cost     1, 2 or 4 loads of vec4s and 4 or 8 of words for 256 or 512 multiply-adds.
// Grid     a workgroup per tile, wrapped from x into y.

import package::decode::stage::{raw8, span, weights8};
@if(palette) import package::decode::stage::hold;
import package::shared::eight::{dot_eight, Eight};
import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::grid::flat_group;

override BIAS: bool = false;
/// Lanes that share a load of 8 × 8 elements of x: 4, 8 or 16, at most those of a subgroup.
override LANES: u32 = 4u;
/// Eight columns an invocation: fewer loads of x, more registers.
override WIDE: bool = false;

/// `n` columns from `first` on of `total` in all; `span`: columns of W with one scale; `tiles_n` of `tiles` lie along n.
struct Params {
    weight: vec4u,
    m: u32, n: u32, k: u32, span: u32, first: u32, total: u32, tiles_n: u32, tiles: u32, a: f32, b: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

/// What a lane holds of 8 rows × 8 elements of x: two rows, one, or half of one in `v0`.
struct Held { v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f }

/// Eight elements of row `r` of the tile.
fn row_of(h: Held, r: u32) -> Eight {
    if LANES == 4u && r % 2u == 0u { return Eight(subgroupShuffle(h.v0, r / 2u), subgroupShuffle(h.v1, r / 2u)); }
    if LANES == 4u { return Eight(subgroupShuffle(h.v2, r / 2u), subgroupShuffle(h.v3, r / 2u)); }
    if LANES == 8u { return Eight(subgroupShuffle(h.v0, r), subgroupShuffle(h.v1, r)); }
    return Eight(subgroupShuffle(h.v0, 2u * r), subgroupShuffle(h.v0, 2u * r + 1u));
}

fn dot4(x: Eight, w0: Eight, w1: Eight, w2: Eight, w3: Eight) -> vec4f {
    return vec4f(dot_eight(w0, x), dot_eight(w1, x), dot_eight(w2, x), dot_eight(w3, x));
}

fn put(row: u32, left: u32, sum: f32) {
    if left >= params.n { return; }
    let col = params.first + left;
    var v = sum;
    if BIAS { v += bias[col]; }
    let at = row * params.total + col;
    var r = 0.0;
    if RESIDUAL != 0u { r = residual[at]; }
    y[at] = finish(v, r, params.a, params.b);
}

/// A row's 8 columns. Loops shift the sums along, so that the code of `put` stands here once.
fn store(row: u32, col: u32, left: vec4f, right: vec4f) {
    var u = left;
    var v = right;
    for (var q = 0u; q < select(4u, 8u, WIDE); q++) {
        put(row, col + q * 64u, u.x);
        u = vec4f(u.yzw, v.x);
        v = v.yzwx;
    }
}

// Declared here, so that one text of the kernel serves all stages.
@if(palette) fn begin(sublane: u32) { hold(sublane); }
@if(!palette) fn begin(sublane: u32) {}

@compute @workgroup_size(64)
fn gemm_subgroup(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) sublane: u32,
) {
    let number = flat_group(group, grid);
    if number >= params.tiles { return; }
    begin(sublane);
    let left = number % params.tiles_n * select(256u, 512u, WIDE) + lane;
    let top = number / params.tiles_n * 8u;
    // Columns and rows beyond the last are computed from the last and not stored.
    let edge = params.n - 1u;
    let col0 = min(left, edge); let col1 = min(left + 64u, edge);
    let col2 = min(left + 128u, edge); let col3 = min(left + 192u, edge);
    let col4 = min(left + 256u, edge); let col5 = min(left + 320u, edge);
    let col6 = min(left + 384u, edge); let col7 = min(left + 448u, edge);
    // Of the tile's 16 vec4s, two a row, this lane loads 16 / LANES from number `own` on.
    let own = sublane % LANES * (16u / LANES);
    let last = params.m - 1u;
    let upper = min(top + own / 2u, last) * (params.k / 4u) + own % 2u;
    let lower = min(top + own / 2u + 1u, last) * (params.k / 4u);

    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
    var t0 = vec4f(); var t1 = vec4f(); var t2 = vec4f(); var t3 = vec4f();
    var t4 = vec4f(); var t5 = vec4f(); var t6 = vec4f(); var t7 = vec4f();
    for (var start = 0u; start < params.k; start += params.span) {
        let p0 = span(params.weight, col0, start);
        let p1 = span(params.weight, col1, start);
        let p2 = span(params.weight, col2, start);
        let p3 = span(params.weight, col3, start);
        var p4 = vec2f(); var p5 = vec2f(); var p6 = vec2f(); var p7 = vec2f();
        if WIDE {
            p4 = span(params.weight, col4, start);
            p5 = span(params.weight, col5, start);
            p6 = span(params.weight, col6, start);
            p7 = span(params.weight, col7, start);
        }
        let end = min(start + params.span, params.k);
        for (var k = start; k < end; k += 8u) {
            let w0 = weights8(raw8(params.weight, col0, k), p0);
            let w1 = weights8(raw8(params.weight, col1, k), p1);
            let w2 = weights8(raw8(params.weight, col2, k), p2);
            let w3 = weights8(raw8(params.weight, col3, k), p3);
            var w4 = Eight(); var w5 = Eight(); var w6 = Eight(); var w7 = Eight();
            if WIDE {
                w4 = weights8(raw8(params.weight, col4, k), p4);
                w5 = weights8(raw8(params.weight, col5, k), p5);
                w6 = weights8(raw8(params.weight, col6, k), p6);
                w7 = weights8(raw8(params.weight, col7, k), p7);
            }
            // A row ends with half a run or a whole one.
            let whole = k + 8u <= params.k;
            let i = upper + k / 4u;
            var h = Held();
            if LANES == 16u {
                h.v0 = select(vec4f(), x[i], whole || own % 2u == 0u);
            } else {
                h.v0 = x[i];
                h.v1 = select(vec4f(), x[i + 1u], whole);
            }
            if LANES == 4u {
                h.v2 = x[lower + k / 4u];
                h.v3 = select(vec4f(), x[lower + k / 4u + 1u], whole);
            }
            let v0 = row_of(h, 0u);
            s0 += dot4(v0, w0, w1, w2, w3);
            if WIDE { t0 += dot4(v0, w4, w5, w6, w7); }
            let v1 = row_of(h, 1u);
            s1 += dot4(v1, w0, w1, w2, w3);
            if WIDE { t1 += dot4(v1, w4, w5, w6, w7); }
            let v2 = row_of(h, 2u);
            s2 += dot4(v2, w0, w1, w2, w3);
            if WIDE { t2 += dot4(v2, w4, w5, w6, w7); }
            let v3 = row_of(h, 3u);
            s3 += dot4(v3, w0, w1, w2, w3);
            if WIDE { t3 += dot4(v3, w4, w5, w6, w7); }
            let v4 = row_of(h, 4u);
            s4 += dot4(v4, w0, w1, w2, w3);
            if WIDE { t4 += dot4(v4, w4, w5, w6, w7); }
            let v5 = row_of(h, 5u);
            s5 += dot4(v5, w0, w1, w2, w3);
            if WIDE { t5 += dot4(v5, w4, w5, w6, w7); }
            let v6 = row_of(h, 6u);
            s6 += dot4(v6, w0, w1, w2, w3);
            if WIDE { t6 += dot4(v6, w4, w5, w6, w7); }
            let v7 = row_of(h, 7u);
            s7 += dot4(v7, w0, w1, w2, w3);
            if WIDE { t7 += dot4(v7, w4, w5, w6, w7); }
        }
    }
    for (var r = 0u; r < 8u && top + r < params.m; r++) {
        store(top + r, left, s0, t0);
        s0 = s1; t0 = t1;
        s1 = s2; t1 = t2;
        s2 = s3; t2 = t3;
        s3 = s4; t3 = t4;
        s4 = s5; t4 = t5;
        s5 = s6; t5 = t6;
        s6 = s7; t6 = t7;
    }
}
