// Decode stage of sparse weights. A bit per weight says whether it is there; those that are lie next to each other in a
// weight with a stage of its own, `package::decode::values`, whose form and bindings 10–12 come along.
// feature: full

import package::decode::values::{raw8 as values8, span as values_span, weights8 as scaled_values8};
import package::shared::eight::{Eight, Inputs};

/// First the rows of a column; then, column by column, the bits of 32 weights and how many of their row are there before.
@group(0) @binding(13) var<storage, read> mask: array<vec2u>;

/// Word `i` of a row's mask, and how many weights are there before it.
fn place(i: u32, row: u32) -> vec2u {
    return mask[1u + i * mask[0].x + row];
}

/// Values `col … col + 7` of `row`, `col` a multiple of 8.
fn values(form: vec4u, row: u32, col: u32) -> Eight {
    return scaled_values8(values8(form, row, col), values_span(form, row, col));
}

/// Value `i`; by selections, because an index that is not known beforehand sends vectors to memory on some adapters.
fn one_of(v: vec4f, i: u32) -> f32 {
    let halves = select(v.xy, v.zw, (i & 2u) != 0u);
    return select(halves.x, halves.y, (i & 1u) != 0u);
}

/// The weight of the column that `bit` stands for: the value that as many ones lie before, or 0.
fn at_bit(a: vec4f, b: vec4f, bits: u32, bit: u32) -> f32 {
    let i = countOneBits(bits & (bit - 1u));
    let value = select(one_of(a, i), one_of(b, i), i > 3u);
    return select(0.0, value, (bits & bit) != 0u);
}

/// The stage of the values stands here twice: kernels that decode many rows grow with it.
fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    let word = place(col / 32u, row);
    let bits = (word.x >> (col % 32u)) & 255u;
    let rank = word.y + countOneBits(word.x & ((1u << (col % 32u)) - 1u));
    // Values come by eights; those wanted may lie in two of these, and come to the front by shifts of 4, 2 and 1.
    let low = values(form, row, rank & ~7u);
    let high = values(form, row, (rank & ~7u) + 8u);
    let by4 = (rank & 4u) != 0u;
    var a = select(low.a, low.b, by4);
    var b = select(low.b, high.a, by4);
    var c = select(high.a, high.b, by4);
    let by2 = (rank & 2u) != 0u;
    a = select(a, vec4f(a.zw, b.xy), by2);
    b = select(b, vec4f(b.zw, c.xy), by2);
    c = select(c, c.zwzw, by2);
    let by1 = (rank & 1u) != 0u;
    a = select(a, vec4f(a.yzw, b.x), by1);
    b = select(b, vec4f(b.yzw, c.x), by1);
    let first = vec4f(at_bit(a, b, bits, 1u), at_bit(a, b, bits, 2u), at_bit(a, b, bits, 4u), at_bit(a, b, bits, 8u));
    let last = vec4f(at_bit(a, b, bits, 16u), at_bit(a, b, bits, 32u), at_bit(a, b, bits, 64u), at_bit(a, b, bits, 128u));
    return Eight(first, last);
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
