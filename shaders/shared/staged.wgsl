// A workgroup's tile of few-bit weights, decoded into workgroup memory a chunk of columns at a time: each weight is
// decoded once per workgroup and never written to storage.

import package::decode::stage::decode4;

/// Weights of a chunk. Few, because WebGPU clears workgroup memory first: SwiftShader compiles a store for each element.
const VALUES = 512u;

var<workgroup> tile: array<f32, VALUES>;

/// The rows and columns of a chunk, and where they lie in `tile`.
struct Chunk { row: u32, rows: u32, col: u32, cols: u32, row_step: u32, col_step: u32 }

/// Decodes a chunk; all 64 invocations of a workgroup come here together. Rows beyond `last_row` repeat it, columns from
/// `end` on stay as they are. `chunk.col` and `chunk.cols` are multiples of 4.
fn stage(form: vec4u, chunk: Chunk, last_row: u32, end: u32, lane: u32) {
    workgroupBarrier(); // until the chunk before is used up
    let quads = chunk.cols / 4u;
    for (var i = lane; i < chunk.rows * quads; i += 64u) {
        let row = i / quads;
        let col = i % quads * 4u;
        if chunk.col + col >= end { continue; }
        let w = decode4(form, min(chunk.row + row, last_row), chunk.col + col);
        let at = row * chunk.row_step + col * chunk.col_step;
        tile[at] = w.x;
        tile[at + chunk.col_step] = w.y;
        tile[at + 2u * chunk.col_step] = w.z;
        tile[at + 3u * chunk.col_step] = w.w;
    }
    workgroupBarrier();
}
