// y = act(W · x + bias + residual) for one row x: lanes of a subgroup hand each other x and the entries of tables.
//
// feature: full
// permute: weights
// permute: subgroup
// Layout   x: [k], k a multiple of 8; W: [n, k] in its encoding, column by column, the rows of W that one binding holds;
//          bias: [total]; residual, y: [total]; all f32 but W.
// Tiling   a lane sums four columns, 64 apart.
// Cost     reads W once; x n / 256 times, a vec4 a lane.

import package::decode::stage::{inputs8, raw8, span};
@if(palette) import package::decode::stage::hold;
import package::shared::eight::{dot_eight, Eight};
import package::shared::epilogue::{finish, RESIDUAL};

override BIAS: bool = false;

/// `n` columns from `first` on; `span`: columns of W with one scale.
struct Params { weight: vec4u, n: u32, k: u32, span: u32, first: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// Declared here, so that one text of the kernel serves all stages.
@if(palette) fn begin(sublane: u32) { hold(sublane); }
@if(!palette) fn begin(sublane: u32) {}

@compute @workgroup_size(64)
fn matvec_subgroup(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) sublane: u32,
    @builtin(subgroup_size) lanes: u32,
) {
    begin(sublane);
    let left = group.x * 256u + lane;
    // Columns beyond the last are computed from the last and not stored.
    let cols = min(left + vec4u(0u, 64u, 128u, 192u), vec4u(params.n - 1u));
    var held = vec4f();
    var sum = vec4f();
    for (var start = 0u; start < params.k; start += params.span) {
        let end = min(start + params.span, params.k);
        var raw = vec4f();
        var inputs = 0.0;
        for (var k = start; k < end; k += 8u) {
            let i = k / 4u % lanes;
            if i == 0u { held = x[k / 4u + sublane]; }
            let v = inputs8(Eight(subgroupShuffle(held, i), subgroupShuffle(held, i + 1u)));
            raw.x += dot_eight(raw8(params.weight, cols.x, k), v.x);
            raw.y += dot_eight(raw8(params.weight, cols.y, k), v.x);
            raw.z += dot_eight(raw8(params.weight, cols.z, k), v.x);
            raw.w += dot_eight(raw8(params.weight, cols.w, k), v.x);
            inputs += v.sum;
        }
        let p0 = span(params.weight, cols.x, start);
        let p1 = span(params.weight, cols.y, start);
        let p2 = span(params.weight, cols.z, start);
        let p3 = span(params.weight, cols.w, start);
        sum += vec4f(p0.x, p1.x, p2.x, p3.x) * raw + vec4f(p0.y, p1.y, p2.y, p3.y) * inputs;
    }
    for (var i = 0u; i < 4u && left + 64u * i < params.n; i++) {
        let col = params.first + left + 64u * i;
        var v = sum.x;
        sum = sum.yzwx;
        if BIAS { v += bias[col]; }
        var r = 0.0;
        if RESIDUAL != 0u { r = residual[col]; }
        y[col] = finish(v, r, params.a, params.b);
    }
}
