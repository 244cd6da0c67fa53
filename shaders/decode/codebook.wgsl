// Decode stage of additive codebooks: eight or sixteen neighbouring weights are the sum of one entry of each book, times
// the row's factor. Codes of 8 or 16 bits lie column by column (bits.wgsl), books in their stored order as f16 pairs.
// form = (rows, books, -, -).

import package::shared::eight::{Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<u32>;
@group(0) @binding(11) var<storage, read> books: array<u32>;
@group(0) @binding(12) var<storage, read> scales: array<f32>;

/// Bits of a code: 8 or 16.
override CODE_BITS: u32 = 8u;
/// Entries have 2^ENTRY_SHIFT weights: 3 or 4.
override ENTRY_SHIFT: u32 = 3u;

fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    var v = Eight();
    for (var book = 0u; book < form.y; book++) {
        let bit = ((col >> ENTRY_SHIFT) * form.y + book) * CODE_BITS;
        let code = (codes[bit / 32u * form.x + row] >> (bit % 32u)) & ((1u << CODE_BITS) - 1u);
        let within = (col & ((1u << ENTRY_SHIFT) - 1u)) / 2u;
        let i = ((((book << CODE_BITS) + code) << ENTRY_SHIFT) / 2u) + within;
        v.a += vec4f(unpack2x16float(books[i]), unpack2x16float(books[i + 1u]));
        v.b += vec4f(unpack2x16float(books[i + 2u]), unpack2x16float(books[i + 3u]));
    }
    return v;
}

fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    return vec2f(scales[row], 0.0);
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    return Eight(raw.a * p.x, raw.b * p.x);
}

fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}
