// Where inputs are after one more reduction; −1 stays.
//
// feature: full
// Layout   map, out: [batch, inputs] i32; into: [batch, tokens] i32.
// Tiling   one invocation an input.

import package::shared::grid::flat_index;

struct Params { count: u32, inputs: u32, tokens: u32, pad0: u32 }

@group(0) @binding(0) var<storage, read> map: array<i32>;
@group(0) @binding(1) var<storage, read> into: array<i32>;
@group(0) @binding(2) var<storage, read_write> out: array<i32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn follow_tokens(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let at = map[i];
    out[i] = -1;
    if at >= 0 && u32(at) < params.tokens { out[i] = into[i / params.inputs * params.tokens + u32(at)]; }
}
