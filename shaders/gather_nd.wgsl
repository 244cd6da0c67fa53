// GatherND and ScatterND without reduction: every tuple of `indices` names a slice of the data. Gather copies the slices
// out, scatter copies values into them. A tuple outside the data reads zeros and writes nothing.
//
// Layout   data, values: 32-bit words, `slice` words a slice; indices: [tuples, depth] i32, or i64 as (low, high) pairs.
//          axes: (length, stride in words) of each axis that a tuple names.
// Tiling   one invocation a word of the slices.
//
// permute: - | scatter

import package::shared::grid::flat_index;

override INDEX_WORDS: u32 = 2u;

/// `per_batch` tuples share a batch; batches are `batch_stride` words apart.
struct Params { count: u32, slice: u32, depth: u32, per_batch: u32, batch_stride: u32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> axes: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn gather_nd(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let row = i / params.slice;
    var at = row / params.per_batch * params.batch_stride + i % params.slice;
    var inside = true;
    for (var k = 0u; k < params.depth; k += 1u) {
        let len = axes[2u * k];
        var index = indices[(row * params.depth + k) * INDEX_WORDS];
        if bitcast<i32>(index) < 0 { index += len; }
        inside = inside && index < len;
        at += index * axes[2u * k + 1u];
    }
    @if(scatter)
    if inside { y[at] = x[i]; }
    @if(!scatter)
    y[i] = select(0u, x[min(at, arrayLength(&x) - 1u)], inside);
}
