// Quantisation to u8 with the scale and zero point that make 0 and the extremes of x exact.
//
// Layout   x: f32, flat; low, high: the extremes of x; y, zero: one word an element; scale: f32.
// Tiling   one invocation an element; the first also writes scale and zero.
// Cost     bound by memory.

import package::shared::grid::flat_index;

struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> low: array<f32>;
@group(0) @binding(2) var<storage, read> high: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> zero: array<u32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn dynamic_quantize(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let start = min(low[0], 0.0);
    let step = (max(high[0], 0.0) - start) / 255.0;
    // All zeros: any scale represents them.
    let divisor = select(step, 1.0, step == 0.0);
    let origin = round(clamp(-start / divisor, 0.0, 255.0));
    y[i] = u32(clamp(round(x[i] / divisor) + origin, 0.0, 255.0));
    if i == 0u {
        scale[0] = step;
        zero[0] = u32(origin);
    }
}
