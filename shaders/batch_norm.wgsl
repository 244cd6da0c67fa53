// Batch normalisation with known statistics: y = (x − mean) / √(variance + ε) · scale + bias by channel.
//
// Layout   x, y: f32 `[batch, channels, size]`; the others f32 `[channels]`.
// Tiling   one invocation an element.
// Cost     bound by memory.

import package::shared::grid::flat_index;

struct Params { count: u32, channels: u32, size: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> variance: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn batch_norm(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let c = i / params.size % params.channels;
    y[i] = (x[i] - mean[c]) / sqrt(variance[c] + params.epsilon) * scale[c] + bias[c];
}
