// TopK along an axis, in order; equal elements by index. Each rank is the best element after the one before it.
//
// Layout   x: [outer, len, inner] f32; values: [outer, k, inner] f32; found: the same, i64 as (low, high) pairs.
// Tiling   one invocation a lane: right for short axes and small k only, and the host asks for no others.

import package::shared::grid::flat_index;

struct Params { lanes: u32, len: u32, k: u32, inner: u32, largest: u32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> found: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// Unsigned keys in the order of the floats, NaN beyond infinity; reversed when the smallest are wanted.
fn key(v: f32) -> u32 {
    let bits = bitcast<u32>(select(v, 0.0, v == 0.0));
    var ordered = select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
    if (bits & 0x7fffffffu) > 0x7f800000u { ordered = 0xffffffffu; }
    return select(~ordered, ordered, params.largest != 0u);
}

@compute @workgroup_size(64)
fn top_k(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = flat_index(group, grid, 64u, thread);
    if lane >= params.lanes { return; }
    let outer = lane / params.inner;
    let column = lane % params.inner;
    let start = outer * params.len * params.inner + column;
    var last_key = 0xffffffffu;
    var last_at = 0u;
    for (var rank = 0u; rank < params.k; rank += 1u) {
        var best_key = 0u;
        var best_at = params.len;
        for (var i = 0u; i < params.len; i += 1u) {
            let candidate = key(x[start + i * params.inner]);
            // Not yet taken: worse than the last one, or equal and after it.
            let open = rank == 0u || candidate < last_key || (candidate == last_key && i > last_at);
            if open && (best_at == params.len || candidate > best_key) {
                best_key = candidate;
                best_at = i;
            }
        }
        last_key = best_key;
        last_at = best_at;
        let to_at = (outer * params.k + rank) * params.inner + column;
        values[to_at] = x[start + best_at * params.inner];
        found[2u * to_at] = best_at;
        found[2u * to_at + 1u] = 0u;
    }
}
