// Pooling over windows: maximum, mean or p-norm of each window of each plane.
//
// Layout   x: [planes, depth, height, width] f32, y likewise; lower ranks have axes of length 1.
// Tiling   one invocation an output element: windows overlap in the cache.
// Cost     bound by memory for the usual windows. Whole planes have their own kernel (global_pool).

import package::shared::grid::flat_index;

const MAXIMUM: u32 = 0u;
const MEAN: u32 = 1u;
const NORM: u32 = 2u;

override FOLD: u32 = 0u;

/// Per axis (z, y, x): input length, output length, window, stride, dilation, padding before and after.
struct Params {
    count: u32, padded: u32, p: f32, pad0: u32,
    len_z: u32, out_z: u32, kernel_z: u32, stride_z: u32, dilation_z: u32, before_z: u32, after_z: u32, pad1: u32,
    len_y: u32, out_y: u32, kernel_y: u32, stride_y: u32, dilation_y: u32, before_y: u32, after_y: u32, pad2: u32,
    len_x: u32, out_x: u32, kernel_x: u32, stride_x: u32, dilation_x: u32, before_x: u32, after_x: u32, pad3: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn pool(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat_index(group, grid, 64u, lane);
    if i >= params.count { return; }
    let ox = i % params.out_x;
    let oy = i / params.out_x % params.out_y;
    let oz = i / (params.out_x * params.out_y) % params.out_z;
    let plane = i / (params.out_x * params.out_y * params.out_z);

    var folded = select(0.0, -3.4028234e38, FOLD == MAXIMUM);
    // Taps inside the plane, or inside it and its padding.
    var taps = 0u;
    for (var kz = 0u; kz < params.kernel_z; kz += 1u) {
        // Positions count from the start of the padding, so that they stay unsigned.
        let pz = oz * params.stride_z + kz * params.dilation_z;
        let in_z = pz >= params.before_z && pz - params.before_z < params.len_z;
        let room_z = pz < params.before_z + params.len_z + params.after_z;
        for (var ky = 0u; ky < params.kernel_y; ky += 1u) {
            let py = oy * params.stride_y + ky * params.dilation_y;
            let in_y = in_z && py >= params.before_y && py - params.before_y < params.len_y;
            let room_y = room_z && py < params.before_y + params.len_y + params.after_y;
            let row = ((plane * params.len_z + pz - params.before_z) * params.len_y + py - params.before_y) * params.len_x;
            for (var kx = 0u; kx < params.kernel_x; kx += 1u) {
                let px = ox * params.stride_x + kx * params.dilation_x;
                let inside = in_y && px >= params.before_x && px - params.before_x < params.len_x;
                let room = room_y && px < params.before_x + params.len_x + params.after_x;
                taps += u32(inside || (room && params.padded != 0u));
                if !inside { continue; }
                let v = x[row + px - params.before_x];
                switch FOLD {
                    case MAXIMUM: { folded = max(folded, v); }
                    case MEAN: { folded += v; }
                    default: { folded += fold_norm(v); }
                }
            }
        }
    }
    switch FOLD {
        case MAXIMUM: { y[i] = folded; }
        case MEAN: { y[i] = folded / f32(taps); }
        default: { y[i] = root_norm(folded); }
    }
}

fn fold_norm(v: f32) -> f32 {
    if params.p == 2.0 { return v * v; }
    return pow(abs(v), params.p);
}

fn root_norm(v: f32) -> f32 {
    if params.p == 2.0 { return sqrt(v); }
    return pow(v, 1.0 / params.p);
}
