// Softmax along one axis: y = eˣ⁻ᵐ / Σ eˣ⁻ᵐ with m = max x; its logarithm x − m − ln Σ eˣ⁻ᵐ.
// permute: tree | serial
//
// Layout   x, y: f32 `[outer, len, inner]`, the axis in the middle; `rows` = outer · inner.
// Tiling   tree: one workgroup a row (inner is 1). serial: one invocation a row, neighbours in memory when inner > 1.
// Cost     reads x twice (the second time from cache) and y once, writes y twice.
// Grid     rows beyond 65 535 wrap into y.

import package::shared::grid::{flat_group, flat_index};

override LOG: u32 = 0u;

struct Params { rows: u32, len: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

const LANES = 64u;

@if(tree)
var<workgroup> lanes: array<f32, LANES>;

@if(tree)
@compute @workgroup_size(LANES)
fn softmax(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, grid);
    if row >= params.rows { return; }
    let start = row * params.len;

    var largest = -3.4028234e38;
    for (var i = lane; i < params.len; i += LANES) { largest = max(largest, x[start + i]); }
    lanes[lane] = largest;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { lanes[lane] = max(lanes[lane], lanes[lane + half]); }
    }
    workgroupBarrier();
    let shift = lanes[0];
    workgroupBarrier();

    var sum = 0.0;
    for (var i = lane; i < params.len; i += LANES) {
        let e = exp(x[start + i] - shift);
        if LOG == 0u { y[start + i] = e; }
        sum += e;
    }
    lanes[lane] = sum;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { lanes[lane] += lanes[lane + half]; }
    }
    workgroupBarrier();

    if LOG == 0u {
        let scale = 1.0 / lanes[0];
        for (var i = lane; i < params.len; i += LANES) { y[start + i] *= scale; }
    } else {
        let total = shift + log(lanes[0]);
        for (var i = lane; i < params.len; i += LANES) { y[start + i] = x[start + i] - total; }
    }
}

@if(serial)
@compute @workgroup_size(LANES)
fn softmax(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_index(group, grid, LANES, lane);
    if row >= params.rows { return; }
    let start = row / params.inner * params.len * params.inner + row % params.inner;
    let end = start + params.len * params.inner;

    var shift = -3.4028234e38;
    for (var i = start; i < end; i += params.inner) { shift = max(shift, x[i]); }
    var sum = 0.0;
    for (var i = start; i < end; i += params.inner) {
        let e = exp(x[i] - shift);
        if LOG == 0u { y[i] = e; }
        sum += e;
    }
    if LOG == 0u {
        let scale = 1.0 / sum;
        for (var i = start; i < end; i += params.inner) { y[i] *= scale; }
    } else {
        let total = shift + log(sum);
        for (var i = start; i < end; i += params.inner) { y[i] = x[i] - total; }
    }
}
