// The words that hold a weight's codes, column by column (bits.wgsl).

import package::shared::bits::{BITS, first_word, spans_words};

@if(!wide) @group(0) @binding(10) var<storage, read> codes: array<u32>;
/// A word of each of four neighbouring rows.
@if(wide) @group(0) @binding(10) var<storage, read> codes: array<vec4u>;

/// The word in which eight codes of `row` from `col` on start, and the next if they may span two. `rows`: of all codes.
@if(!wide)
fn words(rows: u32, row: u32, col: u32) -> vec2u {
    let word = first_word(col) * rows + row;
    var high = 0u;
    if spans_words() { high = codes[word + rows]; }
    return vec2u(codes[word], high);
}

/// 32 codes of each of four rows: BITS words.
@if(wide)
struct Unit { w0: vec4u, w1: vec4u, w2: vec4u, w3: vec4u, w4: vec4u, w5: vec4u, w6: vec4u, w7: vec4u }

/// The codes of `row` and the three rows behind it from `col` on, a multiple of 32. `rows` and `row`: multiples of 4.
@if(wide)
fn unit(rows: u32, row: u32, col: u32) -> Unit {
    let step = rows / 4u;
    let i = col / 32u * BITS * step + row / 4u;
    var u = Unit();
    u.w0 = codes[i];
    if BITS > 1u { u.w1 = codes[i + step]; }
    if BITS > 2u { u.w2 = codes[i + 2u * step]; }
    if BITS > 3u { u.w3 = codes[i + 3u * step]; }
    if BITS > 4u { u.w4 = codes[i + 4u * step]; }
    if BITS > 5u { u.w5 = codes[i + 5u * step]; }
    if BITS > 6u { u.w6 = codes[i + 6u * step]; u.w7 = codes[i + 7u * step]; }
    return u;
}

/// Word `i` of each row. Known when the pipeline is built, so that nothing of the choice remains.
@if(wide)
fn word(u: Unit, i: u32) -> vec4u {
    if i == 0u { return u.w0; }
    if i == 1u { return u.w1; }
    if i == 2u { return u.w2; }
    if i == 3u { return u.w3; }
    if i == 4u { return u.w4; }
    if i == 5u { return u.w5; }
    if i == 6u { return u.w6; }
    return u.w7;
}

/// Words in which eight codes of each of four rows start, and the next.
@if(wide)
struct Words4 { low: vec4u, high: vec4u }

/// Those of `row` and the three rows behind it from column `col` on, a multiple of 8.
@if(wide)
fn words4(rows: u32, row: u32, col: u32) -> Words4 {
    let i = (first_word(col) * rows + row) / 4u;
    var w = Words4(codes[i], vec4u());
    if spans_words() { w.high = codes[i + rows / 4u]; }
    return w;
}
