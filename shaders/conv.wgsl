// Convolution over up to three axes, with groups; bias, activation and residual fused.
//
// permute: weights
// permute: full: gated | -
// Layout   x: [batch, groups · channels, depth, height, width]; y, residual alike; w: [groups · output channels, columns]
//          in its encoding, a column being (channel, tap); bias: [groups · output channels]. `gated`: of each image only chosen
//          filters and channels, which `gate` of choose_filters.wgsl names.
// Tiling   an invocation sums 8 output channels × 8 pixels in registers, the pixels LANES apart, so that loads of x are
//          contiguous over lanes and loads of w the same for all. Dense weights come straight from memory; few-bit ones
//          through workgroup memory (see staged.wgsl). A workgroup is 64 / LANES tiles of channels high and one of
//          pixels wide.
// Cost     16 loads for 64 multiply-adds; with more than one tap also the positions of 8 pixels.
// Grid     a workgroup per tile, wrapped from x into y.

import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::grid::flat_group;
@if(!dense) import package::shared::staged::{stage, tile, Chunk, VALUES};
@if(!dense && gated) import package::shared::staged::rows_of;

/// Invocations side by side along the pixels: 8, 16, 32 or 64.
override LANES: u32 = 8u;
override BIAS: bool = false;
/// One tap.
override POINTWISE: bool = false;

