// Normalisation of rows, then scale and bias: layer, RMS, instance and group normalisation.
// permute: tree | serial
//
// Layout   x, y: f32 `[rows, width]`. Element k of row r takes scale and bias number (r mod groups) · channels + k / size:
//          layer norm has groups 1, size 1; group norm has `groups` groups of `channels` channels of `size` elements.
// Tiling   tree: one workgroup a row. serial: one invocation a row, for software adapters.
// Cost     reads x three times (twice from cache), writes y once. The variance is taken around the mean, so that a
//          large mean does not drown it.
// Grid     rows beyond 65 535 wrap into y.

import package::shared::grid::{flat_group, flat_index};

/// 1: divide by the root mean square, without subtracting the mean.
override RMS: u32 = 0u;
override BIAS: u32 = 1u;

struct Params { rows: u32, width: u32, groups: u32, channels: u32, size: u32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const LANES = 64u;

/// Σ x of every `stride`-th element from `first` on.
fn sum_from(start: u32, first: u32, stride: u32) -> f32 {
    var sum = 0.0;
    for (var k = first; k < params.width; k += stride) { sum += x[start + k]; }
    return sum;
}

/// Σ (x − mean)² of the same elements.
fn squares_from(start: u32, first: u32, stride: u32, mean: f32) -> f32 {
    var sum = 0.0;
    for (var k = first; k < params.width; k += stride) {
        let d = x[start + k] - mean;
        sum += d * d;
    }
    return sum;
}

fn store(row: u32, start: u32, first: u32, stride: u32, mean: f32, variance: f32) {
    let factor = 1.0 / sqrt(variance + params.epsilon);
    let channel = row % params.groups * params.channels;
    for (var k = first; k < params.width; k += stride) {
        let c = channel + k / params.size;
        var v = (x[start + k] - mean) * factor * scale[c];
        if BIAS == 1u { v += bias[c]; }
        y[start + k] = v;
    }
}

@if(tree)
var<workgroup> lanes: array<f32, LANES>;

@if(tree)
fn total(lane: u32, mine: f32) -> f32 {
    lanes[lane] = mine;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { lanes[lane] += lanes[lane + half]; }
    }
    workgroupBarrier();
    let sum = lanes[0];
    workgroupBarrier();
    return sum;
}

@if(tree)
@compute @workgroup_size(LANES)
fn norm(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, grid);
    if row >= params.rows { return; }
    let start = row * params.width;
    let count = f32(params.width);
    var mean = 0.0;
    if RMS == 0u { mean = total(lane, sum_from(start, lane, LANES)) / count; }
    let variance = total(lane, squares_from(start, lane, LANES, mean)) / count;
    store(row, start, lane, LANES, mean, variance);
}

@if(serial)
@compute @workgroup_size(LANES)
fn norm(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_index(group, grid, LANES, lane);
    if row >= params.rows { return; }
    let start = row * params.width;
    let count = f32(params.width);
    var mean = 0.0;
    if RMS == 0u { mean = sum_from(start, 0u, 1u) / count; }
    let variance = squares_from(start, 0u, 1u, mean) / count;
    store(row, start, 0u, 1u, mean, variance);
}
