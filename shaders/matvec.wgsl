// y = x · Wᵀ for few rows of x: bound by the bytes of W, each read once per four rows of x.
//
// permute: weights
// Layout   x: [m, k]; W: [n, k] in its encoding; bias: [n]; residual, y: [m, n]; all f32 but W.
// Tiling   SPLIT lanes share an output column, 64 / SPLIT columns a workgroup, four rows of x (grid y). A tree in
//          workgroup memory adds the lanes; with SPLIT = 1 there is no barrier (software adapters, where one costs more
//          than the sum).
// Cost     reads W once and x n · SPLIT / 64 times, the latter from cache.

import package::shared::epilogue::finish;
import package::decode::stage::decode4;

override SPLIT: u32 = 32u;
override BIAS: bool = false;

struct Params { weight: vec4u, m: u32, n: u32, k: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> sums: array<vec4f, 64>;

/// Four elements of a row of x; zero beyond its end.
fn load_x(row: u32, col: u32) -> vec4f {
    let i = min(row, params.m - 1u) * params.k + col;
    if col + 4u <= params.k { return vec4f(x[i], x[i + 1u], x[i + 2u], x[i + 3u]); }
    var v = vec4f(x[i], 0.0, 0.0, 0.0);
    if col + 1u < params.k { v.y = x[i + 1u]; }
    if col + 2u < params.k { v.z = x[i + 2u]; }
    return v;
}

@compute @workgroup_size(64)
fn matvec(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let part = lane % SPLIT;
    let col = group.x * (64u / SPLIT) + lane / SPLIT;
    let row = group.y * 4u;
    // Lanes beyond the last column compute it again, so that all reach the barriers.
    let weight_row = min(col, params.n - 1u);

    var sum = vec4f();
    for (var k = part * 4u; k < params.k; k += SPLIT * 4u) {
        let w = decode4(params.weight, weight_row, k);
        sum.x += dot(w, load_x(row, k));
        if row + 1u < params.m { sum.y += dot(w, load_x(row + 1u, k)); }
        if row + 2u < params.m { sum.z += dot(w, load_x(row + 2u, k)); }
        if row + 3u < params.m { sum.w += dot(w, load_x(row + 3u, k)); }
    }
    if SPLIT > 1u {
        sums[lane] = sum;
        for (var half = SPLIT / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if part < half { sums[lane] += sums[lane + half]; }
        }
        workgroupBarrier();
        sum = sums[lane - part];
    }
    if part != 0u || col >= params.n { return; }
    for (var i = 0u; i < 4u && row + i < params.m; i++) {
        var v = sum[i];
        if BIAS { v += bias[col]; }
        let at = (row + i) * params.n + col;
        y[at] = finish(v, residual[at], params.a, params.b);
    }
}
