// Depthwise convolution over up to three axes: every output channel reads one input channel. Bias, activation and
// residual fused.
//
// permute: weights
// Layout   x: [batch, channels, depth, height, width]; y, residual: [batch, channels · multiplier, …]; w: [channels ·
//          multiplier, taps] in its encoding; bias: [channels · multiplier].
// Tiling   an invocation sums 8 pixels of a row in registers. Along a row of taps the pixels slide: a tap needs one load
//          more, not eight. With a stride the taps of each remainder slide by themselves.
// Cost     taps + 8 - 1 loads and `taps` weights a row of taps, for 8 · taps multiply-adds.
// Grid     an invocation per 8 pixels, wrapped from x into y.

import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::grid::flat_index;
@if(!dense) import package::shared::weights::decode8;

override BIAS: bool = false;
/// Taps of a row lie more than one element apart.
override DILATED: bool = false;

/// Most taps of few-bit weights, which an invocation decodes beforehand.
const MOST_TAPS = 64u;

// Sizes in x, y, z are depth, height, width.
struct Params {
    /// w: output channels of an input channel.
    input: vec4u,
    /// w: output channels.
    output: vec4u,
    /// w: runs of 8 pixels in a row.
    kernel: vec4u,
    stride: vec4u,
    dilation: vec4u,
    pad: vec4i,
    /// Of few-bit weights: the decode stage's form.
    weight: vec4u,
    total: u32,
    act_a: f32, act_b: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
@if(dense) @group(0) @binding(10) var<storage, read> w: array<f32>;

/// Element `i` of the row at `line`; 0 outside.
fn load(line: u32, i: i32) -> f32 {
    let inside = u32(i) < params.input.z;
    return select(0.0, x[line + select(0u, u32(i), inside)], inside);
}

fn put(at: u32, sum: f32) {
    var r = 0.0;
    if RESIDUAL != 0u { r = residual[at]; }
    y[at] = finish(sum, r, params.act_a, params.act_b);
}

@compute @workgroup_size(64)
fn depthwise(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = flat_index(group, grid, 64u, lane);
    if id >= params.total { return; }
    let col = id % params.kernel.w * 8u;
    let line = id / params.kernel.w; // of the output
    let row = line % params.output.y;
    let slice = line / params.output.y % params.output.x;
    let plane = line / (params.output.y * params.output.x); // batch · output channels
    let channel = plane % params.output.w;

    let size = params.kernel.xyz;
    @if(dense) let taps = channel * size.x * size.y * size.z;
    @if(!dense) var weights: array<f32, MOST_TAPS>;
    @if(!dense) {
        for (var i = 0u; i < min(size.x * size.y * size.z, MOST_TAPS); i += 8u) {
            let v = decode8(params.weight, channel, i);
            weights[i] = v.a.x;
            weights[i + 1u] = v.a.y;
            weights[i + 2u] = v.a.z;
            weights[i + 3u] = v.a.w;
            weights[i + 4u] = v.b.x;
            weights[i + 5u] = v.b.y;
            weights[i + 6u] = v.b.z;
            weights[i + 7u] = v.b.w;
        }
    }
    let stride = i32(params.stride.z);
    let dilation = i32(params.dilation.z);
    let reach = (i32(size.z) - 1) * dilation + 1;
    let left = i32(col) * stride - params.pad.z;
    var s = vec4f();
    var t = vec4f();
    for (var kz = 0u; kz < size.x; kz++) {
        let iz = i32(slice * params.stride.x + kz * params.dilation.x) - params.pad.x;
        for (var ky = 0u; ky < size.y; ky++) {
            let iy = i32(row * params.stride.y + ky * params.dilation.y) - params.pad.y;
            if u32(iz) >= params.input.x || u32(iy) >= params.input.y { continue; }
            let source = ((plane / params.input.w * params.input.x + u32(iz)) * params.input.y + u32(iy)) * params.input.z;
            let tap = (kz * size.y + ky) * size.z;
            for (var phase = 0; phase < min(stride, reach); phase++) {
                var i = left + phase;
                var u = vec4f(load(source, i), load(source, i + stride), load(source, i + 2 * stride), load(source, i + 3 * stride));
                i += 4 * stride;
                var v = vec4f(load(source, i), load(source, i + stride), load(source, i + 2 * stride), load(source, i + 3 * stride));
                i += 4 * stride;
                for (var offset = phase; offset < reach; offset += stride) {
                    var k = offset;
                    if DILATED { k = select(-1, offset / dilation, offset % dilation == 0); }
                    if k >= 0 {
                        @if(dense) let weight = w[taps + tap + u32(k)];
                        @if(!dense) let weight = weights[tap + u32(k)];
                        s += weight * u;
                        t += weight * v;
                    }
                    u = vec4f(u.yzw, v.x);
                    v = vec4f(v.yzw, load(source, i));
                    i += stride;
                }
            }
        }
    }
    if BIAS {
        s += bias[channel];
        t += bias[channel];
    }
    let at = line * params.output.z + col;
    for (var q = 0u; q < min(8u, params.output.z - col); q++) {
        put(at + q, s.x);
        s = vec4f(s.yzw, t.x);
        t = t.yzwx;
    }
}
