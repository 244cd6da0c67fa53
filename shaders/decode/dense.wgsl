// Decode stage of f32 weights, column by column. form = (rows, -, -, -).

import package::shared::eight::{Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<f32>;

/// What lies beyond the row's end is arbitrary but never read as a weight.
fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    let i = col * form.x + row;
    let n = form.x;
    let a = vec4f(codes[i], codes[i + n], codes[i + 2u * n], codes[i + 3u * n]);
    return Eight(a, vec4f(codes[i + 4u * n], codes[i + 5u * n], codes[i + 6u * n], codes[i + 7u * n]));
}

fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    return vec2f(1.0, 0.0);
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    return raw;
}

fn inputs8(x: Eight) -> Inputs {
    return Inputs(x, 0.0);
}
