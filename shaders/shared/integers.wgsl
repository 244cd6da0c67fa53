// What decode stages share whose codes are integers: (code · scale + offset) of a group.

import package::shared::bits::{BITS, code_bytes, placed8, places};
import package::shared::eight::{dot_eight, Eight, Inputs};
import package::shared::spans::Spans;
@if(!wide) import package::shared::words::words;

/// Eight codes of `row` from `col` on, a multiple of 8, at their places in the words (bits.wgsl). form.x: rows.
@if(!wide)
fn placed(form: vec4u, row: u32, col: u32) -> Eight {
    let w = words(form.x, row, col);
    return placed8(w.x, w.y, col);
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

/// Eight codes as signed bytes, with what `shifted` tells of them.
fn bytes_of_codes(words: vec2u, col: u32) -> vec2u {
    return code_bytes(words.x, words.y, col);
}

/// Scales and offsets of such bytes from those of codes.
fn shifted(p: Spans) -> Spans {
    if BITS < 8u { return p; }
    return Spans(p.scale, p.offset + 128.0 * p.scale);
}
