// Reductions over any set of axes: y = fold of x.
// permute: tree | serial
//
// Layout   x: one word an element (f32, i32); `axes` outermost first as (kept size, kept stride, reduced size, reduced
//          stride): KEPT axes number the results, REDUCED axes the elements of one result.
// Tiling   tree: one workgroup a result, a tree in workgroup memory joins the lanes. serial: one invocation a result, for
//          few elements, for software adapters, and where neighbouring results are neighbours in memory.
// Cost     reads x once (log-sum-exp twice): bound by memory.
// Grid     results beyond 65 535 wrap into y.

import package::shared::grid::{flat_group, flat_index};
import package::shared::math::is_nan;

/// Numbered in `src/gpu/reduce.rs`; 16 and more are integer forms.
override OP: u32 = 0u;
override KEPT: u32 = 1u;
override REDUCED: u32 = 1u;

/// `size`: elements a result; `scale`: what a mean multiplies with.
struct Params { axes: array<vec4u, 8>, count: u32, size: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const SUM = 0u;
const MAX = 2u;
const MIN = 3u;
const PRODUCT = 4u;
const LOG_SUM_EXP = 9u;

const LANES = 64u;

/// First element of a result.
fn base_of(result: u32) -> u32 {
    var rest = result;
    var at = 0u;
    for (var k = KEPT - 1u; k > 0u; k -= 1u) {
        let axis = params.axes[k];
        let next = rest / axis.x;
        at += (rest - next * axis.x) * axis.y;
        rest = next;
    }
    return at + rest * params.axes[0].y;
}

/// Distance of a result's element from its first.
fn distance_of(element: u32) -> u32 {
    var rest = element;
    var at = 0u;
    for (var k = REDUCED - 1u; k > 0u; k -= 1u) {
        let axis = params.axes[k];
        let next = rest / axis.z;
        at += (rest - next * axis.z) * axis.w;
        rest = next;
    }
    return at + rest * params.axes[0].w;
}

/// The fold's start, as a word.
fn start(op: u32) -> u32 {
    switch op {
        case MAX: { return 0xff800000u; }
        case MIN: { return 0x7f800000u; }
        case PRODUCT: { return 0x3f800000u; }
        case 18u: { return 0x80000000u; }
        case 19u: { return 0x7fffffffu; }
        case 20u: { return 1u; }
        default: { return 0u; }
    }
}

fn join(op: u32, p: u32, q: u32) -> u32 {
    let f = bitcast<f32>(p);
    let g = bitcast<f32>(q);
    switch op {
        case MAX: { return select(p, q, g > f || is_nan(g)); }
        case MIN: { return select(p, q, g < f || is_nan(g)); }
        case PRODUCT: { return bitcast<u32>(f * g); }
        case 16u: { return p + q; }
        case 18u: { return bitcast<u32>(max(bitcast<i32>(p), bitcast<i32>(q))); }
        case 19u: { return bitcast<u32>(min(bitcast<i32>(p), bitcast<i32>(q))); }
        case 20u: { return p * q; }
        default: { return bitcast<u32>(f + g); }
    }
}

/// What of an element is folded.
fn lift(op: u32, word: u32, shift: f32) -> u32 {
    let v = bitcast<f32>(word);
    switch op {
        case 5u: { return bitcast<u32>(abs(v)); }
        case 6u, 7u: { return bitcast<u32>(v * v); }
        case LOG_SUM_EXP: { return bitcast<u32>(exp(v - shift)); }
        default: { return word; }
    }
}

fn finish(word: u32, shift: f32) -> u32 {
    let v = bitcast<f32>(word);
    switch OP {
        case 1u: { return bitcast<u32>(v * params.scale); }
        case 6u: { return bitcast<u32>(sqrt(v)); }
        case 8u: { return bitcast<u32>(log(v)); }
        case LOG_SUM_EXP: { return bitcast<u32>(log(v) + shift); }
        default: { return word; }
    }
}

/// Folds every `stride`-th element from `first` on.
fn gather(op: u32, base: u32, first: u32, stride: u32, shift: f32) -> u32 {
    var total = start(op);
    for (var r = first; r < params.size; r += stride) {
        total = join(op, total, lift(op, x[base + distance_of(r)], shift));
    }
    return total;
}

/// An infinite maximum would turn differences into NaN.
fn finite_or_zero(word: u32) -> f32 {
    return select(bitcast<f32>(word), 0.0, (word & 0x7f800000u) == 0x7f800000u);
}

@if(tree)
var<workgroup> lanes: array<u32, LANES>;

@if(tree)
fn combine(op: u32, lane: u32, mine: u32) -> u32 {
    lanes[lane] = mine;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { lanes[lane] = join(op, lanes[lane], lanes[lane + half]); }
    }
    workgroupBarrier();
    let total = lanes[0];
    workgroupBarrier();
    return total;
}

@if(tree)
@compute @workgroup_size(LANES)
fn reduce(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let result = flat_group(group, grid);
    if result >= params.count { return; }
    let base = base_of(result);
    var shift = 0.0;
    if OP == LOG_SUM_EXP {
        shift = finite_or_zero(combine(MAX, lane, gather(MAX, base, lane, LANES, 0.0)));
    }
    let total = combine(OP, lane, gather(OP, base, lane, LANES, shift));
    if lane == 0u { y[result] = finish(total, shift); }
}

@if(serial)
@compute @workgroup_size(LANES)
fn reduce(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let result = flat_index(group, grid, LANES, lane);
    if result >= params.count { return; }
    let base = base_of(result);
    var shift = 0.0;
    if OP == LOG_SUM_EXP {
        shift = finite_or_zero(gather(MAX, base, 0u, 1u, 0.0));
    }
    y[result] = finish(gather(OP, base, 0u, 1u, shift), shift);
}
