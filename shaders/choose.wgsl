// Choice with broadcasting: y = condition ? a : b.
//
// Layout   condition: one word an element, 0 or 1; a, b, y: WORDS words an element; `axes` are the merged axes of y,
//          outermost first, as (size, stride in condition, in a, in b).
// Tiling   one invocation an element.
// Cost     bound by memory.

import package::shared::grid::flat_index;

override RANK: u32 = 1u;
override WORDS: u32 = 1u;

struct Params { axes: array<vec4u, 8>, count: u32 }

@group(0) @binding(0) var<storage, read> condition: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn choose(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    var rest = i;
    var at = vec3u(0u);
    for (var k = RANK - 1u; k > 0u; k -= 1u) {
        let axis = params.axes[k];
        let next = rest / axis.x;
        at += (rest - next * axis.x) * axis.yzw;
        rest = next;
    }
    at += rest * params.axes[0].yzw;
    let holds = condition[at.x] != 0u;
    for (var w = 0u; w < WORDS; w += 1u) {
        // Both are read: a branch on memory costs more.
        y[i * WORDS + w] = select(b[at.z * WORDS + w], a[at.y * WORDS + w], holds);
    }
}
