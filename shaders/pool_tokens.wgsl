// Rows of the tokens that go to them: their mean, their mean by sizes, or for the last row of all their sum by weights.
//
// feature: full
// Layout   x: [batch, tokens, width] f32; into: [batch, tokens] i32; sizes, factors: [batch, tokens] f32; y: [batch, rows, width]
//          f32; new_sizes, logs: [batch, rows] f32.
// Tiling   a workgroup a row: lanes note in bits which tokens are its own, then each takes every LANES-th column.
// Cost     reads `into` once a row, x once, writes y once: bound by memory.

import package::shared::grid::flat_group;

// 0: mean, with gains of sizes as factors; 1: mean by sizes; 2: the last row summed with weights as factors.
override MODE: u32 = 0u;
override FACTORS: u32 = 0u;

struct Params { groups: u32, tokens: u32, rows: u32, width: u32, least: f32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> into: array<i32>;
@group(0) @binding(2) var<storage, read> sizes: array<f32>;
@group(0) @binding(3) var<storage, read> factors: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> new_sizes: array<f32>;
@group(0) @binding(6) var<storage, read_write> logs: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

const LANES = 64u;
// A bit for each of 8192 tokens: the host asks for no more.
var<workgroup> own: array<u32, 256>;

fn share(token: u32, last: bool) -> f32 {
    if MODE == 1u { return sizes[token]; }
    if MODE == 2u && last { return factors[token]; }
    return 1.0;
}

@compute @workgroup_size(64)
fn pool_tokens(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = flat_group(group, grid);
    if at >= params.groups { return; }
    let row = at % params.rows;
    let start = at / params.rows * params.tokens;
    let words = (params.tokens + 31u) / 32u;
    for (var word = lane; word < words; word += LANES) {
        var bits = 0u;
        for (var bit = 0u; bit < min(32u, params.tokens - word * 32u); bit += 1u) {
            if into[start + word * 32u + bit] == i32(row) { bits |= 1u << bit; }
        }
        own[word] = bits;
    }
    workgroupBarrier();
    let last = row + 1u == params.rows;
    var shares = 0.0;
    var size = 0.0;
    for (var word = 0u; word < words; word += 1u) {
        for (var bits = own[word]; bits != 0u; bits &= bits - 1u) {
            let token = start + word * 32u + firstTrailingBit(bits);
            shares += share(token, last);
            var gain = 1.0;
            // −∞: not a token that was merged.
            if MODE == 0u && FACTORS == 1u && bitcast<u32>(factors[token]) != 0xff800000u { gain = factors[token]; }
            size += sizes[token] * gain;
        }
    }
    if MODE == 2u && last { shares = 1.0; }
    for (var column = lane; column < params.width; column += LANES) {
        var sum = 0.0;
        for (var word = 0u; word < words; word += 1u) {
            for (var bits = own[word]; bits != 0u; bits &= bits - 1u) {
                let token = start + word * 32u + firstTrailingBit(bits);
                sum += share(token, last) * x[token * params.width + column];
            }
        }
        y[at * params.width + column] = sum / shares;
    }
    if lane == 0u {
        new_sizes[at] = size;
        logs[at] = log(max(size, params.least));
    }
}
