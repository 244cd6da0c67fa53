// Gather along an axis: y[outer, pick, inner] = x[outer, indices[pick], inner]; negative indices count from the end.
// An index outside the axis yields zero: the host refuses constant ones, others cannot be reported from here.
//
// Layout   x, y: 32-bit words, `inner` words a row (two a 64-bit element); indices: i32, or i64 as (low, high) pairs.
// Tiling   one invocation a word.

import package::shared::grid::flat_index;

override INDEX_WORDS: u32 = 2u;

struct Params { count: u32, len: u32, picks: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn gather(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let row = i / params.inner;
    let pick = row % params.picks;
    // An i64 that fits an axis has the sign of its low word; adding the length wraps a negative one into range.
    var at = indices[pick * INDEX_WORDS];
    if bitcast<i32>(at) < 0 { at += params.len; }
    if at >= params.len {
        y[i] = 0u;
        return;
    }
    y[i] = x[(row / params.picks * params.len + at) * params.inner + i % params.inner];
}
