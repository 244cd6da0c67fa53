// GatherElements and ScatterElements without reduction: the place of `indices[i, j, …]` in a tensor of the same rank is
// its own index, but for one axis, which it names. Gather reads there, scatter writes there.
//
// Layout   data, values: WORDS 32-bit words an element; indices: i32, or i64 as (low, high) pairs.
//          axes: (length in the indices, stride in the data; 0 along the named axis) of each axis, innermost last.
// Tiling   one invocation an index.
//
// permute: - | scatter

import package::shared::grid::flat_index;

override WORDS: u32 = 1u;
override INDEX_WORDS: u32 = 2u;

struct Params { count: u32, rank: u32, len: u32, stride: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> axes: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn gather_elements(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    var pick = indices[i * INDEX_WORDS];
    if bitcast<i32>(pick) < 0 { pick += params.len; }
    let inside = pick < params.len;
    var rest = i;
    var at = pick * params.stride;
    for (var axis = params.rank; axis > 0u; axis -= 1u) {
        let len = axes[2u * axis - 2u];
        at += rest % len * axes[2u * axis - 1u];
        rest /= len;
    }
    for (var w = 0u; w < WORDS; w += 1u) {
        @if(scatter)
        if inside { y[at * WORDS + w] = x[i * WORDS + w]; }
        @if(!scatter)
        y[i * WORDS + w] = select(0u, x[min(at * WORDS + w, arrayLength(&x) - 1u)], inside);
    }
}
