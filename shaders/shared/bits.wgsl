// Codes of BITS bits, LSB first, in words that lie column by column: word i of all rows, then word i + 1.

import package::shared::eight::Eight;

/// Bits of a code: 1, 2, 3, 4, 5, 6 or 8.
override BITS: u32 = 4u;

struct Codes8 { a: vec4u, b: vec4u }

/// Number of the word in which code `col` starts.
fn first_word(col: u32) -> u32 {
    return col * BITS / 32u;
}

/// Whether eight codes from a multiple of eight on may lie in two words.
fn spans_words() -> bool {
    return BITS == 3u || BITS > 4u;
}

/// 32 bits from bit `offset` of (low, high) on. Without branches, which some adapters compile very slowly.
fn window(low: u32, high: u32, offset: u32) -> u32 {
    let beyond = offset >= 32u;
    let word = select(low, high, beyond);
    let next = select(high, 0u, beyond);
    // In two steps, because a shift by 32 is no shift in WGSL.
    return (word >> (offset % 32u)) | ((next << 1u) << (31u - offset % 32u));
}

/// Codes 0–3 and 4–7 of the eight from code `col` on, each four from bit 0 of a word on. `low`: the word in which they
/// start; `high`: the next, if they may span two.
fn halves(low: u32, high: u32, col: u32) -> vec2u {
    if BITS == 4u { return vec2u(low, low >> 16u); }
    if BITS == 8u { return vec2u(low, high); }
    let offset = col * BITS % 32u;
    if !spans_words() { return vec2u(low >> offset, low >> (offset + 4u * BITS)); }
    return vec2u(window(low, high, offset), window(low, high, offset + 4u * BITS));
}

/// Eight codes from code `col` on, a multiple of 8.
fn codes8(low: u32, high: u32, col: u32) -> Codes8 {
    let h = halves(low, high, col);
    let shifts = vec4u(0u, BITS, 2u * BITS, 3u * BITS);
    let mask = vec4u((1u << BITS) - 1u);
    return Codes8((vec4u(h.x) >> shifts) & mask, (vec4u(h.y) >> shifts) & mask);
}

/// The same as floats, each still at its place in the word: times 2^(BITS · (i mod 4)). Shifts by lanes are slow on some
/// adapters; `places` brings the numbers down.
fn placed8(low: u32, high: u32, col: u32) -> Eight {
    if BITS == 8u {
        let c = codes8(low, high, col);
        return Eight(vec4f(c.a), vec4f(c.b));
    }
    let h = halves(low, high, col);
    let masks = vec4u((1u << BITS) - 1u) << vec4u(0u, BITS, 2u * BITS, 3u * BITS);
    return Eight(vec4f(vec4i(vec4u(h.x) & masks)), vec4f(vec4i(vec4u(h.y) & masks)));
}

/// Factors that bring placed codes to their values.
fn places() -> vec4f {
    if BITS == 8u { return vec4f(1.0); }
    let step = 1.0 / f32(1u << BITS);
    return vec4f(1.0, step, step * step, step * step * step);
}

/// Eight codes from code `col` on as bytes, four to a word; codes of 8 bits less 128, so that all are signed bytes.
fn code_bytes(low: u32, high: u32, col: u32) -> vec2u {
    let h = halves(low, high, col);
    if BITS == 8u { return h ^ vec2u(0x80808080u); }
    let two = ((1u << (2u * BITS)) - 1u);
    let pairs = (h & vec2u(two)) | ((h << vec2u(16u - 2u * BITS)) & vec2u(two << 16u));
    let one = ((1u << BITS) - 1u) * 0x10001u;
    return (pairs & vec2u(one)) | ((pairs << vec2u(8u - BITS)) & vec2u(one << 8u));
}
