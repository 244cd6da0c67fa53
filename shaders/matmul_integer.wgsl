// c = (a − a_zero) · (b − b_zero) in 32-bit integers, a batch of products of 8-bit matrices held in words.
//
// Layout   a: [m, k], b: [k, n] row-major from the batch's offsets; a_zero: one or [m]; b_zero: one or [n];
//          c: [batch, m, n].
// Tiling   an invocation sums 4 rows × 4 columns in registers, LANES neighbours apart, straight from memory.
// Cost     8 loads for 16 multiply-adds.

import package::shared::grid::flat_index;

override LANES: u32 = 8u;
/// A zero point is there / is per row or column.
override A_ZERO: bool = false;
override B_ZERO: bool = false;

struct Params {
    m: u32, n: u32, k: u32, tiles_n: u32,
    tiles: u32, all_tiles: u32,
    /// Elements between the zero points of neighbouring rows and columns: 0 or 1.
    a_zero_step: u32, b_zero_step: u32,
}

@group(0) @binding(0) var<storage, read> a: array<i32>;
@group(0) @binding(1) var<storage, read> b: array<i32>;
@group(0) @binding(2) var<storage, read> a_zero: array<i32>;
@group(0) @binding(3) var<storage, read> b_zero: array<i32>;
@group(0) @binding(4) var<storage, read> offsets: array<vec2u>;
@group(0) @binding(5) var<storage, read_write> c: array<i32>;
@group(0) @binding(6) var<uniform> params: Params;

fn zero_of_row(row: u32) -> i32 {
    if A_ZERO { return a_zero[row * params.a_zero_step]; }
    return 0;
}

fn zero_of_column(col: u32) -> i32 {
    if B_ZERO { return b_zero[min(col, params.n - 1u) * params.b_zero_step]; }
    return 0;
}

fn store(batch: u32, row: u32, col: u32, sum: vec4i) {
    if row >= params.m { return; }
    for (var q = 0u; q < 4u; q++) {
        let column = col + q * LANES;
        if column < params.n { c[(batch * params.m + row) * params.n + column] = sum[q]; }
    }
}

@compute @workgroup_size(64)
fn matmul_integer(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = flat_index(group, grid, 64u, lane);
    let tile = id / LANES;
    if tile >= params.all_tiles { return; }
    let batch = tile / params.tiles;
    let row = (tile % params.tiles) / params.tiles_n * 4u;
    let col = tile % params.tiles % params.tiles_n * LANES * 4u + id % LANES;

    // Rows beyond the last are computed from the last and not stored.
    let last = params.m - 1u;
    let rows = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(last));
    let i = offsets[batch].x + rows * params.k;
    let za = vec4i(zero_of_row(rows.x), zero_of_row(rows.y), zero_of_row(rows.z), zero_of_row(rows.w));
    let zb = vec4i(
        zero_of_column(col), zero_of_column(col + LANES),
        zero_of_column(col + 2u * LANES), zero_of_column(col + 3u * LANES),
    );
    var j = offsets[batch].y + col;
    var s0 = vec4i(); var s1 = vec4i(); var s2 = vec4i(); var s3 = vec4i();
    for (var k = 0u; k < params.k; k++) {
        let v = vec4i(b[j], b[j + LANES], b[j + 2u * LANES], b[j + 3u * LANES]) - zb;
        s0 += (a[i.x + k] - za.x) * v;
        s1 += (a[i.y + k] - za.y) * v;
        s2 += (a[i.z + k] - za.z) * v;
        s3 += (a[i.w + k] - za.w) * v;
        j += params.n;
    }
    store(batch, row, col, s0);
    store(batch, row + 1u, col, s1);
    store(batch, row + 2u, col, s2);
    store(batch, row + 3u, col, s3);
}
