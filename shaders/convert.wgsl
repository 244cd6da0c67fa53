// Conversion between element types.
//
// Layout   x, y: one word an element; i64 has two, low first. bool is 0 or 1; narrow integers are sign- or zero-extended.
// Tiling   one invocation an element.
// Cost     bound by memory.

import package::shared::grid::flat_index;
import package::shared::math::is_nan;

/// Numbered in `src/gpu/cast.rs`: f32, i32, u32, i64, bool, i8, i16, u8, u16.
override FROM: u32 = 0u;
override TO: u32 = 0u;

struct Params { count: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const F32 = 0u;
const I32 = 1u;
const U32 = 2u;
const I64 = 3u;
const BOOL = 4u;
const I8 = 5u;
const I16 = 6u;
const U8 = 7u;
const U16 = 8u;

/// Toward zero, saturating at the ends of i64; NaN → 0.
fn float_to_wide(v: f32) -> vec2u {
    if is_nan(v) { return vec2u(0u); }
    if v >= 9.223372e18 { return vec2u(0xffffffffu, 0x7fffffffu); }
    if v <= -9.223372e18 { return vec2u(0u, 0x80000000u); }
    let magnitude = trunc(abs(v));
    let high = floor(magnitude / 4294967296.0);
    let p = vec2u(u32(magnitude - high * 4294967296.0), u32(high));
    if v >= 0.0 { return p; }
    return vec2u(~p.x + 1u, ~p.y + u32(p.x == 0u));
}

/// The value as i64, whatever FROM is. f32 saturates at the ends of TO.
fn load_wide(i: u32) -> vec2u {
    if FROM == I64 { return vec2u(x[2u * i], x[2u * i + 1u]); }
    let word = x[i];
    if FROM == F32 {
        let v = bitcast<f32>(word);
        switch TO {
            case I32: { return float_to_wide(clamp(v, -2147483648.0, 2147483520.0)); }
            case U32: { return float_to_wide(clamp(v, 0.0, 4294967040.0)); }
            case I8: { return float_to_wide(clamp(v, -128.0, 127.0)); }
            case I16: { return float_to_wide(clamp(v, -32768.0, 32767.0)); }
            case U8: { return float_to_wide(clamp(v, 0.0, 255.0)); }
            case U16: { return float_to_wide(clamp(v, 0.0, 65535.0)); }
            default: { return float_to_wide(v); }
        }
    }
    let is_signed = FROM == I32 || FROM == I8 || FROM == I16;
    return vec2u(word, select(0u, 0xffffffffu, is_signed && (word >> 31u) != 0u));
}

fn wide_to_float(v: vec2u) -> f32 {
    if FROM == U32 || FROM == U8 || FROM == U16 || FROM == BOOL { return f32(v.x); }
    if v.y == select(0u, 0xffffffffu, (v.x >> 31u) != 0u) { return f32(bitcast<i32>(v.x)); }
    return f32(bitcast<i32>(v.y)) * 4294967296.0 + f32(v.x);
}

@compute @workgroup_size(64)
fn convert(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    if FROM == F32 && TO == BOOL {
        y[i] = u32((x[i] & 0x7fffffffu) != 0u);
        return;
    }
    let v = load_wide(i);
    switch TO {
        case F32: { y[i] = bitcast<u32>(wide_to_float(v)); }
        case I64: {
            y[2u * i] = v.x;
            y[2u * i + 1u] = v.y;
        }
        case BOOL: { y[i] = u32(any(v != vec2u(0u))); }
        case I8: { y[i] = bitcast<u32>(bitcast<i32>(v.x << 24u) >> 24u); }
        case I16: { y[i] = bitcast<u32>(bitcast<i32>(v.x << 16u) >> 16u); }
        case U8: { y[i] = v.x & 0xffu; }
        case U16: { y[i] = v.x & 0xffffu; }
        default: { y[i] = v.x; }
    }
}
