// Between floats and integers: q = saturate(round(x / scale) + zero), x = (q − zero) · scale.
//
// Layout   x, y, zero: one word an element; scale: f32. Element i takes scale number
//          (i / outer · blocks + i / inner mod len / block) · step + i mod inner · along (see `src/gpu/quantize.rs`).
// Tiling   one invocation an element.
// Cost     bound by memory.

import package::shared::grid::flat_index;

/// 1: from integers to floats.
override BACK: u32 = 0u;
override ZERO: u32 = 1u;

/// `low`, `high`: the integers that the output holds.
struct Params {
    count: u32, outer: u32, inner: u32, len: u32, block: u32, blocks: u32, step: u32, along: u32, low: f32, high: f32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> zero: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn quantize(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let position = i / params.inner % params.len;
    let s = (i / params.outer * params.blocks + position / params.block) * params.step + i % params.inner * params.along;
    var z = 0;
    if ZERO == 1u { z = zero[s]; }
    if BACK == 1u {
        y[i] = bitcast<u32>(f32(bitcast<i32>(x[i]) - z) * scale[s]);
    } else {
        let q = clamp(round(bitcast<f32>(x[i]) / scale[s]) + f32(z), params.low, params.high);
        y[i] = bitcast<u32>(i32(q));
    }
}
