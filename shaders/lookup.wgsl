// A gather through one table per axis: y[i, j, …] = x[a[i] + b[j] + …], or the fill value where a table says so.
// Pad in every mode, Resize to the nearest pixel and CenterCropPad are such lookups.
//
// Layout   x, y: elements of WORDS 32-bit words.
//          tables: first the axes' lengths (RANK of them), then their tables one after the other; an entry is the
//          source offset in elements, or 0xffffffff for "fill".
// Tiling   one invocation an output element.

import package::shared::grid::flat_index;

override WORDS: u32 = 1u;

const FILL: u32 = 0xffffffffu;

struct Params { count: u32, rank: u32, tables: u32, fill_low: u32, fill_high: u32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn lookup(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    var rest = i;
    var end = params.tables;
    var at = 0u;
    var filled = false;
    for (var axis = params.rank; axis > 0u; axis -= 1u) {
        let len = tables[axis - 1u];
        end -= len;
        let entry = tables[end + rest % len];
        rest /= len;
        filled = filled || entry == FILL;
        at += entry;
    }
    let to_at = i * WORDS;
    if filled {
        y[to_at] = params.fill_low;
        if WORDS == 2u { y[to_at + 1u] = params.fill_high; }
    } else {
        y[to_at] = x[at * WORDS];
        if WORDS == 2u { y[to_at + 1u] = x[at * WORDS + 1u]; }
    }
}
