// Heads of new tokens, turned by rotary position embedding: queries as they are, keys and values into what the session
// keeps.
//
// feature: full
// Layout   x: [tokens, heads, head] f32; cosines, sines: [tokens, pairs] f32; positions: i64 as (low, high) pairs, counting up;
//          y: FORM 0: [tokens, heads, head] f32, times `scale`; else rows `first position + token` of [.., heads, words] words:
//          1: two f16 a word; 2 and 3: blocks of 64 elements, four integers of 8 bits or eight codes of 4 bits a word, behind
//          each block a word with its scale and its least value in half precision (0 for integers).
// Tiling   an invocation a block: two elements of FORM 0 and 1, else 64.

import package::shared::grid::flat_index;

/// 0: f32 in place; 1: f16; 2: 8 bits; 3: 4 bits.
override FORM: u32 = 0u;
/// Pairs that turn are neighbours, else `pairs` apart.
override INTERLEAVED: bool = false;

/// `blocks` of a head, `count` in all; `words` of a row of a head.
struct Params { heads: u32, head: u32, pairs: u32, blocks: u32, count: u32, words: u32, scale: f32, pad0: u32 }

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
    let token = row / params.heads;
    let at = row * params.head;
    if FORM == 0u {
        let e = 2u * block;
        y[at + e] = bitcast<u32>(params.scale * turned(token, at, e));
        if e + 1u < params.head { y[at + e + 1u] = bitcast<u32>(params.scale * turned(token, at, e + 1u)); }
        return;
    }
    let out = (positions[0] * params.heads + row) * params.words;
    if FORM == 1u {
        y[out + block] = halves(turned(token, at, 2u * block), turned(token, at, 2u * block + 1u));
        return;
    }
    let first = 64u * block;
    let len = min(64u, params.head - first);
    var low = turned(token, at, first);
    var high = low;
    for (var e = first + 1u; e < first + len; e++) {
        let v = turned(token, at, e);
        low = min(low, v);
        high = max(high, v);
    }
    if FORM == 2u {
        store8(token, at, first, len, out + 17u * block, max(-low, high));
    } else {
        store4(token, at, first, len, out + 9u * block, low, high);
    }
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

fn store8(token: u32, at: u32, first: u32, len: u32, out: u32, largest: f32) {
    let scale = halved(largest / 127.0);
    let inverse = select(0.0, 1.0 / scale, scale > 0.0);
    for (var w = 0u; 4u * w < len; w++) {
        var word = 0u;
        for (var i = 0u; i < 4u; i++) {
            let v = clamp(round(turned(token, at, first + 4u * w + i) * inverse), -127.0, 127.0);
            word |= (bitcast<u32>(i32(v)) & 255u) << (8u * i);
        }
        y[out + w] = word;
    }
    y[out + (len + 3u) / 4u] = halves(scale, 0.0);
}

fn store4(token: u32, at: u32, first: u32, len: u32, out: u32, low: f32, high: f32) {
    let least = halved(low);
    let scale = halved((high - least) / 15.0);
    let inverse = select(0.0, 1.0 / scale, scale > 0.0);
    for (var w = 0u; 8u * w < len; w++) {
        var word = 0u;
        for (var i = 0u; i < 8u; i++) {
            let v = clamp(round((turned(token, at, first + 8u * w + i) - least) * inverse), 0.0, 15.0);
            word |= u32(v) << (4u * i);
        }
        y[out + w] = word;
    }
    y[out + (len + 7u) / 8u] = halves(scale, least);
}
