// Decode stage of sparse weights. A bit per weight says whether it is there; those that are lie next to each other in a
// weight with a stage of its own, `package::decode::values`, whose form and bindings 10–12 come along.
// feature: full

import package::decode::values::{raw8 as values8, span as values_span, weights8 as scaled_values8};
import package::shared::eight::{Eight, Inputs};

/// First the rows of a column; then, column by column, the bits of 32 weights and how many of their row are there before.
@group(0) @binding(13) var<storage, read> mask: array<vec2u>;

/// Values `col … col + 7` of `row`, `col` a multiple of 8.
fn values(form: vec4u, row: u32, col: u32) -> Eight {
    return scaled_values8(values8(form, row, col), values_span(form, row, col));
}

/// The stage of the values stands here twice: kernels that decode many rows grow with it.
fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    let word = mask[1u + col / 32u * mask[0].x + row];
    let bits = (word.x >> (col % 32u)) & 255u;
    let rank = word.y + countOneBits(word.x & ((1u << (col % 32u)) - 1u));
    // Values come by eights; those wanted may lie in two of these.
    let low = values(form, row, rank & ~7u);
    let high = values(form, row, (rank & ~7u) + 8u);
    var there = array<vec4f, 4>(low.a, low.b, high.a, high.b);
    var next = rank & 7u;
    var w = array<f32, 8>();
    for (var i = 0u; i < 8u; i++) {
        let bit = (bits >> i) & 1u;
        if bit == 1u { w[i] = there[next / 4u][next % 4u]; }
        next += bit;
    }
    return Eight(vec4f(w[0], w[1], w[2], w[3]), vec4f(w[4], w[5], w[6], w[7]));
}

fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    return vec2f(1.0, 0.0);
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    return raw;
}

fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}
