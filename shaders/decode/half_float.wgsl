// Decode stage of f16 weights: words of two columns, column by column. form = (rows, -, -, -).

import package::shared::eight::{dot_eight, Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<u32>;

/// Weights `col … col + 7` of `row`; `col` is a multiple of 8.
fn decode8(form: vec4u, row: u32, col: u32) -> Eight {
    let i = col / 2u * form.x + row;
    let a = vec4f(unpack2x16float(codes[i]), unpack2x16float(codes[i + form.x]));
    let b = vec4f(unpack2x16float(codes[i + 2u * form.x]), unpack2x16float(codes[i + 3u * form.x]));
    return Eight(a, b);
}

/// Eight inputs as `dot8` takes them.
fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}

/// The product of eight inputs from column `col` on with their weights of `row`.
fn dot8(form: vec4u, row: u32, col: u32, x: Inputs) -> f32 {
    return dot_eight(decode8(form, row, col), x.x);
}
