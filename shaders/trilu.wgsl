// Keeps one triangle of every matrix: y = x where the column is on the kept side of diagonal k, else 0.
//
// Layout   x, y: [matrices, rows, cols], WORDS 32-bit words an element.
// Tiling   one invocation an element.

import package::shared::grid::flat_index;

override WORDS: u32 = 1u;

struct Params { count: u32, rows: u32, cols: u32, upper: u32, k: i32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn trilu(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let beyond = i32(i % params.cols) - i32(i / params.cols % params.rows) - params.k;
    let kept = (params.upper != 0u && beyond >= 0) || (params.upper == 0u && beyond <= 0);
    for (var w = 0u; w < WORDS; w += 1u) {
        y[i * WORDS + w] = select(0u, x[i * WORDS + w], kept);
    }
}
