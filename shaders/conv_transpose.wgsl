// Transposed convolution over up to three axes as a gather, with groups; bias and activation fused.
//
// permute: - | narrow | full: weights but dense
// Layout   x: [batch, groups · channels, depth, height, width]; y: [batch, groups · output channels, …]; dense w: element
//          (group, output channel, channel, tap) at its strides; few-bit w: [groups · channels, output channels · taps] in
//          its encoding; bias: [groups · output channels].
// Tiling   an invocation sums 8 output channels (narrow: 1, for depthwise) × 4 pixels in registers, the pixels LANES
//          apart. An output pixel meets only the taps of its residue modulo the stride, so a tile holds pixels of one
//          residue. Per tap the positions are found once; the channels below it are then a plain product whose loads of
//          x are contiguous over lanes and whose loads of w are the same for all. With few-bit w a workgroup is one
//          tile, and decodes what it needs of some channels into workgroup memory.
// Cost     12 loads for 32 multiply-adds (narrow: 5 for 4).

import package::shared::epilogue::{finish, RESIDUAL};
@if(!weights) import package::shared::grid::flat_index;
@if(weights) import package::shared::grid::flat_group;
@if(weights) import package::shared::weights::decode8;

/// Invocations side by side along the pixels.
override LANES: u32 = 8u;
override BIAS: bool = false;

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
    /// Pixels of one residue along each axis. w: tiles along them.
    pixels: vec4u,
    /// Elements between groups, output channels, channels, taps.
    w_stride: vec4u,
    /// Of few-bit w: the decode stage's form.
    weight: vec4u,
    /// Tiles of a group, and of everything.
    tiles: u32, all_tiles: u32,
    act_a: f32, act_b: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@if(!weights) @group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

/// Weights in workgroup memory: of some channels 8 output channels, each with its taps.
@if(weights) const VALUES = 1024u;
@if(weights) var<workgroup> w: array<f32, VALUES>;

/// Decodes `rows` rows of few-bit w from column `col` on, as many as 8 output channels have.
@if(weights)
fn stage(first: u32, rows: u32, col: u32, taps: u32, lane: u32) {
    workgroupBarrier(); // until the weights before are used up
    for (var i = lane; i < rows * taps; i += 64u) {
        let run = col + i % taps * 8u;
        if run >= params.output.w * taps { continue; }
        let v = decode8(params.weight, first + i / taps, run);
        for (var q = 0u; q < 4u; q++) {
            w[8u * i + q] = v.a[q];
            w[8u * i + 4u + q] = v.b[q];
        }
    }
    workgroupBarrier();
}

/// Where output position `o` within its residue `phase` meets tap `k` along an axis of `size` elements;
/// -1 outside.
fn source(o: vec4i, phase: i32, k: u32, axis: u32) -> vec4i {
    let reach = i32(k * params.dilation[axis]);
    let stride = i32(params.stride[axis]);
    let i = o + (phase + params.pad[axis] - reach) / stride;
    return select(vec4i(-1), i, (i >= vec4i()) & (i < vec4i(i32(params.input[axis]))));
}

/// Whether the residue meets tap `k` at all.
fn meets(phase: i32, k: u32, axis: u32) -> bool {
    return (phase + params.pad[axis] - i32(k * params.dilation[axis])) % i32(params.stride[axis]) == 0;
}

fn store(image: u32, channel: u32, positions: array<vec4i, 3>, sum: vec4f) {
    if channel >= params.output.w { return; }
    let plane = image * params.output.w + channel;
    for (var q = 0u; q < 4u; q++) {
        let at = vec3u(u32(positions[0][q]), u32(positions[1][q]), u32(positions[2][q]));
        if any(at >= params.output.xyz) { continue; }
        var v = sum[q];
        if BIAS { v += bias[image % params.kernel.w * params.output.w + channel]; }
        let i = ((plane * params.output.x + at.x) * params.output.y + at.y) * params.output.z + at.z;
        var r = 0.0;
        if RESIDUAL != 0u { r = residual[i]; }
        y[i] = finish(v, r, params.act_a, params.act_b);
    }
}

