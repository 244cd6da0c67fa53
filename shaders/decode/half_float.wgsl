// Decode stage of f16 weights, two to a word, rows padded to words. form = (words a row, -, -, -).

@group(0) @binding(10) var<storage, read> codes: array<u32>;

/// Weights `col … col + 3` of `row`; `col` is a multiple of 4.
fn decode4(form: vec4u, row: u32, col: u32) -> vec4f {
    let i = row * form.x + col / 2u;
    return vec4f(unpack2x16float(codes[i]), unpack2x16float(codes[i + 1u]));
}
