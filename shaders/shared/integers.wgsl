// What decode stages share whose codes are integers: (code · scale + offset) of a group.

import package::shared::bits::{first_word, placed8, places, spans_words};
import package::shared::eight::{dot_eight, Eight, Inputs};

@group(0) @binding(10) var<storage, read> codes: array<u32>;

/// Eight codes of `row` from `col` on, a multiple of 8, at their places in the words (bits.wgsl). form.x: rows.
fn placed(form: vec4u, row: u32, col: u32) -> Eight {
    let word = first_word(col) * form.x + row;
    var high = 0u;
    if spans_words() { high = codes[word + form.x]; }
    return placed8(codes[word], high, col);
}

/// Weights of placed codes with a scale and an offset.
fn scaled_weights(raw: Eight, p: vec2f) -> Eight {
    let scale = places() * p.x;
    return Eight(raw.a * scale + p.y, raw.b * scale + p.y);
}

/// Eight inputs scaled, so that codes need not be brought down, and their sum for the offset.
fn scaled_inputs(x: Eight) -> Inputs {
    return Inputs(Eight(x.a * places(), x.b * places()), dot_eight(Eight(vec4f(1.0), vec4f(1.0)), x));
}
