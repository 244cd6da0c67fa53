// Elementwise activations: y = f(x).
//
// Layout   x, y: f32, any shape, flat.
// Tiling   one invocation an element.
// Cost     reads x once, writes y once: bound by memory.

import package::shared::grid::flat_index;
import package::shared::activation::activate;

override KIND: u32 = 0u;

struct Params { count: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn activation(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    y[i] = activate(KIND, x[i], params.a, params.b);
}
