// Mean, maximum or p-norm of whole planes.
//
// Layout   x: [planes, len] f32; y: [planes] f32.
// Tiling   one workgroup a plane; an invocation folds every LANES-th element, a tree in workgroup memory joins them.
// Cost     reads x once: bound by memory.

import package::shared::grid::flat_group;

const LANES: u32 = 64u;
const MAXIMUM: u32 = 0u;
const MEAN: u32 = 1u;
const NORM: u32 = 2u;

override FOLD: u32 = 1u;

struct Params { planes: u32, len: u32, p: f32, pad0: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> parts: array<f32, 64>;

fn join(a: f32, b: f32) -> f32 {
    if FOLD == MAXIMUM { return max(a, b); }
    return a + b;
}

fn element(v: f32) -> f32 {
    if FOLD != NORM { return v; }
    if params.p == 2.0 { return v * v; }
    return pow(abs(v), params.p);
}

@compute @workgroup_size(64)
fn global_pool(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = flat_group(group, grid);
    if plane >= params.planes { return; }
    var folded = select(0.0, -3.4028234e38, FOLD == MAXIMUM);
    for (var i = lane; i < params.len; i += LANES) {
        folded = join(folded, element(x[plane * params.len + i]));
    }
    parts[lane] = folded;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { parts[lane] = join(parts[lane], parts[lane + half]); }
    }
    if lane != 0u { return; }
    let whole = parts[0];
    switch FOLD {
        case MAXIMUM: { y[plane] = whole; }
        case MEAN: { y[plane] = whole / f32(params.len); }
        default: { y[plane] = select(pow(whole, 1.0 / params.p), sqrt(whole), params.p == 2.0); }
    }
}
