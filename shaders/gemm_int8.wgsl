// y = act(x · Wᵀ + bias + residual) for many rows of x as integers of 8 bits (quantize_blocks.wgsl).
//
// feature: full
// permute: weights with bytes_of
// permute: wide
// permute: bytes
// Layout   q: [m, blocks, 8] words, x_scales: [m, blocks] pairs, of x; W: [n, k] in its encoding, column by column, the rows of
//          W that one binding holds; bias: [total]; residual, y: [m, total]. A span of W is a multiple of 32.
// Tiling   a workgroup of 64 sums 32 rows × 64 columns, an invocation four rows × two fours of columns. 32 columns of k at a
//          time lie in workgroup memory: x as it is, W as bytes, each decoded once for 32 rows.
// Cost     12 loads of 16 bytes from workgroup memory for 128 products of four.
// Grid     a workgroup per tile, wrapped from x into y.

import package::decode::stage::{bytes_of, of_bytes, spans4};
import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::grid::flat_group;
import package::shared::spans::Spans;
import package::shared::words::words4;

override BIAS: bool = false;

/// `n` columns from `first` on of `total` in all; `blocks`: of 32 elements of k; `tiles_n` of `tiles` lie along n.
struct Params {
    weight: vec4u,
    m: u32, n: u32, blocks: u32, first: u32, total: u32, tiles_n: u32, tiles: u32, a: f32, b: f32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4u>;
@group(0) @binding(1) var<storage, read> x_scales: array<vec2f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

/// [row, half of the block] of x.
var<workgroup> xs: array<vec4u, 64>;
/// [word of the block, four of columns] of W.
var<workgroup> ws: array<vec4u, 128>;

/// Decodes eight columns of k of four rows of W into `ws`, two words of each.
fn stage_weights(row: u32, block: u32, lane: u32) {
    let part = lane / 16u;
    let w = words4(params.weight.x, row, 32u * block + 8u * part);
    let b0 = bytes_of(vec2u(w.low.x, w.high.x), 8u * part);
    let b1 = bytes_of(vec2u(w.low.y, w.high.y), 8u * part);
    let b2 = bytes_of(vec2u(w.low.z, w.high.z), 8u * part);
    let b3 = bytes_of(vec2u(w.low.w, w.high.w), 8u * part);
    ws[part * 32u + lane % 16u] = vec4u(b0.x, b1.x, b2.x, b3.x);
    ws[part * 32u + 16u + lane % 16u] = vec4u(b0.y, b1.y, b2.y, b3.y);
}

/// A word of x with one of each of four columns.
fn dots(v: u32, w: vec4u) -> vec4i {
    return vec4i(dot4I8Packed(v, w.x), dot4I8Packed(v, w.y), dot4I8Packed(v, w.z), dot4I8Packed(v, w.w));
}

/// Four words of x with those of four columns.
fn dots4(v: vec4u, w0: vec4u, w1: vec4u, w2: vec4u, w3: vec4u) -> vec4i {
    return dots(v.x, w0) + dots(v.y, w1) + dots(v.z, w2) + dots(v.w, w3);
}

fn store(row: u32, left: u32, sum: vec4f) {
    var v = sum;
    for (var i = 0u; i < 4u && left + i < params.n && row < params.m; i++) {
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

/// A block's sum in terms of what its integers stand for.
fn scaled(sum: vec4i, p: Spans, s: vec2f) -> vec4f {
    return s.x * p.scale * vec4f(sum) + s.y * p.offset;
}

@compute @workgroup_size(64)
fn gemm_int8(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = flat_group(group, grid);
    if number >= params.tiles { return; }
    let first_row = number / params.tiles_n * 32u;
    let first_col = number % params.tiles_n * 64u;
    // Rows and columns beyond the last are computed from the last and not stored.
    let last_row = params.m - 1u;
    let last_four = (params.n - 1u) / 4u * 4u;
    let loaded_row = min(first_row + lane / 2u, last_row);
    let decoded = min(first_col + lane % 16u * 4u, last_four);
    let top = first_row + lane / 8u * 4u;
    let left = first_col + lane % 8u * 4u;
    let rows = min(top + vec4u(0u, 1u, 2u, 3u), vec4u(last_row)) * params.blocks;

    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var t0 = vec4f(); var t1 = vec4f(); var t2 = vec4f(); var t3 = vec4f();
    for (var block = 0u; block < params.blocks; block++) {
        workgroupBarrier(); // until the block before is used up
        xs[lane] = q[2u * (loaded_row * params.blocks + block) + lane % 2u];
        stage_weights(decoded, block, lane);
        workgroupBarrier();
        var i0 = vec4i(); var i1 = vec4i(); var i2 = vec4i(); var i3 = vec4i();
        var j0 = vec4i(); var j1 = vec4i(); var j2 = vec4i(); var j3 = vec4i();
        for (var half = 0u; half < 2u; half++) {
            let i = lane / 8u * 8u + half;
            let v0 = xs[i]; let v1 = xs[i + 2u]; let v2 = xs[i + 4u]; let v3 = xs[i + 6u];
            let j = half * 64u + lane % 8u;
            let w0 = ws[j]; let w1 = ws[j + 16u]; let w2 = ws[j + 32u]; let w3 = ws[j + 48u];
            i0 += dots4(v0, w0, w1, w2, w3); i1 += dots4(v1, w0, w1, w2, w3);
            i2 += dots4(v2, w0, w1, w2, w3); i3 += dots4(v3, w0, w1, w2, w3);
            let u0 = ws[j + 8u]; let u1 = ws[j + 24u]; let u2 = ws[j + 40u]; let u3 = ws[j + 56u];
            j0 += dots4(v0, u0, u1, u2, u3); j1 += dots4(v1, u0, u1, u2, u3);
            j2 += dots4(v2, u0, u1, u2, u3); j3 += dots4(v3, u0, u1, u2, u3);
        }
        let p = of_bytes(spans4(params.weight, min(left, last_four), 32u * block));
        let r = of_bytes(spans4(params.weight, min(left + 32u, last_four), 32u * block));
        let x0 = x_scales[rows.x + block]; let x1 = x_scales[rows.y + block];
        let x2 = x_scales[rows.z + block]; let x3 = x_scales[rows.w + block];
        s0 += scaled(i0, p, x0); s1 += scaled(i1, p, x1); s2 += scaled(i2, p, x2); s3 += scaled(i3, p, x3);
        t0 += scaled(j0, r, x0); t1 += scaled(j1, r, x1); t2 += scaled(j2, r, x2); t3 += scaled(j3, r, x3);
    }
    for (var r = 0u; r < 4u; r++) {
        store(top + r, left, s0);
        store(top + r, left + 32u, t0);
        s0 = s1; s1 = s2; s2 = s3;
        t0 = t1; t1 = t2; t2 = t3;
    }
}
