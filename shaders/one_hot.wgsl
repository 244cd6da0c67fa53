// OneHot: y[outer, d, inner] = on where d is the index at [outer, inner], else off.
//
// Layout   indices: i32, or i64 as (low, high) pairs; values: (off, on), WORDS 32-bit words each; y alike.
// Tiling   one invocation an output element.

import package::shared::grid::flat_index;

override WORDS: u32 = 1u;
override INDEX_WORDS: u32 = 2u;

struct Params { count: u32, depth: u32, inner: u32, pad0: u32 }

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn one_hot(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let outer = i / (params.inner * params.depth);
    let d = i / params.inner % params.depth;
    var index = indices[(outer * params.inner + i % params.inner) * INDEX_WORDS];
    if bitcast<i32>(index) < 0 { index += params.depth; }
    let value = select(0u, WORDS, index == d);
    for (var w = 0u; w < WORDS; w += 1u) {
        y[i * WORDS + w] = values[value + w];
    }
}
