// Decode stage of dual-grained weights: (code − zero) · scale per group, times the row's factor. Parts lie column
// by column (bits.wgsl), two pairs (scale, zero) to a word. form = (rows, logarithm of a group's weights, -, -).

import package::shared::bits::places;
import package::shared::eight::{dot_eight, Eight, Inputs};
import package::shared::integers::placed;

@group(0) @binding(11) var<storage, read> grid: array<u32>;
@group(0) @binding(12) var<storage, read> channel: array<f32>;

/// Weights `col … col + 7` of `row`; `col` is a multiple of 8.
fn decode8(form: vec4u, row: u32, col: u32) -> Eight {
    let group = col >> form.y;
    let pair = grid[group / 2u * form.x + row] >> (16u * (group % 2u));
    let scale = channel[row] * f32(pair & 255u);
    let zero = f32((pair >> 8u) & 255u);
    let c = placed(form, row, col);
    return Eight((c.a * places() - zero) * scale, (c.b * places() - zero) * scale);
}

/// Eight inputs as `dot8` takes them.
fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}

/// The product of eight inputs from column `col` on with their weights of `row`.
fn dot8(form: vec4u, row: u32, col: u32, x: Inputs) -> f32 {
    return dot_eight(decode8(form, row, col), x.x);
}
