// Decode stage of palettes: codes into a table of 2^BITS values or vectors, a table for every `rows_per_table` rows, with
// factors per row or per group of columns. Codes and factors lie column by column (bits.wgsl).
// form = (rows of codes, rows per table, rows, logarithm of the columns that share a factor).

import package::shared::bits::{BITS, codes8, first_word, spans_words};
import package::shared::eight::{Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<u32>;
@group(0) @binding(11) var<storage, read> table: array<f32>;
@group(0) @binding(12) var<storage, read> scale: array<f32>;

/// One table serves all rows.
override ONE_TABLE: bool = false;
/// 2^DIM_SHIFT neighbouring rows share a code.
override DIM_SHIFT: u32 = 0u;
/// There are factors.
override SCALED: bool = false;
/// Lanes of a subgroup hold the entries of the one table of at most 16 values, eight lanes or more.
@if(subgroup) override HELD: bool = false;

/// Entries `sublane % 8` of the lower and the upper half of the table.
@if(subgroup) var<private> entries: vec2f;

/// Kernels with subgroups call this before they decode.
@if(subgroup)
fn hold(sublane: u32) {
    if HELD { entries = vec2f(table[sublane % min(8u, 1u << BITS)], table[sublane % 8u + select(0u, 8u, BITS == 4u)]); }
}

/// Four entries of the one table, from other lanes.
@if(subgroup)
fn held_entries(c: vec4u) -> vec4f {
    let i = c & vec4u(7u);
    let x = entries.x;
    let low = vec4f(subgroupShuffle(x, i.x), subgroupShuffle(x, i.y), subgroupShuffle(x, i.z), subgroupShuffle(x, i.w));
    if BITS < 4u { return low; }
    let y = entries.y;
    let high = vec4f(subgroupShuffle(y, i.x), subgroupShuffle(y, i.y), subgroupShuffle(y, i.z), subgroupShuffle(y, i.w));
    return select(low, high, c > vec4u(7u));
}

fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    let word = first_word(col) * form.x + (row >> DIM_SHIFT);
    var high = 0u;
    if spans_words() { high = codes[word + form.x]; }
    let c = codes8(codes[word], high, col);
    @if(subgroup) { if HELD { return Eight(held_entries(c.a), held_entries(c.b)); } }
    var start = 0u;
    if !ONE_TABLE { start = (row / form.y) << (BITS + DIM_SHIFT); }
    start += row & ((1u << DIM_SHIFT) - 1u);
    let i = (c.a << vec4u(DIM_SHIFT)) + start;
    let j = (c.b << vec4u(DIM_SHIFT)) + start;
    let a = vec4f(table[i.x], table[i.y], table[i.z], table[i.w]);
    return Eight(a, vec4f(table[j.x], table[j.y], table[j.z], table[j.w]));
}

fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    var s = 1.0;
    if SCALED { s = scale[(col >> form.w) * form.z + row]; }
    return vec2f(s, 0.0);
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    if !SCALED { return raw; }
    return Eight(raw.a * p.x, raw.b * p.x);
}

fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}
