// New tokens attend to all up to them, of which the session keeps keys and values (online softmax; Milakov & Gimelshein 2018).
//
// feature: full
// Layout   queries: [batch, tokens, q_heads, head] f32, turned as the keys and scaled; keys, values:
//          [batch, stride] words as `cached_rows.wgsl` writes them; y: as queries; positions: i64 as (low, high) pairs,
//          counting up.
// Tiling   a workgroup for a query head of a token. 64 keys at a time: a lane takes a key for its score, then elements of
//          the head for the sum of values.
// Cost     reads keys and values once for each query head.

import package::shared::grid::flat_group;
import package::shared::bits::window;

/// 1: f16; 2: 8 bits; 3: 4 bits.
override FORM: u32 = 1u;
/// Positions kept in half precision beside 8 bits, and how many up to its own a token sees so.
override RING: u32 = 160u;
override RECENT: u32 = 128u;

/// Query heads in groups of `share` have a head of keys; `window`: positions that a token sees; `count` of query heads in all;
/// strides in words from sequence to sequence, of which `ahead` stand before the rows.
struct Params {
    tokens: u32,
    q_heads: u32,
    kv_heads: u32,
    share: u32,
    head: u32,
    count: u32,
    key_words: u32,
    value_words: u32,
    window: u32,
    key_stride: u32,
    value_stride: u32,
    ahead: u32,
}

@group(0) @binding(0) var<storage, read> queries: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

const LANES = 64u;
const LOWEST = -3.4028e38;
/// The longest head.
const HEAD = 256u;
/// Elements of it that a lane sums.
const PARTS = HEAD / LANES;

/// Zeros behind its end.
var<workgroup> query: array<f32, HEAD>;
var<workgroup> scores: array<f32, LANES>;

/// The product of the query with the key in half precision whose words begin at `at`.
fn score_halves(at: u32) -> f32 {
    var sum = 0.0;
    for (var w = 0u; w < (params.head + 1u) / 2u; w++) {
        let pair = unpack2x16float(keys[at + w]);
        sum += query[2u * w] * pair.x + query[2u * w + 1u] * pair.y;
    }
    return sum;
}

/// The product of the query with the key whose words begin at `at`.
fn score(at: u32) -> f32 {
    if FORM == 1u { return score_halves(at); }
    var sum = 0.0;
    var word = at;
    for (var first = 0u; first < params.head; first += 64u) {
        let len = min(64u, params.head - first);
        let last = word + select((9u * ((len + 1u) / 2u) + 31u) / 32u, (len + 3u) / 4u, FORM == 2u);
        let scales = unpack2x16float(keys[last]);
        sum += scales.x * score32(word, first, min(len, 32u));
        if len > 32u { sum += scales.y * score32(word + select(4u, 8u, FORM == 2u), first + 32u, len - 32u); }
        word = last + 1u;
    }
    return sum;
}

/// The same of 32 codes or fewer, without their scale; they begin at the word's bit 0, or, the second 32 of a block of
/// keys of 4 bits, at its bit 16.
fn score32(word: u32, first: u32, len: u32) -> f32 {
    var sum = 0.0;
    if FORM == 2u {
        for (var e = 0u; e < len; e += 4u) {
            let codes = bytes(keys[word + e / 4u]);
            for (var i = 0u; i < 4u; i++) { sum += query[first + e + i] * codes[i]; }
        }
        return sum;
    }
    let begin = first / 32u % 2u * 16u;
    for (var e = 0u; e < len; e += 2u) {
        let bit = begin + e / 2u * 9u;
        let at = word + bit / 32u;
        let pair = window(keys[at], keys[at + 1u], bit % 32u) & 511u;
        let b = (pair * 2979u) >> 16u; // a 22nd
        sum += query[first + e] * (f32(pair - 22u * b) - 10.5) + query[first + e + 1u] * (f32(b) - 10.5);
    }
    return sum;
}

fn bytes(word: u32) -> vec4f {
    let all = bitcast<i32>(word);
    return vec4f(vec4i(all << 24u, all << 16u, all << 8u, all) >> vec4u(24u));
}

fn value_halves(at: u32, e: u32) -> f32 { return unpack2x16float(values[at + e / 2u])[e % 2u]; }

