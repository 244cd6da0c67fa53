// Decode stage of palettes: codes into a table of 2^BITS values, a table for every `rows_per_table` rows. Codes lie
// column by column (bits.wgsl). form = (rows, rows per table, -, 1 if rows have a scale).

import package::shared::bits::{BITS, codes8, first_word, spans_words};
import package::shared::eight::{dot_eight, Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<u32>;
@group(0) @binding(11) var<storage, read> table: array<f32>;
@group(0) @binding(12) var<storage, read> scale: array<f32>;

/// Weights `col … col + 7` of `row`; `col` is a multiple of 8.
fn decode8(form: vec4u, row: u32, col: u32) -> Eight {
    let word = first_word(col) * form.x + row;
    var high = 0u;
    if spans_words() { high = codes[word + form.x]; }
    let c = codes8(codes[word], high, col);
    let start = (row / form.y) << BITS;
    var s = 1.0;
    if form.w == 1u { s = scale[row]; }
    let a = vec4f(table[start + c.a.x], table[start + c.a.y], table[start + c.a.z], table[start + c.a.w]);
    let b = vec4f(table[start + c.b.x], table[start + c.b.y], table[start + c.b.z], table[start + c.b.w]);
    return Eight(a * s, b * s);
}

/// Eight inputs as `dot8` takes them.
fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}

/// The product of eight inputs from column `col` on with their weights of `row`.
fn dot8(form: vec4u, row: u32, col: u32, x: Inputs) -> f32 {
    return dot_eight(decode8(form, row, col), x.x);
}
