// Decode stage of f16 weights: words of two columns, column by column. form = (rows, -, -, -).

import package::shared::eight::{Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<u32>;

fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    let i = col / 2u * form.x + row;
    let a = vec4f(unpack2x16float(codes[i]), unpack2x16float(codes[i + form.x]));
    let b = vec4f(unpack2x16float(codes[i + 2u * form.x]), unpack2x16float(codes[i + 3u * form.x]));
    return Eight(a, b);
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
