// For each token that looks for a partner the likest of those that are sought, by cosine; the first of equals.
//
// feature: full
// Layout   x: [batch · tokens, words] vec4f of length 1; ranks: [batch, tokens] i32; partners: [batch, tokens] i32, −1 where
//          none is looked for; likeness: [batch, tokens] f32, −∞ there.
// Tiling   a workgroup a token: a lane compares with every LANES-th, a tree in workgroup memory compares the lanes.
// Cost     seeking · sought · width multiplications; every workgroup reads all that are sought.

import package::shared::grid::flat_group;

// 1: ranks from `keep` to below `seen` look among those from `pinned` to below `keep`; 0: even tokens among odd ones.
override RANKED: u32 = 0u;

struct Params { count: u32, tokens: u32, words: u32, pinned: u32, keep: i32, seen: i32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> ranks: array<i32>;
@group(0) @binding(2) var<storage, read_write> partners: array<i32>;
@group(0) @binding(3) var<storage, read_write> likeness: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const LANES = 64u;
const LOWEST = -3.4028234e38;

var<workgroup> tops: array<f32, LANES>;
var<workgroup> orders: array<u32, LANES>;
var<workgroup> places: array<u32, LANES>;

fn seeks(row: u32, token: u32) -> bool {
    if RANKED == 1u {
        let rank = ranks[row + token];
        return rank >= params.keep && rank < params.seen;
    }
    return token >= params.pinned && token % 2u == 0u;
}

fn sought(row: u32, token: u32) -> bool {
    if RANKED == 1u {
        let rank = ranks[row + token];
        return rank >= i32(params.pinned) && rank < params.keep;
    }
    return token >= params.pinned && token % 2u == 1u;
}

@compute @workgroup_size(64)
fn match_tokens(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_group(group, grid);
    if i >= params.count { return; }
    let own = i % params.tokens;
    let row = i - own;
    let looks = seeks(row, own);
    var top = LOWEST;
    var order = 0xffffffffu;
    var place = 0xffffffffu;
    if looks {
        for (var token = lane; token < params.tokens; token += LANES) {
            if !sought(row, token) { continue; }
            var cosine = 0.0;
            for (var word = 0u; word < params.words; word += 1u) {
                cosine += dot(x[i * params.words + word], x[(row + token) * params.words + word]);
            }
            var at = token;
            if RANKED == 1u { at = u32(ranks[row + token]); }
            // The first one found stands in until one is greater: comparisons with what is no number fail.
            if cosine > top || place == 0xffffffffu || (cosine == top && at < order) {
                top = select(LOWEST, cosine, cosine >= LOWEST);
                order = at;
                place = token;
            }
        }
    }
    tops[lane] = top;
    orders[lane] = order;
    places[lane] = place;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            let other = lane + half;
            if tops[other] > tops[lane] || (tops[other] == tops[lane] && orders[other] < orders[lane]) {
                tops[lane] = tops[other];
                orders[lane] = orders[other];
                places[lane] = places[other];
            }
        }
    }
    if lane == 0u {
        let found = looks && places[0] != 0xffffffffu;
        partners[i] = select(-1, i32(places[0]), found);
        // −∞ has no literal.
        likeness[i] = select(bitcast<f32>(0xff800000u + params.pad0), select(tops[0], 0.0, tops[0] == LOWEST), found);
    }
}
