// Interpolation along one axis: y[outer, o, inner] = Σ_t weight[o, t] · x[outer, position[o, t], inner].
//
// Layout   x: [outer, len, inner] f32; y: [outer, new, inner] f32.
//          taps: TAPS (position, weight as f32 bits) pairs for each output position; position 0xffffffff: the value
//          outside the region.
// Tiling   one invocation an output element.

import package::shared::grid::flat_index;

struct Params { count: u32, len: u32, new_len: u32, inner: u32, taps: u32, outside: f32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> taps: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn resize(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let column = i % params.inner;
    let o = i / params.inner % params.new_len;
    let outer = i / (params.inner * params.new_len);
    var entry = 2u * o * params.taps;
    if taps[entry] == 0xffffffffu {
        y[i] = params.outside;
        return;
    }
    var sum = 0.0;
    for (var t = 0u; t < params.taps; t += 1u) {
        let row = outer * params.len + taps[entry];
        sum += bitcast<f32>(taps[entry + 1u]) * x[row * params.inner + column];
        entry += 2u;
    }
    y[i] = sum;
}
