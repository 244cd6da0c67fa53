// Along one axis: index of the extreme, running sum and product, one-hot maximum.
//
// Layout   x, y: one word an element, `[outer, len, inner]`, the axis in the middle; indices are i64, low word first.
// Tiling   one invocation a row (`rows` = outer · inner).
// Cost     bound by memory; rows are serial.

import package::shared::grid::flat_index;

/// Numbered in `src/gpu/axis.rs`.
override OP: u32 = 0u;
/// 1: elements are i32, else f32.
override INTEGER: u32 = 0u;
/// Ties go to the last index; a running sum leaves the element itself out; it runs from the end.
override LAST: u32 = 0u;
override EXCLUSIVE: u32 = 0u;
override REVERSE: u32 = 0u;

struct Params { rows: u32, len: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const ARG_MAX = 0u;
const ARG_MIN = 1u;
const SUM = 2u;
const PRODUCT = 3u;
const HARDMAX = 4u;

fn less(p: u32, q: u32) -> bool {
    if INTEGER == 1u { return bitcast<i32>(p) < bitcast<i32>(q); }
    return bitcast<f32>(p) < bitcast<f32>(q);
}

fn accumulate(total: u32, word: u32) -> u32 {
    if INTEGER == 1u { return select(total + word, total * word, OP == PRODUCT); }
    let t = bitcast<f32>(total);
    let v = bitcast<f32>(word);
    return bitcast<u32>(select(t + v, t * v, OP == PRODUCT));
}

@compute @workgroup_size(64)
fn axis(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_index(group, grid, 64u, lane);
    if row >= params.rows { return; }
    let start = row / params.inner * params.len * params.inner + row % params.inner;
    if OP == SUM || OP == PRODUCT {
        var total = 0u;
        if OP == PRODUCT { total = select(0x3f800000u, 1u, INTEGER == 1u); }
        for (var step = 0u; step < params.len; step += 1u) {
            let k = select(step, params.len - 1u - step, REVERSE == 1u);
            let at = start + k * params.inner;
            let next = accumulate(total, x[at]);
            y[at] = select(next, total, EXCLUSIVE == 1u);
            total = next;
        }
        return;
    }
    var best = 0u;
    var value = x[start];
    for (var k = 1u; k < params.len; k += 1u) {
        let v = x[start + k * params.inner];
        let wins = select(less(value, v), less(v, value), OP == ARG_MIN);
        let loses = select(less(v, value), less(value, v), OP == ARG_MIN);
        if wins || (LAST == 1u && !loses) {
            best = k;
            value = v;
        }
    }
    if OP == HARDMAX {
        for (var k = 0u; k < params.len; k += 1u) {
            y[start + k * params.inner] = select(0u, 0x3f800000u, k == best);
        }
    } else {
        y[2u * row] = best;
        y[2u * row + 1u] = 0u;
    }
}
