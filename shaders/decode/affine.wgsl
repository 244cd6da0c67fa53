// Decode stage of group-wise affine integers: (code − zero) · scale. Scales are f16 pairs, zeros bytes, by [row, group].
// form = (words a row, weights a group, groups a row, 1 if groups have zeros).

import package::shared::bits::BITS;
import package::shared::bits::codes4;

@group(0) @binding(10) var<storage, read> codes: array<u32>;
@group(0) @binding(11) var<storage, read> scales: array<u32>;
@group(0) @binding(12) var<storage, read> zeros: array<u32>;

/// (scale, zero) of one group.
fn group_params(i: u32, asymmetric: bool) -> vec2f {
    let pair = unpack2x16float(scales[i / 2u]);
    let scale = select(pair.x, pair.y, i % 2u == 1u);
    let zero = (zeros[i / 4u] >> (8u * (i % 4u))) & 255u;
    return vec2f(scale, f32(select(1u << (BITS - 1u), zero, asymmetric)));
}

/// Weights `col … col + 3` of `row`; `col` is a multiple of 4.
fn decode4(form: vec4u, row: u32, col: u32) -> vec4f {
    let bit = col * BITS;
    let word = row * form.x + bit / 32u;
    let c = vec4f(codes4(codes[word], codes[word + 1u], bit % 32u));
    let groups = row * form.z;
    let first = groups + col / form.y;
    let p0 = group_params(first, form.w == 1u);
    if groups + (col + 3u) / form.y == first { return (c - p0.y) * p0.x; }
    let p1 = group_params(groups + (col + 1u) / form.y, form.w == 1u);
    let p2 = group_params(groups + (col + 2u) / form.y, form.w == 1u);
    let p3 = group_params(groups + (col + 3u) / form.y, form.w == 1u);
    return (c - vec4f(p0.y, p1.y, p2.y, p3.y)) * vec4f(p0.x, p1.x, p2.x, p3.x);
}
