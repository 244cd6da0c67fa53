// A workgroup's tile of few-bit weights, decoded into workgroup memory a chunk of columns at a time: each weight is
// decoded once per workgroup and never written to storage.

import package::shared::weights::decode8;

/// Weights of a chunk. Few, because WebGPU clears workgroup memory first: SwiftShader compiles a store for each element.
const VALUES = 512u;

var<workgroup> tile: array<f32, VALUES>;

/// Where rows are chosen (`gated`): which are those of chunks, first.
@if(gated) var<workgroup> rows_of: array<u32, 64>;

/// The rows and columns of a chunk. In `tile` column by column.
struct Chunk { row: u32, rows: u32, col: u32, cols: u32 }

/// Decodes a chunk; all 64 invocations of a workgroup come here together. Rows beyond `last_row` repeat it, columns from
/// `end` on stay as they are. `chunk.col` and `chunk.cols` are multiples of 8.
fn stage(form: vec4u, chunk: Chunk, last_row: u32, end: u32, lane: u32) {
    workgroupBarrier(); // until the chunk before is used up
    for (var i = lane; i < chunk.rows * chunk.cols / 8u; i += 64u) {
        let row = i % chunk.rows;
        let col = i / chunk.rows * 8u;
        if chunk.col + col >= end { continue; }
        @if(gated) let origin = rows_of[row];
        @if(!gated) let origin = min(chunk.row + row, last_row);
        let w = decode8(form, origin, chunk.col + col);
        let n = chunk.rows;
        let at = col * n + row;
        tile[at] = w.a.x;
        tile[at + n] = w.a.y;
        tile[at + 2u * n] = w.a.z;
        tile[at + 3u * n] = w.a.w;
        tile[at + 4u * n] = w.b.x;
        tile[at + 5u * n] = w.b.y;
        tile[at + 6u * n] = w.b.z;
        tile[at + 7u * n] = w.b.w;
    }
    workgroupBarrier();
}