/// Element `e` of the value whose words begin at `at`.
fn value(at: u32, e: u32) -> f32 {
    if FORM == 1u { return value_halves(at, e); }
    let block = e / 64u;
    let inside = e % 64u;
    let len = min(64u, params.head - 64u * block);
    if FORM == 2u {
        let word = at + 17u * block;
        let scales = unpack2x16float(values[word + (len + 3u) / 4u]);
        return bytes(values[word + inside / 4u])[inside % 4u] * scales[inside / 32u];
    }
    let word = at + 9u * block;
    let scales = unpack2x16float(values[word + (len + 7u) / 8u]);
    return (f32((values[word + inside / 8u] >> (4u * (inside % 8u))) & 15u) - 7.5) * scales[inside / 32u];
}

/// Where position `p`'s words in half precision stand behind the beginning of a sequence.
fn place(p: u32, kv_head: u32) -> u32 {
    return 1u + (p % RING * params.kv_heads + kv_head) * ((params.head + 1u) / 2u);
}

/// Element `e` of the head in `query`, turned by Walsh and Hadamard's transform as `cached_rows.wgsl` does it.
fn turned_back(e: u32) -> f32 {
    var start = e / 64u * 64u;
    let len = min(64u, params.head - start);
    for (var size = 64u; size > 0u; size /= 2u) {
        if (len & size) == 0u { continue; }
        if e < start + size {
            var sum = 0.0;
            for (var i = 0u; i < size; i++) {
                sum += select(query[start + i], -query[start + i], (countOneBits((e - start) & i) & 1u) == 1u);
            }
            return sum / sqrt(f32(size));
        }
        start += size;
    }
    return 0.0;
}

@compute @workgroup_size(64)
fn cached_attention(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = flat_group(group, grid);
    if id >= params.count { return; }
    let token = id / params.q_heads % params.tokens;
    let sequence = id / params.q_heads / params.tokens;
    let keys_at = sequence * params.key_stride;
    let values_at = sequence * params.value_stride;
    let kv_head = id % params.q_heads / params.share;
    for (var e = lane; e < HEAD; e += LANES) {
        query[e] = select(0.0, queries[min(id * params.head + e, arrayLength(&queries) - 1u)], e < params.head);
    }
    workgroupBarrier();

    let key_step = params.kv_heads * params.key_words;
    let value_step = params.kv_heads * params.value_words;
    let end = positions[0] + token + 1u;
    var recent = end;
    if FORM == 2u { recent = min(end, max(end - min(end, RECENT), keys[keys_at])); }
    var sums = array<f32, PARTS>();
    var top = LOWEST;
    var total = 0.0;
    for (var begin = end - min(end, params.window); begin < end; begin += LANES) {
        let count = min(LANES, end - begin);
        let first = params.ahead + begin * value_step + kv_head * params.value_words + values_at;
        if lane < count {
            let p = begin + lane;
            if FORM == 2u && p >= recent {
                scores[lane] = score_halves(keys_at + place(p, kv_head));
            } else {
                scores[lane] = score(keys_at + params.ahead + p * key_step + kv_head * params.key_words);
            }
        }
        workgroupBarrier();
        let before = top;
        for (var j = 0u; j < count; j++) { top = max(top, scores[j]); }
        let shrink = exp(before - top);
        workgroupBarrier();
        if lane < count { scores[lane] = exp(scores[lane] - top); }
        workgroupBarrier();
        total *= shrink;
        for (var j = 0u; j < count; j++) { total += scores[j]; }
        for (var k = 0u; k < PARTS; k++) {
            let e = k * LANES + lane;
            if e >= params.head { break; }
            var sum = sums[k] * shrink;
            let old = min(count, max(recent, begin) - begin);
            for (var j = 0u; j < old; j++) { sum += scores[j] * value(first + j * value_step, e); }
            if FORM == 2u {
                for (var j = old; j < count; j++) {
                    sum += scores[j] * value_halves(values_at + place(begin + j, kv_head), e);
                }
            }
            sums[k] = sum;
        }
        workgroupBarrier();
    }
    for (var k = 0u; k < PARTS; k++) { query[k * LANES + lane] = sums[k] / total; }
    workgroupBarrier();
    for (var e = lane; e < params.head; e += LANES) {
        if FORM == 1u { y[id * params.head + e] = query[e]; } else { y[id * params.head + e] = turned_back(e); }
    }
}
