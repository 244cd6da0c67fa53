// Each token's place by falling score: how many come before it. Equals in their order, what is no number last.
//
// feature: full
// Layout   scores: [batch, tokens] f32; ranks: [batch, tokens] i32.
// Tiling   one invocation a token. Cost: tokens² comparisons, all of one row that stays in cache.

import package::shared::grid::flat_index;

struct Params { count: u32, tokens: u32, pinned: u32, pad0: u32 }

// By their bits: devices may take the smallest numbers for zeros.
@group(0) @binding(0) var<storage, read> scores: array<u32>;
@group(0) @binding(1) var<storage, read_write> ranks: array<i32>;
@group(0) @binding(2) var<uniform> params: Params;

// Unsigned keys in the order of the floats; NaN as −∞.
fn key(v: u32) -> u32 {
    let size = v & 0x7fffffffu;
    if size > 0x7f800000u { return 0x007fffffu; }
    let bits = select(v, 0u, size == 0u);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

@compute @workgroup_size(64)
fn rank_tokens(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let token = i % params.tokens;
    let row = i - token;
    if token < params.pinned {
        ranks[i] = i32(token);
        return;
    }
    let own = key(scores[i]);
    var rank = params.pinned;
    for (var other = params.pinned; other < params.tokens; other += 1u) {
        let theirs = key(scores[row + other]);
        if theirs > own || (theirs == own && other < token) { rank += 1u; }
    }
    ranks[i] = i32(rank);
}
