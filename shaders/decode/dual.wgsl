// Decode stage of dual-grained weights: (code − zero) · scale per group, times the row's factor. Parts lie column
// by column (bits.wgsl), two pairs (scale, zero) to a word. form = (rows, logarithm of a group's weights, -, -).

import package::shared::bits::placed8;
import package::shared::eight::{Eight, Inputs};
import package::shared::integers::{bytes_of_codes, scaled_inputs, scaled_weights, shifted};
@if(!wide) import package::shared::integers::placed;
import package::shared::spans::Spans;

@if(!wide) @group(0) @binding(11) var<storage, read> grid: array<u32>;
@if(!wide) @group(0) @binding(12) var<storage, read> channel: array<f32>;
@if(wide) @group(0) @binding(11) var<storage, read> grid: array<vec4u>;
@if(wide) @group(0) @binding(12) var<storage, read> channel: array<vec4f>;

@if(wide)
fn of_words(form: vec4u, words: vec2u, row: u32, col: u32) -> Eight {
    return placed8(words.x, words.y, col);
}

@if(wide)
fn spans4(form: vec4u, row: u32, col: u32) -> Spans {
    let group = col >> form.y;
    let pairs = grid[(group / 2u * form.x + row) / 4u] >> vec4u(16u * (group % 2u));
    let scale = channel[row / 4u] * vec4f(vec4i(pairs & vec4u(255u)));
    return Spans(scale, -vec4f(vec4i((pairs >> vec4u(8u)) & vec4u(255u))) * scale);
}

@if(!wide)
fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    return placed(form, row, col);
}

@if(!wide)
fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    let group = col >> form.y;
    let pair = grid[group / 2u * form.x + row] >> (16u * (group % 2u));
    let scale = channel[row] * f32(pair & 255u);
    return vec2f(scale, -f32((pair >> 8u) & 255u) * scale);
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