@compute @workgroup_size(64)
fn conv_transpose(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    @if(!weights) let id = flat_index(group, grid, 64u, lane);
    @if(!weights) let tile = id / LANES;
    @if(weights) let id = lane;
    @if(weights) let tile = flat_group(group, grid);
    if tile >= params.all_tiles { return; }
    var image = tile / params.tiles; // batch · groups
    @if(!narrow) let row = tile % params.tiles / params.pixels.w * 8u;
    @if(narrow) let row = tile % params.tiles / params.pixels.w;
    let pixel = vec4u(tile % params.pixels.w * LANES * 4u + id % LANES) + LANES * vec4u(0u, 1u, 2u, 3u);

    let residue = image % (params.stride.x * params.stride.y * params.stride.z);
    image /= params.stride.x * params.stride.y * params.stride.z;
    let phase = vec3i(vec3u(
        residue / params.stride.z / params.stride.y,
        residue / params.stride.z % params.stride.y,
        residue % params.stride.z,
    ));
    let oz = vec4i(pixel / (params.pixels.z * params.pixels.y));
    let oy = vec4i(pixel / params.pixels.z % params.pixels.y);
    let ox = vec4i(pixel % params.pixels.z);

    let area = params.input.x * params.input.y * params.input.z;
    let x_start = image * params.input.w * area;
    // Output channels beyond the last are computed from the last, few-bit ones from anything, and not stored.
    @if(!weights) let last = params.output.w - 1u;
    @if(!weights) let first = row;
    @if(weights) let last = 7u;
    @if(weights) let first = 0u;
    let w_start = image % params.kernel.w * params.w_stride.x;
    let r0 = w_start + min(first, last) * params.w_stride.y;
    @if(!narrow) let r1 = w_start + min(first + 1u, last) * params.w_stride.y;
    @if(!narrow) let r2 = w_start + min(first + 2u, last) * params.w_stride.y;
    @if(!narrow) let r3 = w_start + min(first + 3u, last) * params.w_stride.y;
    @if(!narrow) let r4 = w_start + min(first + 4u, last) * params.w_stride.y;
    @if(!narrow) let r5 = w_start + min(first + 5u, last) * params.w_stride.y;
    @if(!narrow) let r6 = w_start + min(first + 6u, last) * params.w_stride.y;
    @if(!narrow) let r7 = w_start + min(first + 7u, last) * params.w_stride.y;
    var s0 = vec4f();
    @if(!narrow) var s1 = vec4f();
    @if(!narrow) var s2 = vec4f();
    @if(!narrow) var s3 = vec4f();
    @if(!narrow) var s4 = vec4f();
    @if(!narrow) var s5 = vec4f();
    @if(!narrow) var s6 = vec4f();
    @if(!narrow) var s7 = vec4f();

    @if(weights) let taps = params.kernel.x * params.kernel.y * params.kernel.z;
    @if(weights) let depth = VALUES / (8u * taps);
    @if(!weights) let depth = params.input.w; // all at once
    for (var begin = 0u; begin < params.input.w; begin += depth) {
        let count = min(depth, params.input.w - begin);
        @if(weights) {
            stage(image % params.kernel.w * params.input.w + begin, count, row * taps, taps, lane);
        }
        for (var kz = 0u; kz < params.kernel.x; kz++) {
            if !meets(phase.x, kz, 0u) { continue; }
            let iz = source(oz, phase.x, kz, 0u);
            for (var ky = 0u; ky < params.kernel.y; ky++) {
                if !meets(phase.y, ky, 1u) { continue; }
                let iy = source(oy, phase.y, ky, 1u);
                for (var kx = 0u; kx < params.kernel.z; kx++) {
                    if !meets(phase.z, kx, 2u) { continue; }
                    let ix = source(ox, phase.z, kx, 2u);
                    let inside = min(min(iz, iy), ix) >= vec4i();
                    let flat = (iz * i32(params.input.y) + iy) * i32(params.input.z) + ix;
                    var at = vec4u(select(vec4i(), flat, inside)) + x_start + begin * area;
                    var k = ((kz * params.kernel.y + ky) * params.kernel.z + kx) * params.w_stride.w;
                    for (var c = 0u; c < count; c++) {
                        let v = select(vec4f(), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), inside);
                        s0 += w[r0 + k] * v;
                        @if(!narrow) {
                            s1 += w[r1 + k] * v;
                            s2 += w[r2 + k] * v;
                            s3 += w[r3 + k] * v;
                            s4 += w[r4 + k] * v;
                            s5 += w[r5 + k] * v;
                            s6 += w[r6 + k] * v;
                            s7 += w[r7 + k] * v;
                        }
                        at += vec4u(area);
                        k += params.w_stride.z;
                    }
                }
            }
        }
    }

    let pz = oz * i32(params.stride.x) + phase.x;
    let py = oy * i32(params.stride.y) + phase.y;
    let px = ox * i32(params.stride.z) + phase.z;
    let positions = array<vec4i, 3>(pz, py, px);
    // Pixels beyond the last lie beyond the last depth, so `store` leaves them out.
    store(image, row, positions, s0);
    @if(!narrow) {
        store(image, row + 1u, positions, s1);
        store(image, row + 2u, positions, s2);
        store(image, row + 3u, positions, s3);
        store(image, row + 4u, positions, s4);
        store(image, row + 5u, positions, s5);
        store(image, row + 6u, positions, s6);
        store(image, row + 7u, positions, s7);
    }
}
