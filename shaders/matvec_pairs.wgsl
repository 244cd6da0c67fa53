// y = act(W · x + bias + residual) for one row x and W with two weights there in each four neighbours: eight values are
// those of sixteen columns.
//
// feature: full
// permute: weights with place
// Layout   x: [k], k a multiple of 4; W: [n, k] (decode/sparse.wgsl), the rows of W that one binding holds; bias: [total];
//          residual, y: [total]; all f32 but W.
// Tiling   a lane sums one row of W; SPLIT parts of a workgroup share it and take every SPLIT-th word of the mask. x is the
//          same for all lanes, by fours.
// Cost     reads W once and x n · SPLIT / 256 times, from cache.

import package::decode::stage::{place, values};
import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::row_parts::{over_row_parts, SPLIT};

override BIAS: bool = false;

/// `n` columns of the output from `first` on; `k` columns of W.
struct Params { weight: vec4u, n: u32, k: u32, first: u32, a: f32, b: f32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

/// The product of four neighbours of x with the two weights that the low four bits of `bits` tell the places of.
fn pair(v: vec2f, bits: u32, x: vec4f) -> f32 {
    let low = select(select(x.z, x.y, (bits & 2u) != 0u), x.x, (bits & 1u) != 0u);
    let high = select(select(x.y, x.z, (bits & 4u) != 0u), x.w, (bits & 8u) != 0u);
    return v.x * low + v.y * high;
}

@compute @workgroup_size(256)
fn matvec_pairs(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let width = 256u / SPLIT;
    // Software adapters load faster what they know to be the same for all lanes.
    let part = select(lane / width, 0u, SPLIT == 1u);
    let left = group.x * width + lane % width;
    // Rows beyond the last are computed from the last, so that all lanes reach the barriers.
    let row = min(left, params.n - 1u);
    var sum = 0.0;
    for (var k = 32u * part; k < params.k; k += 32u * SPLIT) {
        var bits = place(k / 32u, row).x;
        for (var col = k; col < min(k + 32u, params.k); col += 16u) {
            let v = values(params.weight, row, col / 2u);
            // Fours behind the last column have no bits, but values that may be anything.
            let fours = min(params.k - col, 16u) / 4u;
            sum += pair(v.a.xy, bits, x[col / 4u]);
            if fours > 1u { sum += pair(v.a.zw, bits >> 4u, x[col / 4u + 1u]); }
            if fours > 2u { sum += pair(v.b.xy, bits >> 8u, x[col / 4u + 2u]); }
            if fours > 3u { sum += pair(v.b.zw, bits >> 12u, x[col / 4u + 3u]); }
            bits >>= 16u;
        }
    }
    sum = over_row_parts(sum, lane);
    if part != 0u || left >= params.n { return; }
    let at = params.first + left;
    if BIAS { sum += bias[at]; }
    var r = 0.0;
    if RESIDUAL != 0u { r = residual[at]; }
    y[at] = finish(sum, r, params.a, params.b);
}
