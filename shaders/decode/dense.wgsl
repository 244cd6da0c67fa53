// Decode stage of f32 weights `[rows, cols]`. form = (cols, -, -, -).

@group(0) @binding(10) var<storage, read> codes: array<f32>;

/// Weights `col … col + 3` of `row`; what lies beyond the row's end is arbitrary but never read as a weight.
fn decode4(form: vec4u, row: u32, col: u32) -> vec4f {
    let i = row * form.x + col;
    return vec4f(codes[i], codes[i + 1u], codes[i + 2u], codes[i + 3u]);
}