// Sizes in x, y, z are depth, height, width.
struct Params {
    /// w: channels of a group.
    input: vec4u,
    /// w: output channels of a group.
    output: vec4u,
    /// w: groups.
    kernel: vec4u,
    stride: vec4u,
    dilation: vec4u,
    pad: vec4i,
    /// Of few-bit weights: the decode stage's form.
    weight: vec4u,
    columns: u32,
    /// Workgroups along channels and pixels of a group, and in all.
    tiles_channels: u32, tiles_pixels: u32, tiles: u32,
    act_a: f32, act_b: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@if(!gated) @group(0) @binding(1) var<storage, read> bias: array<f32>;
@if(gated) @group(0) @binding(1) var<storage, read> gate: array<u32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
@if(dense) @group(0) @binding(10) var<storage, read> w: array<f32>;

/// Where the first tap of four pixels lies in x, along each axis.
struct Corners { z: vec4i, y: vec4i, x: vec4i }

fn corners(pixel: vec4u) -> Corners {
    let o = params.output;
    let z = vec4i(pixel / (o.z * o.y) * params.stride.x) - params.pad.x;
    let y = vec4i(pixel / o.z % o.y * params.stride.y) - params.pad.y;
    let x = vec4i(pixel % o.z * params.stride.z) - params.pad.z;
    return Corners(z, y, x);
}

/// Offsets in a channel of x, `reach` behind the corners; -1 outside.
fn source(c: Corners, reach: vec3i) -> vec4i {
    let size = vec3i(params.input.xyz);
    let z = c.z + reach.x;
    let y = c.y + reach.y;
    let x = c.x + reach.z;
    let inside = (min(min(z, y), x) >= vec4i()) & (z < vec4i(size.x)) & (y < vec4i(size.y)) & (x < vec4i(size.z));
    return select(vec4i(-1), (z * size.y + y) * size.z + x, inside);
}

fn load(at: vec4i, plane: u32) -> vec4f {
    let i = vec4u(max(at, vec4i())) + plane;
    return select(vec4f(), vec4f(x[i.x], x[i.y], x[i.z], x[i.w]), at >= vec4i());
}

/// The tap behind the one at `reach`, in the order of columns.
fn next_tap(reach: vec3i) -> vec3i {
    let d = vec3i(params.dilation.xyz);
    let end = vec3i(params.kernel.xyz) * d;
    var r = reach;
    r.z += d.z;
    if r.z < end.z { return r; }
    r.z = 0;
    r.y += d.y;
    if r.y < end.y { return r; }
    r.y = 0;
    r.x += d.x;
    return select(r, vec3i(), r.x >= end.x);
}

/// Where the image's part of the gate begins, and how many filters it keeps.
@if(gated) fn gate_of(image: u32) -> u32 { return image * (2u * params.output.w + params.input.w + 2u); }
@if(gated) fn filters(image: u32) -> u32 { return gate[gate_of(image)]; }
@if(!gated) fn filters(image: u32) -> u32 { return params.output.w; }

/// The output channel at a place; that at the last place for those beyond it.
fn filter_at(image: u32, place: u32) -> u32 {
    let i = min(place, params.output.w - 1u);
    @if(gated) { return gate[gate_of(image) + 1u + i]; }
    @if(!gated) { return i; }
}

fn bias_of(image: u32, channel: u32) -> f32 {
    @if(gated) { return bitcast<f32>(gate[gate_of(image) + 1u + params.output.w + channel]); }
    @if(!gated) { return bias[image % params.kernel.w * params.output.w + channel]; }
}

/// The first channel from this one on that is not left out.
@if(gated)
fn channel_from(image: u32, channel: u32) -> u32 {
    return gate[gate_of(image) + 1u + 2u * params.output.w + channel];
}

fn put(plane: u32, pixel: u32, sum: f32, kept: bool) {
    if pixel >= params.output.x * params.output.y * params.output.z { return; }
    let at = plane + pixel;
    var r = 0.0;
    if RESIDUAL != 0u { r = residual[at]; }
    let value = finish(sum, r, params.act_a, params.act_b);
    @if(gated) { y[at] = select(0.0, value, kept); }
    @if(!gated) { y[at] = value; }
}

/// The 8 pixels of the channel at a place. Loops shift the sums along, so that the code of `put` stands here once.
fn store(image: u32, place: u32, pixel: u32, left: vec4f, right: vec4f) {
    let channel = filter_at(image, place);
    let plane = (image * params.output.w + channel) * params.output.x * params.output.y * params.output.z;
    let kept = place < filters(image);
    var add = 0.0;
    if BIAS { add = bias_of(image, channel); }
    var u = left;
    var v = right;
    for (var q = 0u; q < 8u; q++) {
        put(plane, pixel + q * LANES, u.x + add, kept);
        u = vec4f(u.yzw, v.x);
        v = v.yzwx;
    }
}

@compute @workgroup_size(64)
fn conv(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = flat_group(group, grid);
    if number >= params.tiles { return; }
    let image = number / (params.tiles_channels * params.tiles_pixels); // batch · groups
    let top = number / params.tiles_pixels % params.tiles_channels * (512u / LANES);
    let channel = top + lane / LANES * 8u;
    let pixel = number % params.tiles_pixels * LANES * 8u + lane % LANES;
    @if(dense) { if channel >= params.output.w { return; } }

    let steps = LANES * vec4u(0u, 1u, 2u, 3u) + pixel;
    let corners0 = corners(steps);
    let corners1 = corners(steps + 4u * LANES);
    let area = params.input.x * params.input.y * params.input.z;
    let planes = image * params.input.w * area;
    @if(gated) let taps = params.kernel.x * params.kernel.y * params.kernel.z;
    @if(gated) var input = channel_from(image, 0u);
    @if(gated) var plane = planes + input * area;
    @if(!gated) var plane = planes;
    var reach = vec3i();
    var at0 = source(corners0, reach);
    var at1 = source(corners1, reach);

    // Output channels beyond the last are computed from the last and not stored.
    let first = image % params.kernel.w * params.output.w;
    @if(!dense && gated) { rows_of[lane] = filter_at(image, top + lane); }
    @if(dense) let depth = params.columns;
    @if(dense) let r0 = (first + filter_at(image, channel)) * params.columns;
    @if(dense) let r1 = (first + filter_at(image, channel + 1u)) * params.columns;
    @if(dense) let r2 = (first + filter_at(image, channel + 2u)) * params.columns;
    @if(dense) let r3 = (first + filter_at(image, channel + 3u)) * params.columns;
    @if(dense) let r4 = (first + filter_at(image, channel + 4u)) * params.columns;
    @if(dense) let r5 = (first + filter_at(image, channel + 5u)) * params.columns;
    @if(dense) let r6 = (first + filter_at(image, channel + 6u)) * params.columns;
    @if(dense) let r7 = (first + filter_at(image, channel + 7u)) * params.columns;
    @if(!dense) let depth = VALUES / (512u / LANES);
    @if(!dense) let mine = lane / LANES * 8u;
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
    var t0 = vec4f(); var t1 = vec4f(); var t2 = vec4f(); var t3 = vec4f();
    var t4 = vec4f(); var t5 = vec4f(); var t6 = vec4f(); var t7 = vec4f();
    @if(gated) var k = input * taps;
    @if(gated && dense) { if channel >= filters(image) { k = params.columns; } }
    @if(gated && !dense) { if top >= filters(image) { k = params.columns; } }
    @if(!gated) var k = 0u;
    for (var k0 = 0u; k0 < params.columns; k0 += depth) {
        let end = min(k0 + depth, params.columns);
        @if(gated) { if k >= end { continue; } }
        @if(!dense) {
            let rows = 512u / LANES;
            let last = first + params.output.w - 1u;
            stage(params.weight, Chunk(first + top, rows, k0, depth), last, params.columns, lane);
        }
        while k < end {
            let u = load(at0, plane);
            let v = load(at1, plane);
            @if(!dense) let i = (k - k0) * (512u / LANES) + mine;
            @if(dense) let w0 = w[r0 + k];
            @if(dense) let w1 = w[r1 + k];
            @if(dense) let w2 = w[r2 + k];
            @if(dense) let w3 = w[r3 + k];
            @if(dense) let w4 = w[r4 + k];
            @if(dense) let w5 = w[r5 + k];
            @if(dense) let w6 = w[r6 + k];
            @if(dense) let w7 = w[r7 + k];
            @if(!dense) let w0 = tile[i];
            @if(!dense) let w1 = tile[i + 1u];
            @if(!dense) let w2 = tile[i + 2u];
            @if(!dense) let w3 = tile[i + 3u];
            @if(!dense) let w4 = tile[i + 4u];
            @if(!dense) let w5 = tile[i + 5u];
            @if(!dense) let w6 = tile[i + 6u];
            @if(!dense) let w7 = tile[i + 7u];
            s0 += w0 * u; t0 += w0 * v;
            s1 += w1 * u; t1 += w1 * v;
            s2 += w2 * u; t2 += w2 * v;
            s3 += w3 * u; t3 += w3 * v;
            s4 += w4 * u; t4 += w4 * v;
            s5 += w5 * u; t5 += w5 * v;
            s6 += w6 * u; t6 += w6 * v;
            s7 += w7 * u; t7 += w7 * v;
            k += 1u;
            if !POINTWISE {
                reach = next_tap(reach);
                at0 = source(corners0, reach);
                at1 = source(corners1, reach);
            }
            if POINTWISE || all(reach == vec3i()) {
                @if(!gated) { plane += area; }
                @if(gated) {
                    input = channel_from(image, input + 1u);
                    plane = planes + input * area;
                    k = input * taps;
                }
            }
        }
    }
    for (var r = 0u; r < 8u && channel + r < params.output.w; r++) {
        store(image, channel + r, pixel, s0, t0);
        s0 = s1; t0 = t1;
        s1 = s2; t1 = t2;
        s2 = s3; t2 = t3;
        s3 = s4; t3 = t4;
        s4 = s5; t4 = t5;
        s5 = s6; t5 = t6;
        s6 = s7; t6 = t7;
    }
}
