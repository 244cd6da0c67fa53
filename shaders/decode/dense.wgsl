// Decode stage of f32 weights, column by column. form = (rows, -, -, -).

import package::shared::eight::{dot_eight, Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<f32>;

/// Weights `col … col + 7` of `row`; what lies beyond the row's end is arbitrary but never read as a weight.
fn decode8(form: vec4u, row: u32, col: u32) -> Eight {
    let i = col * form.x + row;
    let n = form.x;
    let a = vec4f(codes[i], codes[i + n], codes[i + 2u * n], codes[i + 3u * n]);
    return Eight(a, vec4f(codes[i + 4u * n], codes[i + 5u * n], codes[i + 6u * n], codes[i + 7u * n]));
}

/// Eight inputs as `dot8` takes them.
fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}

/// The product of eight inputs from column `col` on with their weights of `row`.
fn dot8(form: vec4u, row: u32, col: u32, x: Inputs) -> f32 {
    return dot_eight(decode8(form, row, col), x.x);
}
