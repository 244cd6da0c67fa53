// The next token of sampling: a logit of a row, as likely as its softmax says, among those that top-k, top-p and min-p leave.
//
// feature: full
// Layout   logits: [rows, width] f32; draw: inverse temperature, top-k, top-p, min-p, a number in 0 … 1; y: [rows] i64, low
//          word first, −1 where a logit is no finite number.
// Tiling   a workgroup a row. How far below the greatest logit a token may be is found bit by bit: lanes count, or weigh, every
//          LANES-th. Then each weighs a run of neighbours, and lane 0 goes along the runs, and along the one that is drawn.
// Cost     reads the logits three times, 31 times more for top-k and for top-p each: from cache, one workgroup.

import package::shared::grid::flat_group;

struct Params { rows: u32, width: u32 }

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> draw: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

const LANES = 256u;
const LOWEST = -3.4028234e38;
/// The bits of infinity: no distance is greater.
const ALL = 0x7f800000u;
/// The low and the high word of −1.
const NONE = 0xffffffffu;

var<workgroup> parts: array<f32, LANES>;

/// Told by its bits: comparisons with what is no number are left to the device.
fn is_finite(v: f32) -> bool { return (bitcast<u32>(v) & ALL) != ALL; }

/// In a tree, so that it is the same in every run.
fn sum_of(own: f32, lane: u32) -> f32 {
    workgroupBarrier(); // until the parts before are used up
    parts[lane] = own;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { parts[lane] += parts[lane + half]; }
    }
    workgroupBarrier();
    return parts[0];
}

fn greatest_of(own: f32, lane: u32) -> f32 {
    workgroupBarrier();
    parts[lane] = own;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { parts[lane] = max(parts[lane], parts[lane + half]); }
    }
    workgroupBarrier();
    return parts[0];
}

/// How likely a logit so far below the greatest is, if that is 1.
fn weight(distance: f32) -> f32 { return exp(-distance * draw[0]); }

/// How many of the row lie at most `reach` below the greatest, the bits of a distance, or what they weigh.
fn within(start: u32, top: f32, reach: u32, weighed: bool, lane: u32) -> f32 {
    var own = 0.0;
    for (var i = lane; i < params.width; i += LANES) {
        let distance = top - logits[start + i];
        if bitcast<u32>(distance) <= reach { own += select(1.0, weight(distance), weighed); }
    }
    return sum_of(own, lane);
}

/// The least reach, up to `most`, within which there is as much as `wanted`.
fn reach_of(start: u32, top: f32, most: u32, wanted: f32, weighed: bool, lane: u32) -> u32 {
    var low = 0u;
    var high = most;
    for (var i = 0u; i < 31u; i++) {
        let middle = low + (high - low) / 2u;
        if within(start, top, middle, weighed, lane) >= wanted { high = middle; } else { low = min(middle + 1u, high); }
    }
    return high;
}

/// The weight of a token that stays, else 0.
fn kept(v: f32, top: f32, reach: u32) -> f32 {
    let distance = top - v;
    let w = weight(distance);
    return select(0.0, w, bitcast<u32>(distance) <= reach && w >= draw[3]);
}

@compute @workgroup_size(256)
fn draw_token(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, grid);
    if row >= params.rows { return; }
    let start = row * params.width;
    var own = LOWEST;
    var bad = 0.0;
    for (var i = lane; i < params.width; i += LANES) {
        let v = logits[start + i];
        if is_finite(v) { own = max(own, v); } else { bad = 1.0; }
    }
    let top = greatest_of(own, lane);
    bad = sum_of(bad, lane);

    var reach = ALL;
    if draw[1] > 0.0 { reach = reach_of(start, top, ALL, min(draw[1], f32(params.width)), false, lane); }
    if draw[2] < 1.0 {
        let all = within(start, top, reach, true, lane);
        reach = reach_of(start, top, reach, draw[2] * all, true, lane);
    }

    let run = (params.width + LANES - 1u) / LANES;
    let first = min(lane * run, params.width);
    let end = min(first + run, params.width);
    var mass = 0.0;
    for (var i = first; i < end; i++) { mass += kept(logits[start + i], top, reach); }
    workgroupBarrier();
    parts[lane] = mass;
    workgroupBarrier();
    if lane != 0u { return; }

    var left = 0.0;
    for (var i = 0u; i < LANES; i++) { left += parts[i]; }
    left *= draw[4];
    // Rounding may leave something behind the last: then it is the last.
    var drawn_run = 0u;
    for (var i = 0u; i < LANES; i++) {
        if parts[i] > 0.0 {
            drawn_run = i;
            if left < parts[i] { break; }
            left -= parts[i];
        }
    }
    var place = 0u;
    for (var i = drawn_run * run; i < min((drawn_run + 1u) * run, params.width); i++) {
        let w = kept(logits[start + i], top, reach);
        if w > 0.0 {
            place = i;
            if left < w { break; }
            left -= w;
        }
    }
    y[2u * row] = select(place, NONE, bad > 0.0);
    y[2u * row + 1u] = select(0u, NONE, bad > 0.0);
}
