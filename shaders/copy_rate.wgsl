// y = x, as fast as memory goes: the bandwidth that products are compared with.
//
// feature: cli
//
// Layout   x, y: [count] vec4.
// Tiling   one invocation a vec4.

import package::shared::grid::flat_index;

struct Params { count: u32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(256)
fn copy_rate(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 256u, lane);
    if i < params.count { y[i] = x[i]; }
}
