// A copy through strides: y[to + Σ index·axis.to] = x[from + Σ index·axis.from] for every index of a box.
//
// Layout   x, y: 32-bit words; a 64-bit element is two words, which the host turns into one more axis.
//          axes: (length, source stride as i32 bits, destination stride) of each axis, innermost last.
// Tiling   one invocation a word; neighbours write neighbouring words wherever the destination is dense.
// Cost     bound by memory; a transpose reads through the cache.

import package::shared::grid::flat_index;

struct Params { count: u32, rank: u32, from_start: i32, to_start: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> axes: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn strided(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    var rest = i;
    var from_at = params.from_start;
    var to_at = params.to_start;
    for (var axis = params.rank; axis > 0u; axis -= 1u) {
        let entry = 3u * (axis - 1u);
        let len = axes[entry];
        let index = rest % len;
        rest /= len;
        from_at += i32(index) * bitcast<i32>(axes[entry + 1u]);
        to_at += index * axes[entry + 2u];
    }
    y[to_at] = x[from_at];
}
