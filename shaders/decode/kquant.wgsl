// Decode stage of integers with two levels of scales: codes of BITS bits, byte scales (and minima) per group of 16 or 32,
// f16 factors per 256 columns. Parts lie column by column (bits.wgsl): four scales to a word, or two pairs (scale,
// minimum); two factors to a word, or one pair (d, dmin). form = (rows, -, -, -).

import package::shared::bits::{BITS, placed8};
import package::shared::eight::{Eight, Inputs};
import package::shared::integers::{bytes_of_codes, scaled_inputs, scaled_weights, shifted};
@if(!wide) import package::shared::integers::placed;
import package::shared::spans::Spans;

@if(!wide) @group(0) @binding(11) var<storage, read> scales: array<u32>;
@if(!wide) @group(0) @binding(12) var<storage, read> supers: array<u32>;
@if(wide) @group(0) @binding(11) var<storage, read> scales: array<vec4u>;
@if(wide) @group(0) @binding(12) var<storage, read> supers: array<vec4u>;

/// Groups have minima; else scales are stored 2^(SCALE_BITS − 1) and codes 2^(BITS − 1) too high.
override MINIMA: bool = false;
override SCALE_BITS: u32 = 6u;
/// Groups have 2^GROUP_SHIFT weights.
override GROUP_SHIFT: u32 = 5u;

@if(wide)
fn of_words(form: vec4u, words: vec2u, row: u32, col: u32) -> Eight {
    return placed8(words.x, words.y, col);
}

/// Half `high` of each word.
@if(wide)
fn factors(words: vec4u, high: bool) -> vec4f {
    let a = unpack2x16float(words.x);
    let b = unpack2x16float(words.y);
    let c = unpack2x16float(words.z);
    let d = unpack2x16float(words.w);
    return select(vec4f(a.x, b.x, c.x, d.x), vec4f(a.y, b.y, c.y, d.y), high);
}

@if(wide)
fn spans4(form: vec4u, row: u32, col: u32) -> Spans {
    let group = col >> GROUP_SHIFT;
    let block = col / 256u;
    if MINIMA {
        let pairs = scales[(group / 2u * form.x + row) / 4u] >> vec4u(16u * (group % 2u));
        let d = supers[(block * form.x + row) / 4u];
        let scale = vec4f(vec4i(pairs & vec4u(255u)));
        let minimum = vec4f(vec4i((pairs >> vec4u(8u)) & vec4u(255u)));
        return Spans(factors(d, false) * scale, -factors(d, true) * minimum);
    }
    let stored = (scales[(group / 4u * form.x + row) / 4u] >> vec4u(8u * (group % 4u))) & vec4u(255u);
    let d = factors(supers[(block / 2u * form.x + row) / 4u], block % 2u == 1u);
    let scale = d * (vec4f(vec4i(stored)) - f32(1u << (SCALE_BITS - 1u)));
    return Spans(scale, -f32(1u << (BITS - 1u)) * scale);
}

@if(!wide)
fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    let group = col >> GROUP_SHIFT;
    let block = col / 256u;
    if MINIMA {
        let pair = scales[group / 2u * form.x + row] >> (16u * (group % 2u));
        let d = unpack2x16float(supers[block * form.x + row]);
        return vec2f(d.x * f32(pair & 255u), -d.y * f32((pair >> 8u) & 255u));
    }
    let stored = (scales[group / 4u * form.x + row] >> (8u * (group % 4u))) & 255u;
    let d = unpack2x16float(supers[block / 2u * form.x + row]);
    let scale = select(d.x, d.y, block % 2u == 1u) * (f32(stored) - f32(1u << (SCALE_BITS - 1u)));
    return vec2f(scale, -f32(1u << (BITS - 1u)) * scale);
}

@if(!wide)
fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    return placed(form, row, col);
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    return scaled_weights(raw, p);
}

fn inputs8(x: Eight) -> Inputs {
    return scaled_inputs(x);
}

@if(bytes)
fn bytes_of(words: vec2u, col: u32) -> vec2u {
    return bytes_of_codes(words, col);
}

@if(bytes)
fn of_bytes(p: Spans) -> Spans {
    return shifted(p);
}
