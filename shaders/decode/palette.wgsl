// Decode stage of palettes: codes into a table of 2^BITS values, a table for every `rows_per_table` rows.
// form = (words a row, rows per table, -, 1 if rows have a scale).

import package::shared::bits::BITS;
import package::shared::bits::codes4;

@group(0) @binding(10) var<storage, read> codes: array<u32>;
@group(0) @binding(11) var<storage, read> table: array<f32>;
@group(0) @binding(12) var<storage, read> scale: array<f32>;

/// Weights `col … col + 3` of `row`; `col` is a multiple of 4.
fn decode4(form: vec4u, row: u32, col: u32) -> vec4f {
    let bit = col * BITS;
    let word = row * form.x + bit / 32u;
    let c = codes4(codes[word], codes[word + 1u], bit % 32u);
    let start = (row / form.y) << BITS;
    let values = vec4f(table[start + c.x], table[start + c.y], table[start + c.z], table[start + c.w]);
    return values * select(1.0, scale[row], form.w == 1u);
}
