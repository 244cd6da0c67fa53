// Decode stage of palettes: codes into a table of 2^BITS values or vectors, a table for every `rows_per_table` rows, with
// factors per row or per group of columns. Codes and factors lie column by column (bits.wgsl).
// form = (rows of codes, rows per table, rows, logarithm of the columns that share a factor).

import package::shared::bits::{BITS, codes8, halves};
import package::shared::eight::{Eight, Inputs};
import package::shared::spans::Spans;
@if(!wide) import package::shared::words::words;

@if(!bytes) @group(0) @binding(11) var<storage, read> table: array<f32>;
/// What a step of the one table's bytes stands for, as the bits of an f32; then, for all numbers of as many codes as
/// `four_bytes` looks up at once, their bytes.
@if(bytes) @group(0) @binding(11) var<storage, read> table: array<u32>;
@if(!wide) @group(0) @binding(12) var<storage, read> scale: array<f32>;
@if(wide) @group(0) @binding(12) var<storage, read> scale: array<vec4f>;

/// One table serves all rows.
override ONE_TABLE: bool = false;
/// 2^DIM_SHIFT neighbouring rows share a code.
override DIM_SHIFT: u32 = 0u;
/// There are factors.
override SCALED: bool = false;
/// Where the one table is while a kernel runs: 0 in memory; 1, of at most 16 values, in eight lanes of a subgroup or more;
/// 2, of at most four, in every lane, for slow loads.
@if(subgroup) override HELD: u32 = 0u;

/// 1: entries `sublane % 8` of the lower and the upper half in x and y; 2: all.
@if(subgroup) var<private> entries: vec4f;

/// Kernels with subgroups call this before they decode.
@if(subgroup)
fn hold(sublane: u32) {
    if HELD == 1u {
        let low = table[sublane % min(8u, 1u << BITS)];
        entries = vec4f(low, table[sublane % 8u + select(0u, 8u, BITS == 4u)], 0.0, 0.0);
    }
    if HELD == 2u {
        let last = (1u << BITS) - 1u;
        entries = vec4f(table[0], table[min(1u, last)], table[min(2u, last)], table[min(3u, last)]);
    }
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

/// Four entries of the one table, chosen bit by bit.
@if(subgroup)
fn chosen_entries(c: vec4u) -> vec4f {
    let odd = (c & vec4u(1u)) != vec4u();
    let low = select(vec4f(entries.x), vec4f(entries.y), odd);
    return select(low, select(vec4f(entries.z), vec4f(entries.w), odd), c > vec4u(1u));
}

@if(!wide)
fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    let w = words(form.x, row >> DIM_SHIFT, col);
    return of_words(form, w, row, col);
}

@if(!bytes)
fn of_words(form: vec4u, words: vec2u, row: u32, col: u32) -> Eight {
    let c = codes8(words.x, words.y, col);
    @if(subgroup) { if HELD == 1u { return Eight(held_entries(c.a), held_entries(c.b)); } }
    @if(subgroup) { if HELD == 2u { return Eight(chosen_entries(c.a), chosen_entries(c.b)); } }
    var start = 0u;
    if !ONE_TABLE { start = (row / form.y) << (BITS + DIM_SHIFT); }
    start += row & ((1u << DIM_SHIFT) - 1u);
    let i = (c.a << vec4u(DIM_SHIFT)) + start;
    let j = (c.b << vec4u(DIM_SHIFT)) + start;
    let a = vec4f(table[i.x], table[i.y], table[i.z], table[i.w]);
    return Eight(a, vec4f(table[j.x], table[j.y], table[j.z], table[j.w]));
}

@if(!wide)
fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    var s = 1.0;
    if SCALED { s = scale[(col >> form.w) * form.z + row]; }
    return vec2f(s, 0.0);
}

@if(wide)
fn spans4(form: vec4u, row: u32, col: u32) -> Spans {
    var s = vec4f(1.0);
    if SCALED { s = scale[((col >> form.w) * form.z + row) / 4u]; }
    return Spans(s, vec4f());
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    if !SCALED { return raw; }
    return Eight(raw.a * p.x, raw.b * p.x);
}

fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}

/// The bytes of four codes.
@if(bytes)
fn four_bytes(codes: u32) -> u32 {
    if BITS <= 2u { return table[1u + (codes & ((1u << min(4u * BITS, 8u)) - 1u))]; }
    if BITS <= 4u {
        let mask = (1u << min(2u * BITS, 8u)) - 1u;
        return table[1u + (codes & mask)] | (table[1u + ((codes >> (2u * BITS)) & mask)] << 16u);
    }
    let mask = (1u << BITS) - 1u;
    let low = table[1u + (codes & mask)] | (table[1u + ((codes >> BITS) & mask)] << 8u);
    let high = table[1u + ((codes >> (2u * BITS)) & mask)] | (table[1u + ((codes >> min(3u * BITS, 24u)) & mask)] << 8u);
    return low | (high << 16u);
}

@if(bytes)
fn bytes_of(words: vec2u, col: u32) -> vec2u {
    let h = halves(words.x, words.y, col);
    return vec2u(four_bytes(h.x), four_bytes(h.y));
}

@if(bytes)
fn of_bytes(p: Spans) -> Spans {
    return Spans(p.scale * bitcast<f32>(table[0]), vec4f());
}
