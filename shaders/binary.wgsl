// Elementwise operators of two tensors with broadcasting: y = f(a, b).
//
// Layout   a, b, y: one 32-bit word an element, or two (low, high) for i64; `axes` are the merged axes of y, outermost
//          first, as (size, stride in a, stride in b, –); a stride is 0 where the operand repeats.
// Tiling   one invocation an element; same-shape and scalar operands have RANK 1 and divide nothing.
// Cost     bound by memory.

import package::shared::grid::flat_index;
import package::shared::math::{is_nan, pow_exact};

/// The operator and the element type; numbered in `src/gpu/binary.rs`.
override OP: u32 = 0u;
override TYPE: u32 = 0u;
override RANK: u32 = 1u;

/// `scale`: what MEAN multiplies the sum with; alpha of SwiGLU.
struct Params { axes: array<vec4u, 8>, count: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

const F32 = 0u;
const I32 = 1u;
const U32 = 2u;
const I64 = 3u;

/// Where output element `index` finds its operands.
fn locate(index: u32) -> vec2u {
    var rest = index;
    var at = vec2u(0u);
    for (var k = RANK - 1u; k > 0u; k -= 1u) {
        let axis = params.axes[k];
        let next = rest / axis.x;
        at += (rest - next * axis.x) * axis.yz;
        rest = next;
    }
    return at + rest * params.axes[0].yz;
}

/// With the sign of the dividend; a finite dividend is its own remainder by infinity.
fn remainder(p: f32, q: f32) -> f32 {
    let by_infinity = (bitcast<u32>(q) & 0x7fffffffu) == 0x7f800000u && abs(p) <= 3.4028234e38;
    return select(p - trunc(p / q) * q, p, by_infinity);
}

fn float(p: f32, q: f32) -> f32 {
    switch OP {
        case 0u: { return p + q; }
        case 1u: { return p - q; }
        case 2u: { return p * q; }
        case 3u: { return p / q; }
        case 4u: { return pow_exact(p, q); }
        case 5u: { return select(select(p, q, q > p), q, is_nan(q)); }
        case 6u: { return select(select(p, q, q < p), q, is_nan(q)); }
        // remainder with the sign of the divisor, of the dividend
        case 7u: {
            let r = remainder(p, q);
            return select(r, r + q, r != 0.0 && (r < 0.0) != (q < 0.0));
        }
        case 8u: { return remainder(p, q); }
        case 9u: { return select(p, p * q, p < 0.0); }
        case 10u: { return (p + q) * params.scale; }
        case 11u: { return p / (1.0 + exp(-params.scale * p)) * q; }
        default: { return p; }
    }
}

fn signed(p: i32, q: i32) -> i32 {
    switch OP {
        case 0u: { return p + q; }
        case 1u: { return p - q; }
        case 2u: { return p * q; }
        case 3u: { return p / q; }
        case 5u: { return max(p, q); }
        case 6u: { return min(p, q); }
        case 7u: {
            let r = p % q;
            return select(r, r + q, r != 0 && (r < 0) != (q < 0));
        }
        case 8u: { return p % q; }
        default: { return p; }
    }
}

fn unsigned(p: u32, q: u32) -> u32 {
    switch OP {
        case 0u: { return p + q; }
        case 1u: { return p - q; }
        case 2u: { return p * q; }
        case 3u: { return p / q; }
        case 5u: { return max(p, q); }
        case 6u: { return min(p, q); }
        case 7u, 8u: { return p % q; }
        default: { return p; }
    }
}

/// Words of any type that are combined as bits; booleans are 0 or 1.
fn bits(p: u32, q: u32) -> u32 {
    switch OP {
        case 32u: { return p & q; }
        case 33u: { return p | q; }
        case 34u: { return p ^ q; }
        case 35u: { return select(p << (q & 31u), 0u, q > 31u); }
        default: { return select(p >> (q & 31u), 0u, q > 31u); }
    }
}

/// Decides a comparison from "less" and "equal"; both false when unordered.
fn decide(less: bool, equal: bool, greater: bool) -> u32 {
    switch OP {
        case 16u: { return u32(equal); }
        case 17u: { return u32(greater); }
        case 18u: { return u32(greater || equal); }
        case 19u: { return u32(less); }
        default: { return u32(less || equal); }
    }
}

fn compare(p: u32, q: u32) -> u32 {
    if TYPE == F32 {
        let f = bitcast<f32>(p);
        let g = bitcast<f32>(q);
        let ordered = !(is_nan(f) || is_nan(g));
        return decide(ordered && (f < g), ordered && f == g, ordered && (f > g));
    }
    if TYPE == I32 {
        return decide((bitcast<i32>(p) < bitcast<i32>(q)), p == q, (bitcast<i32>(p) > bitcast<i32>(q)));
    }
    return decide((p < q), p == q, (p > q));
}

fn less_wide(p: vec2u, q: vec2u) -> bool {
    return select(bitcast<i32>(p.y) < bitcast<i32>(q.y), p.x < q.x, p.y == q.y);
}

/// Low and high word of the 64-bit product of two words.
fn multiply_words(p: u32, q: u32) -> vec2u {
    let p0 = p & 0xffffu;
    let p1 = p >> 16u;
    let q0 = q & 0xffffu;
    let q1 = q >> 16u;
    let low = p0 * q0;
    let middle = p1 * q0 + (low >> 16u);
    let cross = p0 * q1 + (middle & 0xffffu);
    return vec2u(p * q, p1 * q1 + (middle >> 16u) + (cross >> 16u));
}

fn wide(p: vec2u, q: vec2u) -> vec2u {
    switch OP {
        case 0u: {
            let low = p.x + q.x;
            return vec2u(low, p.y + q.y + u32(low < p.x));
        }
        case 1u: { return vec2u(p.x - q.x, p.y - q.y - u32(p.x < q.x)); }
        case 2u: { return multiply_words(p.x, q.x) + vec2u(0u, p.x * q.y + p.y * q.x); }
        case 5u: { return select(p, q, less_wide(p, q)); }
        case 6u: { return select(p, q, less_wide(q, p)); }
        default: { return p; }
    }
}

@compute @workgroup_size(64)
fn binary(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let at = locate(i);
    if TYPE == I64 {
        let p = vec2u(a[2u * at.x], a[2u * at.x + 1u]);
        let q = vec2u(b[2u * at.y], b[2u * at.y + 1u]);
        if OP >= 16u {
            y[i] = decide(less_wide(p, q), all(p == q), less_wide(q, p));
            return;
        }
        let r = wide(p, q);
        y[2u * i] = r.x;
        y[2u * i + 1u] = r.y;
        return;
    }
    let p = a[at.x];
    let q = b[at.y];
    if OP >= 32u {
        y[i] = bits(p, q);
    } else if OP >= 16u {
        y[i] = compare(p, q);
    } else if TYPE == F32 {
        y[i] = bitcast<u32>(float(bitcast<f32>(p), bitcast<f32>(q)));
    } else if TYPE == I32 {
        y[i] = bitcast<u32>(signed(bitcast<i32>(p), bitcast<i32>(q)));
    } else {
        y[i] = unsigned(p, q);
    }
}
