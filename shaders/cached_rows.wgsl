// Heads of new tokens, turned by rotary position embedding: queries as they are, keys and values into what the session
// keeps.
//
// feature: full
// Layout   x: [batch, tokens, heads, head] f32; cosines, sines: [tokens, pairs] f32; positions: i64 as (low, high) pairs,
//          counting up; y: FORM 0 and 5: [batch, tokens, heads, head] f32, times `scale`; else [batch, stride] words, behind
//          the first `ahead` of which row `first position + token` of [capacity, heads, words] is written: 1: two f16 a word;
//          2–4: blocks of 64 elements, turned by Walsh and Hadamard's transform as 5 is too, and behind each block a word
//          with the scales of its first and second 32 elements in half precision: 2: four integers of 8 bits a word;
//          3: eight levels of 16 a word; 4: pairs of 22 levels in 9 bits, from the lowest on. A level is in the middle
//          between steps from 0. 2 keeps the last RING rows in half precision too: ahead of the others stand the first
//          position that is kept so, and [RING, heads, (head + 1) / 2] words with two turned f16 each, position p in place
//          p % RING.
// Tiling   an invocation a block: two elements of FORM 0 and 1, else 64.

import package::shared::grid::flat_index;

/// 0: f32 in place; 1: f16; 2: 8 bits; 3: values of 4 bits; 4: keys of 4 bits; 5: f32 in place, in turned blocks.
override FORM: u32 = 0u;
/// Words of a whole block, the one with its scales too.
override BLOCK_WORDS: u32 = 17u;
/// Positions kept in half precision beside 8 bits.
override RING: u32 = 160u;
/// Half of the levels of 4 bits.
override HALF: f32 = 8.0;
/// Pairs that turn are neighbours, else `pairs` apart.
override INTERLEAVED: bool = false;

