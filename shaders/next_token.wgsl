// The next token of greedy decoding: which logit of a row is the greatest, the lowest index of equals; −1 where one is no
// finite number.
//
// feature: full
// Layout   logits: [rows, width] f32; y: [rows] i64, low word first.
// Tiling   a workgroup a row: a lane looks at every LANES-th logit, a tree in workgroup memory compares the lanes.
// Cost     reads the logits once: bound by memory.

import package::shared::grid::flat_group;

struct Params { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const LANES = 256u;
const LOWEST = -3.4028234e38;
/// The low and the high word of −1; greater than every index.
const NONE = 0xffffffffu;

var<workgroup> tops: array<f32, LANES>;
var<workgroup> places: array<u32, LANES>;

/// Told by its bits: comparisons with what is no number are left to the device.
fn is_finite(v: f32) -> bool { return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u; }

@compute @workgroup_size(256)
fn next_token(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, grid);
    if row >= params.rows { return; }
    let start = row * params.width;
    // Lanes without a logit lose to all others, of which the first is lane 0.
    var top = LOWEST;
    var place = lane;
    for (var i = lane; i < params.width; i += LANES) {
        let v = logits[start + i];
        if !is_finite(v) {
            place = NONE;
            break;
        }
        if v > top {
            top = v;
            place = i;
        }
    }
    tops[lane] = top;
    places[lane] = place;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            let other = places[lane + half];
            let better = tops[lane + half] > tops[lane] || (tops[lane + half] == tops[lane] && other < places[lane]);
            if other == NONE || (places[lane] != NONE && better) {
                tops[lane] = tops[lane + half];
                places[lane] = other;
            }
        }
    }
    if lane == 0u {
        y[2u * row] = places[0];
        y[2u * row + 1u] = select(0u, NONE, places[0] == NONE);
    }
}
