// v = v · a + b in registers, over and over: the rate of arithmetic that products are compared with.
//
// feature: cli
//
// Layout   y: one f32 an invocation, so that nothing is left out.
// Tiling   an invocation has eight independent vec4, more than a pipeline is deep.
// Cost     64 operations a step.

import package::shared::grid::flat_index;

struct Params { steps: u32, a: f32, b: f32, pad0: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(256)
fn fma_rate(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let a = vec4f(params.a);
    let b = vec4f(params.b);
    let start = vec4f(vec4u(lane) + vec4u(0u, 1u, 2u, 3u));
    var v0 = start; var v1 = start + 1.0; var v2 = start + 2.0; var v3 = start + 3.0;
    var v4 = start + 4.0; var v5 = start + 5.0; var v6 = start + 6.0; var v7 = start + 7.0;
    for (var i = 0u; i < params.steps; i += 1u) {
        v0 = v0 * a + b; v1 = v1 * a + b; v2 = v2 * a + b; v3 = v3 * a + b;
        v4 = v4 * a + b; v5 = v5 * a + b; v6 = v6 * a + b; v7 = v7 * a + b;
    }
    let sum = v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7;
    y[flat_index(group, grid, 256u, lane)] = sum.x + sum.y + sum.z + sum.w;
}