/// `blocks` of a head, `count` in all; `words` of a row of a head; `stride` words of a sequence, of which `ahead` stand before
/// its rows.
struct Params {
    heads: u32,
    head: u32,
    pairs: u32,
    blocks: u32,
    count: u32,
    words: u32,
    tokens: u32,
    stride: u32,
    ahead: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cosines: array<f32>;
@group(0) @binding(2) var<storage, read> sines: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

/// Element `e` of the head that starts at `at`, turned; 0 beyond its end.
fn turned(token: u32, at: u32, e: u32) -> f32 {
    if e >= params.head { return 0.0; }
    let own = x[at + e];
    if e >= 2u * params.pairs { return own; }
    let second = select(e >= params.pairs, e % 2u == 1u, INTERLEAVED);
    let pair = token * params.pairs + select(e % max(params.pairs, 1u), e / 2u, INTERLEAVED);
    let step = select(params.pairs, 1u, INTERLEAVED);
    if second { return own * cosines[pair] + x[at + e - step] * sines[pair]; }
    return own * cosines[pair] - x[at + e + step] * sines[pair];
}

@compute @workgroup_size(64)
fn cached_rows(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let block = i % params.blocks;
    let row = i / params.blocks;
    let token = row / params.heads % params.tokens;
    let sequence = row / params.heads / params.tokens;
    let own = sequence * params.stride;
    let position = positions[0] + token;
    let kept = own + params.ahead + (position * params.heads + row % params.heads) * params.words;
    let at = row * params.head;
    if FORM == 0u {
        let e = 2u * block;
        y[at + e] = bitcast<u32>(params.scale * turned(token, at, e));
        if e + 1u < params.head { y[at + e + 1u] = bitcast<u32>(params.scale * turned(token, at, e + 1u)); }
        return;
    }
    if FORM == 1u {
        y[kept + block] = halves(turned(token, at, 2u * block), turned(token, at, 2u * block + 1u));
        return;
    }
    let first = 64u * block;
    let len = min(64u, params.head - first);
    for (var e = 0u; e < len; e++) { x64[e] = turned(token, at, first + e); }
    hadamard(len);
    if FORM == 5u {
        for (var e = 0u; e < len; e++) { y[at + first + e] = bitcast<u32>(params.scale * x64[e]); }
        return;
    }
    store(len, kept + block * BLOCK_WORDS);
    if FORM != 2u { return; }
    // Of tokens that would share a place the last.
    if token + RING >= params.tokens {
        let place = (position % RING * params.heads + row % params.heads) * ((params.head + 1u) / 2u);
        let out = own + 1u + place + 32u * block;
        for (var e = 0u; e < len; e += 2u) {
            y[out + e / 2u] = halves(x64[e], select(0.0, x64[min(e + 1u, 63u)], e + 1u < len));
        }
    }
    // Tokens from the first on replace others, which had taken the places of those before what was kept so far.
    if token == 0u && row % params.heads == 0u && block == 0u {
        y[own] = max(min(y[own], position), max(position + params.tokens, RING) - RING);
    }
}

/// A block.
var<private> x64: array<f32, 64>;

/// In pieces that are powers of two.
fn hadamard(len: u32) {
    var start = 0u;
    for (var size = 64u; size > 0u; size /= 2u) {
        if (len & size) == 0u { continue; }
        for (var step = 1u; step < size; step *= 2u) {
            for (var i = 0u; i < size / 2u; i++) {
                let a = start + i / step * 2u * step + i % step;
                let sum = x64[a] + x64[a + step];
                x64[a + step] = x64[a] - x64[a + step];
                x64[a] = sum;
            }
        }
        let scale = 1.0 / sqrt(f32(size));
        for (var i = start; i < start + size; i++) { x64[i] *= scale; }
        start += size;
    }
}

/// The block's codes and scales.
fn store(len: u32, out: u32) {
    var scales = vec2f();
    var low = 0u; // the bits to be written
    var bits = 0u;
    var at = out;
    for (var part = 0u; 32u * part < len; part++) {
        let end = min(len, 32u * part + 32u);
        var largest = 0.0;
        for (var e = 32u * part; e < end; e++) { largest = max(largest, abs(x64[e])); }
        let scale = halved(largest / select(HALF, 127.0, FORM == 2u));
        scales[part] = scale;
        for (var e = 32u * part; e < end; e += 2u) {
            let a = code(x64[e], scale);
            let b = select(0u, code(x64[min(e + 1u, 63u)], scale), e + 1u < end);
            var pair = a | (b << 8u);
            var width = 16u;
            if FORM == 3u { pair = a | (b << 4u); width = 8u; }
            if FORM == 4u { pair = a + 22u * b; width = 9u; }
            low |= pair << bits;
            bits += width;
            if bits >= 32u {
                y[at] = low;
                at += 1u;
                bits -= 32u;
                low = pair >> (width - bits);
            }
        }
    }
    if bits > 0u { y[at] = low; at += 1u; }
    y[at] = halves(scales.x, scales.y);
}

/// Integers of 8 bits, or the number of a level.
fn code(v: f32, scale: f32) -> u32 {
    if FORM == 2u {
        let inverse = select(0.0, 1.0 / scale, scale > 0.0);
        return bitcast<u32>(i32(clamp(round(v * inverse), -127.0, 127.0))) & 255u;
    }
    if scale == 0.0 { return 0u; }
    return u32(clamp(floor(v / scale + HALF), 0.0, 2.0 * HALF - 1.0));
}

/// The bits of a half, rounded to the nearest: how `pack2x16float` rounds is left to the device.
fn half_bits(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    let sign = (bits >> 16u) & 0x8000u;
    let size = bits & 0x7fffffffu;
    // Below 2⁻¹⁴ adding ½ leaves what a half keeps in the low bits.
    if size < 0x38800000u { return sign | (bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u); }
    if size > 0x7f800000u { return sign | 0x7e00u; }
    return sign | min((size + 0xfffu + ((size >> 13u) & 1u) - 0x38000000u) >> 13u, 0x7c00u);
}

fn halves(a: f32, b: f32) -> u32 { return half_bits(a) | (half_bits(b) << 16u); }

/// The factor as its half holds it.
fn halved(v: f32) -> f32 { return unpack2x16float(half_bits(v)).x; }
