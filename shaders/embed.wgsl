// Rows of a few-bit table: y[pick, :] = W[indices[pick], :]; negative indices count from the end. An index outside the
// table yields zeros: the host refuses constant ones, others cannot be reported from here.
//
// permute: weights
// Layout   W: [rows, cols] of [len, cols] in its encoding; indices: i32, or i64 as (low, high) pairs; y: [picks, cols] f32.
// Tiling   one invocation per run of eight columns.

import package::shared::weights::decode8;
import package::shared::grid::flat_index;

override INDEX_WORDS: u32 = 2u;

/// The weight has the `rows` rows from `first` on of a table of `len`.
struct Params { weight: vec4u, count: u32, first: u32, rows: u32, len: u32, cols: u32, runs: u32 }

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn embed(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let pick = i / params.runs;
    let col = i % params.runs * 8u;
    // An i64 that fits an axis has the sign of its low word; adding the length wraps a negative one into range.
    var at = indices[pick * INDEX_WORDS];
    if bitcast<i32>(at) < 0 { at += params.len; }
    // Rows of the table that another window has are left alone.
    let inside = at - params.first < params.rows;
    if at < params.len && !inside { return; }
    let w = decode8(params.weight, select(0u, at - params.first, inside), col);
    var a = select(vec4f(), w.a, inside);
    var b = select(vec4f(), w.b, inside);
    for (var q = 0u; q < min(8u, params.cols - col); q++) {
        y[pick * params.cols + col + q] = a.x;
        a = vec4f(a.yzw, b.x);
        b = b.yzwx;
    }
}
