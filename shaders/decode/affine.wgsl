// Decode stage of group-wise affine integers: (code − zero) · scale + offset. Parts lie column by column (bits.wgsl):
// scales and offsets as f32, zeros four groups to a word. form = (rows, weights a group, its
// logarithm, -).

import package::shared::bits::{BITS, places, placed8};
import package::shared::eight::{Eight, Inputs};
import package::shared::integers::{bytes_of_codes, scaled_inputs, scaled_weights, shifted};
@if(!wide) import package::shared::integers::placed;
import package::shared::spans::Spans;

@if(!wide) @group(0) @binding(11) var<storage, read> scales: array<f32>;
@if(!wide) @group(0) @binding(12) var<storage, read> zeros: array<u32>;
@if(wide) @group(0) @binding(11) var<storage, read> scales: array<vec4f>;
@if(wide) @group(0) @binding(12) var<storage, read> zeros: array<vec4u>;

/// Which zero the weights have: 0 the middle code, 1 zero points, 2 offsets.
override ZERO: u32 = 0u;
/// Runs of eight columns may lie in two groups, of any length. Divisions are slow on some adapters.
override RAGGED: bool = false;

@if(wide)
fn of_words(form: vec4u, words: vec2u, row: u32, col: u32) -> Eight {
    return placed8(words.x, words.y, col);
}

@if(wide)
fn spans4(form: vec4u, row: u32, col: u32) -> Spans {
    let group = col >> form.z;
    let i = (group * form.x + row) / 4u;
    let scale = scales[i];
    if ZERO == 2u { return Spans(scale, bitcast<vec4f>(zeros[i])); }
    var zero = vec4f(f32(1u << (BITS - 1u)));
    if ZERO == 1u {
        let words = zeros[(group / 4u * form.x + row) / 4u];
        zero = vec4f(vec4i((words >> vec4u(8u * (group % 4u))) & vec4u(255u)));
    }
    return Spans(scale, -zero * scale);
}

/// (scale, offset) of one group, the zero point made part of the offset.
@if(!wide)
fn group_params(form: vec4u, row: u32, group: u32) -> vec2f {
    let scale = scales[group * form.x + row];
    if ZERO == 2u { return vec2f(scale, bitcast<f32>(zeros[group * form.x + row])); }
    if ZERO == 1u {
        let zero = (zeros[group / 4u * form.x + row] >> (8u * (group % 4u))) & 255u;
        return vec2f(scale, -f32(zero) * scale);
    }
    return vec2f(scale, -f32(1u << (BITS - 1u)) * scale);
}

/// Ragged groups are taken into account here, weight by weight.
@if(!wide)
fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    let c = placed(form, row, col);
    if !RAGGED { return c; }
    var v = Eight(c.a * places(), c.b * places());
    for (var i = 0u; i < 4u; i++) {
        let p = group_params(form, row, (col + i) / form.y);
        let q = group_params(form, row, (col + 4u + i) / form.y);
        v.a[i] = v.a[i] * p.x + p.y;
        v.b[i] = v.b[i] * q.x + q.y;
    }
    return v;
}

@if(!wide)
fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    if RAGGED { return vec2f(1.0, 0.0); }
    return group_params(form, row, col >> form.z);
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    if RAGGED { return raw; }
    return scaled_weights(raw, p);
}

fn inputs8(x: Eight) -> Inputs {
    if RAGGED { return Inputs(x, 0.0); }
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
