// Each token's mean over heads, brought to length 1: what tokens are compared by.
//
// feature: full
// Layout   x: f32, heads found by strides; y: [batch · tokens, words] vec4f, zeros behind the width.
// Tiling   one invocation a token. Cost: reads x twice, the second time from cache; writes y twice.

import package::shared::grid::flat_index;

struct Params {
    count: u32, tokens: u32, heads: u32, width: u32,
    batch_step: u32, head_step: u32, token_step: u32, words: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

fn mean(start: u32, at: u32) -> f32 {
    if at >= params.width { return 0.0; }
    var sum = 0.0;
    for (var head = 0u; head < params.heads; head += 1u) { sum += x[start + head * params.head_step + at]; }
    return sum;
}

@compute @workgroup_size(64)
fn token_directions(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let start = i / params.tokens * params.batch_step + i % params.tokens * params.token_step;
    var length = 0.0;
    for (var word = 0u; word < params.words; word += 1u) {
        let at = word * 4u;
        let four = vec4f(mean(start, at), mean(start, at + 1u), mean(start, at + 2u), mean(start, at + 3u));
        y[i * params.words + word] = four;
        length += dot(four, four);
    }
    length = sqrt(length);
    for (var word = 0u; word < params.words; word += 1u) { y[i * params.words + word] /= length; }
}
