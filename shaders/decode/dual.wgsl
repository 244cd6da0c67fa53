// Decode stage of dual-grained weights: (code − zero) · scale per group, times the row's factor. Parts lie column
// by column (bits.wgsl), two pairs (scale, zero) to a word. form = (rows, logarithm of a group's weights, -, -).

import package::shared::eight::{Eight, Inputs};
import package::shared::integers::{placed, scaled_inputs, scaled_weights};

@group(0) @binding(11) var<storage, read> grid: array<u32>;
@group(0) @binding(12) var<storage, read> channel: array<f32>;

fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    return placed(form, row, col);
}

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
