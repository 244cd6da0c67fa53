// c = act(alpha · a · b + beta · bias + residual), a batch of products of strided matrices.
//
// Layout   a: [m, k], b: [k, n] at their strides from the batch's offsets; c, residual: [batch, m, n] row-major.
// Tiling   an invocation sums 8 rows × 4 columns in registers, LANES neighbours apart, straight from memory: loads of b
//          are contiguous over lanes, loads of a the same for all. No workgroup memory, no barrier.
// Cost     12 loads for 32 multiply-adds; bound by arithmetic on software adapters.
// Grid     workgroups of 64 invocations, wrapped from x into y.

import package::shared::epilogue::finish;
import package::shared::grid::flat_index;

/// Invocations side by side along n.
override LANES: u32 = 8u;
override BIAS: bool = false;

struct Params {
    m: u32, n: u32, k: u32,
    tiles_n: u32,
    /// Tiles of one product, and of all.
    tiles: u32, all_tiles: u32,
    a_row: u32, a_col: u32, b_row: u32, b_col: u32,
    bias_row: u32, bias_col: u32,
    alpha: f32, beta: f32,
    act_a: f32, act_b: f32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read> offsets: array<vec2u>;
@group(0) @binding(5) var<storage, read_write> c: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

fn load_b(i: u32) -> vec4f {
    let step = LANES * params.b_col;
    return vec4f(b[i], b[i + step], b[i + 2u * step], b[i + 3u * step]);
}

fn store(batch: u32, row: u32, col: u32, sum: vec4f) {
    if row >= params.m { return; }
    for (var q = 0u; q < 4u; q++) {
        let column = col + q * LANES;
        if column >= params.n { return; }
        var v = params.alpha * sum[q];
        if BIAS { v += params.beta * bias[row * params.bias_row + column * params.bias_col]; }
        let at = (batch * params.m + row) * params.n + column;
        c[at] = finish(v, residual[at], params.act_a, params.act_b);
    }
}

@compute @workgroup_size(64)
fn gemm(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = flat_index(group, grid, 64u, lane);
    let tile = id / LANES;
    if tile >= params.all_tiles { return; }
    let batch = tile / params.tiles;
    let row = (tile % params.tiles) / params.tiles_n * 8u;
    let col = tile % params.tiles % params.tiles_n * LANES * 4u + id % LANES;

    // Rows beyond the last are computed from the last and not stored.
    let start = offsets[batch].x;
    let last = params.m - 1u;
    var i0 = start + min(row, last) * params.a_row;
    var i1 = start + min(row + 1u, last) * params.a_row;
    var i2 = start + min(row + 2u, last) * params.a_row;
    var i3 = start + min(row + 3u, last) * params.a_row;
    var i4 = start + min(row + 4u, last) * params.a_row;
    var i5 = start + min(row + 5u, last) * params.a_row;
    var i6 = start + min(row + 6u, last) * params.a_row;
    var i7 = start + min(row + 7u, last) * params.a_row;
    var j = offsets[batch].y + col * params.b_col;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
    var at = 0u;
    for (var k = 0u; k < params.k; k++) {
        let v = load_b(j);
        s0 += a[i0 + at] * v;
        s1 += a[i1 + at] * v;
        s2 += a[i2 + at] * v;
        s3 += a[i3 + at] * v;
        s4 += a[i4 + at] * v;
        s5 += a[i5 + at] * v;
        s6 += a[i6 + at] * v;
        s7 += a[i7 + at] * v;
        at += params.a_col;
        j += params.b_row;
    }
    store(batch, row, col, s0);
    store(batch, row + 1u, col, s1);
    store(batch, row + 2u, col, s2);
    store(batch, row + 3u, col, s3);
    store(batch, row + 4u, col, s4);
    store(batch, row + 5u, col, s5);
    store(batch, row + 6u, col, s6);
    store(batch, row + 7u, col, s7);
}
