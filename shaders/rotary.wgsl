// Rotary position embedding (Su et al. 2021): pairs of a head's elements turn by the angle of their token.
//
// Layout   x, y: [batch, heads, tokens, head] or, INTERLEAVED_HEADS, [batch, tokens, heads, head]; cos, sin: [rows, half];
//          places: a row for each of [batch, tokens] as i64 or i32, WORDS words each; without (WORDS 0) row by row.
// Tiling   one invocation a pair, and one for each element behind the pairs that stays.
// Cost     bound by memory: reads and writes every element once.
//
// feature: full

import package::shared::grid::flat_index;

override WORDS: u32 = 0u;
override INTERLEAVED_HEADS: u32 = 0u;
// Pairs are neighbours; else half of what turns apart.
override ADJOINING: u32 = 0u;

struct Params { heads: u32, tokens: u32, head: u32, half: u32, count: u32, rows: u32, pad0: u32, pad1: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cos_of: array<f32>;
@group(0) @binding(2) var<storage, read> sin_of: array<f32>;
@group(0) @binding(3) var<storage, read> places: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn rotary(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let half = params.half;
    let lanes = params.head - half;
    let row = i / lanes;
    let j = i % lanes;
    let start = row * params.head;
    if j >= half {
        y[start + half + j] = x[start + half + j];
        return;
    }
    var token = row % params.tokens;
    if INTERLEAVED_HEADS == 1u { token = row / params.heads % params.tokens; }
    var place = row / (params.heads * params.tokens) * params.tokens + token;
    if WORDS > 0u { place = places[place * WORDS]; }
    // Nothing is read outside the tables, whatever a place says.
    place = min(place, params.rows - 1u);
    let a = start + select(j, 2u * j, ADJOINING == 1u);
    let b = select(a + half, a + 1u, ADJOINING == 1u);
    let cosine = cos_of[place * half + j];
    let sine = sin_of[place * half + j];
    y[a] = x[a] * cosine - x[b] * sine;
    y[b] = x[a] * sine + x[b] * cosine;
}
