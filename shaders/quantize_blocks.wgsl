// Rows as integers of 8 bits: of every 32 elements the largest becomes ±127 (dynamic quantisation, symmetric).
//
// feature: full
// Layout   x: [rows, cols] f32; q: [rows, blocks, 8], four integers a word, zeros beyond the last column;
//          scales: [rows, blocks] pairs: what an integer stands for, and what the integers of the block add up to. A block
//          with a value that is not finite has the scale NaN.
// Tiling   an invocation a block.
// Cost     reads x once, writes a quarter of it: little beside the product.

import package::shared::grid::flat_index;
import package::shared::math::nan;

/// Rows of x start at multiples of four elements.
override ALIGNED: bool = true;

/// `count` blocks in all, `blocks` a row.
struct Params { cols: u32, blocks: u32, count: u32, pad0: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> q: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> scales: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

/// Elements `col … col + 3` of the row that starts at `start`, zeros beyond the last.
fn load4(start: u32, col: u32) -> vec4f {
    if ALIGNED && col + 4u <= params.cols { return x[(start + col) / 4u]; }
    var v = vec4f();
    for (var i = 0u; i < 4u && col + i < params.cols; i++) { v[i] = x[(start + col + i) / 4u][(start + col + i) % 4u]; }
    return v;
}

@compute @workgroup_size(64)
fn quantize_blocks(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) grid: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = flat_index(group, grid, 64u, lane);
    if block >= params.count { return; }
    let start = block / params.blocks * params.cols;
    let first = block % params.blocks * 32u;
    var v = array<vec4f, 8>();
    var most = vec4f();
    var bits = vec4u();
    for (var i = 0u; i < 8u; i++) {
        v[i] = load4(start, first + 4u * i);
        most = max(most, abs(v[i]));
        bits = max(bits, bitcast<vec4u>(v[i]) & vec4u(0x7fffffffu));
    }
    let largest = max(max(most.x, most.y), max(most.z, most.w));
    let scale = largest / 127.0;
    var inverse = 0.0;
    if scale > 0.0 { inverse = 127.0 / largest; }
    var words = array<u32, 8>();
    var sum = vec4i();
    for (var i = 0u; i < 8u; i++) {
        let n = vec4i(round(v[i] * inverse));
        sum += n;
        words[i] = pack4xI8(n);
    }
    q[2u * block] = vec4u(words[0], words[1], words[2], words[3]);
    q[2u * block + 1u] = vec4u(words[4], words[5], words[6], words[7]);
    var stands = scale;
    // By its bits, because compilers may take arithmetic to be finite.
    if any(bits >= vec4u(0x7f800000u)) { stands = nan(); }
    scales[block] = vec2f(stands, stands * f32(sum.x + sum.y + sum.z + sum.w));
}
