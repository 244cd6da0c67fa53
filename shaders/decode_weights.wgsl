// Few-bit weights to f32, once per run, for products with many columns, where the decoding is a small share.
//
// permute: palette | affine | half_float
// Layout   out: f32, element (row, col) at row · row_stride + col · col_stride.
// Tiling   one invocation four columns of a row; neighbours go along the side that is contiguous in `out`.
// Cost     reads the codes once, writes 4 bytes a weight.

import package::shared::grid::flat_index;
@if(palette) import package::decode::palette::decode4;
@if(affine) import package::decode::affine::decode4;
@if(half_float) import package::decode::half_float::decode4;

/// Neighbours along rows (out is transposed) instead of along columns.
override TRANSPOSED: bool = false;

struct Params { weight: vec4u, rows: u32, cols: u32, row_stride: u32, col_stride: u32 }

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn decode_weights(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = (params.cols + 3u) / 4u;
    let i = flat_index(group, grid, 64u, lane);
    if i >= quads * params.rows { return; }
    var row = i / quads;
    var col = i % quads * 4u;
    if TRANSPOSED {
        row = i % params.rows;
        col = i / params.rows * 4u;
    }
    let w = decode4(params.weight, row, col);
    let at = row * params.row_stride + col * params.col_stride;
    out[at] = w.x;
    if col + 1u < params.cols { out[at + params.col_stride] = w.y; }
    if col + 2u < params.cols { out[at + 2u * params.col_stride] = w.z; }
    if col + 3u < params.cols { out[at + 3u * params.col_stride] = w.w; }
}
