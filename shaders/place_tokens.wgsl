// The row each token goes to, −1 for none.
//
// feature: full
// Layout   ranks, partners, into: [batch, tokens] i32.
// Tiling   one invocation a token. Cost: where pairs merge, a token counts those before it: tokens² / 2 reads from cache.

import package::shared::grid::flat_index;

// 1: the `keep` first-ranked likest pairs merge; 0: ranks below `keep` stay, below `seen` go to their partner.
override PAIRED: u32 = 0u;
// What is not seen becomes row `keep`.
override FUSE: u32 = 0u;

struct Params { count: u32, tokens: u32, pinned: u32, keep: i32, seen: i32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> ranks: array<i32>;
@group(0) @binding(1) var<storage, read> partners: array<i32>;
@group(0) @binding(2) var<storage, read_write> into: array<i32>;
@group(0) @binding(3) var<uniform> params: Params;

fn stays(row: u32, token: u32) -> bool { return token < params.pinned || ranks[row + token] >= params.keep; }

// Seekers that stay come first, then the sought.
fn place(row: u32, token: u32) -> i32 {
    let seeks = token < params.pinned || token % 2u == 0u;
    let end = select(params.tokens, token, seeks);
    var before = min(token, params.pinned);
    for (var other = params.pinned + params.pinned % 2u; other < end; other += 2u) {
        if stays(row, other) { before += 1u; }
    }
    if !seeks { before += token / 2u - params.pinned / 2u; }
    return i32(before);
}

@compute @workgroup_size(64)
fn place_tokens(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let token = i % params.tokens;
    let row = i - token;
    if PAIRED == 1u {
        let seeks = token < params.pinned || token % 2u == 0u;
        if !seeks || stays(row, token) {
            into[i] = place(row, token);
        } else {
            let partner = partners[i];
            into[i] = -1;
            if partner >= 0 && u32(partner) < params.tokens { into[i] = place(row, u32(partner)); }
        }
        return;
    }
    let rank = ranks[i];
    if rank < params.keep {
        into[i] = rank;
    } else if rank < params.seen {
        let partner = partners[i];
        into[i] = -1;
        if partner >= 0 && u32(partner) < params.tokens { into[i] = ranks[row + u32(partner)]; }
    } else {
        into[i] = select(-1, params.keep, FUSE == 1u);
    }
}
