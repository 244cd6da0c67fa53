// Weights from any decode stage. A stage, `shaders/decode/NAME.wgsl`, has bindings 10–12 and four functions:
//
//   raw8(form, row, col) -> Eight     weights `col … col + 7` of `row` without scale and offset, `col` a multiple of 8;
//                                     what lies beyond the row's end is arbitrary, maybe not finite
//   span(form, row, col) -> vec2f     (scale, offset), the same for all columns of a span (`Coded::span` on the host)
//   weights8(raw, span) -> Eight      the weights
//   inputs8(x) -> Inputs              inputs such that Σ w · x = scale · Σ raw · inputs.x + offset · inputs.sum
//
// A stage around another (sparse.wgsl) has binding 13 too, and that of its values as `package::decode::values`.
//
// Stages whose codes are words of a row (words.wgsl) can have more; kernels that want these are built for no others:
//
//   of_words(form, words, row, col) -> Eight   raw8 of the words that hold the codes                            @if(wide)
//   spans4(form, row, col) -> Spans            span of four neighbouring rows, the first a multiple of 4        @if(wide)
//   bytes_of(words, col) -> vec2u              the codes as eight signed bytes                                  @if(bytes)
//   of_bytes(spans) -> Spans                   scales and offsets of those bytes                                @if(bytes)

import package::decode::stage::{raw8, span, weights8};
import package::shared::eight::Eight;

/// Weights `col … col + 7` of `row`.
fn decode8(form: vec4u, row: u32, col: u32) -> Eight {
    return weights8(raw8(form, row, col), span(form, row, col));
}
