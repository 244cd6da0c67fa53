// Every token's state: its row, or its earlier state where it has none of its own.
//
// feature: full
// Layout   y: [batch, rows, width] f32; into: [batch, tokens] i32; x, out: [batch, tokens, width] f32.
// Tiling   one invocation an element. Cost: bound by memory.

import package::shared::grid::flat_index;

struct Params { count: u32, tokens: u32, rows: u32, width: u32, dropped: i32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> into: array<i32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn unpool_tokens(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let token = i / params.width;
    let row = into[token];
    if row < 0 || u32(row) >= params.rows || row == params.dropped {
        out[i] = x[i];
    } else {
        out[i] = y[(token / params.tokens * params.rows + u32(row)) * params.width + i % params.width];
    }
}
