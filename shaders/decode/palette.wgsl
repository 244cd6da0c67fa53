// Decode stage of palettes: codes into a table of 2^BITS values or vectors, a table for every `rows_per_table` rows, with
// factors per row or per group of columns. Codes and factors lie column by column (bits.wgsl).
// form = (rows of codes, rows per table, rows, logarithm of the columns that share a factor).

import package::shared::bits::{BITS, codes8, first_word, spans_words};
import package::shared::eight::{dot_eight, Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<u32>;
@group(0) @binding(11) var<storage, read> table: array<f32>;
@group(0) @binding(12) var<storage, read> scale: array<f32>;

/// One table serves all rows.
override ONE_TABLE: bool = false;
/// 2^DIM_SHIFT neighbouring rows share a code.
override DIM_SHIFT: u32 = 0u;
/// There are factors.
override SCALED: bool = false;

/// Weights `col … col + 7` of `row`; `col` is a multiple of 8.
fn decode8(form: vec4u, row: u32, col: u32) -> Eight {
    let word = first_word(col) * form.x + (row >> DIM_SHIFT);
    var high = 0u;
    if spans_words() { high = codes[word + form.x]; }
    let c = codes8(codes[word], high, col);
    var start = 0u;
    if !ONE_TABLE { start = (row / form.y) << (BITS + DIM_SHIFT); }
    start += row & ((1u << DIM_SHIFT) - 1u);
    let i = (c.a << vec4u(DIM_SHIFT)) + start;
    let j = (c.b << vec4u(DIM_SHIFT)) + start;
    let a = vec4f(table[i.x], table[i.y], table[i.z], table[i.w]);
    let b = vec4f(table[j.x], table[j.y], table[j.z], table[j.w]);
    var s = 1.0;
    if SCALED { s = scale[(col >> form.w) * form.z + row]; }
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
