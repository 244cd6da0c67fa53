// Elementwise operators of one tensor: y = f(x).
//
// Layout   x, y: one 32-bit word an element, any shape, flat; floats or integers as OP says.
// Tiling   one invocation an element.
// Cost     reads x once, writes y once: bound by memory.

import package::shared::grid::flat_index;
import package::shared::math::{erf_exact, is_nan, log_1p, sine, tanh_exact};

/// The operator; numbered in `src/gpu/unary.rs`.
override OP: u32 = 0u;

/// `a`, `b`: the operator's attributes.
struct Params { count: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

fn softplus(v: f32) -> f32 {
    return max(v, 0.0) + log_1p(exp(-abs(v)));
}

fn sigmoid(v: f32) -> f32 {
    return 1.0 / (1.0 + exp(-v));
}

fn apply_float(v: f32) -> f32 {
    let a = params.a;
    let b = params.b;
    switch OP {
        case 0u: { return abs(v); }
        case 1u: { return -v; }
        case 2u: { return sign(v); }
        case 3u: { return select(v, 0.0, v < 0.0); }
        case 4u: { return ceil(v); }
        case 5u: { return floor(v); }
        case 6u: { return round(v); }
        case 7u: { return sqrt(v); }
        case 8u: { return exp(v); }
        case 9u: { return log(v); }
        case 10u: { return 1.0 / v; }
        case 11u: { return sine(v, 0); }
        case 12u: { return sine(v, 1); }
        case 13u: { return erf_exact(v); }
        case 14u: { return sigmoid(v); }
        case 15u: { return tanh_exact(v); }
        case 16u: { return 0.5 * v * (1.0 + erf_exact(v * 0.70710678)); }
        case 17u: { return 0.5 * v * (1.0 + tanh_exact(0.79788456 * (v + 0.044715 * v * v * v))); }
        case 18u: { return v * sigmoid(a * v); }
        case 19u: { return clamp(a * v + b, 0.0, 1.0); }
        case 20u: { return v * clamp(v / 6.0 + 0.5, 0.0, 1.0); }
        case 21u: { return select(v, a * v, v < 0.0); }
        case 22u: { return select(0.0, v, v > a); }
        case 23u: { return select(v, a * (exp(v) - 1.0), v < 0.0); }
        case 24u: { return select(v, a * (exp(v / a) - 1.0), v < 0.0); }
        case 25u: { return b * select(a * (exp(v) - 1.0), v, v > 0.0); }
        case 26u: { return softplus(v); }
        case 27u: { return v / (1.0 + abs(v)); }
        case 28u: { return v * tanh_exact(softplus(v)); }
        // x + bias below −λ, x − bias above λ, 0 between
        case 29u: { return select(select(0.0, v - b, v > a), v + b, v < -a); }
        // Clip; comparisons, so that NaN stays.
        case 30u: {
            let low = select(v, a, v < a);
            return select(low, b, low > b);
        }
        default: { return v; }
    }
}

fn apply(word: u32) -> u32 {
    let i = bitcast<i32>(word);
    switch OP {
        case 64u: { return bitcast<u32>(abs(i)); }
        case 65u: { return bitcast<u32>(-i); }
        case 66u: { return bitcast<u32>(sign(i)); }
        case 67u: { return bitcast<u32>(max(i, 0)); }
        case 68u: { return ~word; }
        case 69u: { return select(0u, 1u, word == 0u); }
        case 70u: { return select(0u, 1u, is_nan(bitcast<f32>(word))); }
        // IsInf of either sign, positive, negative
        case 71u: { return select(0u, 1u, (word & 0x7fffffffu) == 0x7f800000u); }
        case 72u: { return select(0u, 1u, word == 0x7f800000u); }
        case 73u: { return select(0u, 1u, word == 0xff800000u); }
        case 74u: { return word; }
        default: { return bitcast<u32>(apply_float(bitcast<f32>(word))); }
    }
}

@compute @workgroup_size(64)
fn unary(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    y[i] = apply(x[i]);
}
