// y = act(W · x + bias + residual) for one row x and sparse W: a step per weight that is there, none for the others.
//
// feature: full
// permute: weights with place
// Layout   x: [k]; W: [n, k] (decode/sparse.wgsl), the rows of W that one binding holds; bias: [total]; residual, y: [total];
//          all f32 but W.
// Tiling   a lane sums one row of W; SPLIT parts of a workgroup share it and take a run of the mask's words each. Values come
//          by eights, which neighbouring lanes read side by side; a bit of the mask says which x a value meets. SHARED: x is
//          in workgroup memory, TILE columns at a time, where lanes may read anywhere at once.
// Cost     reads W's mask and values once, with SPLIT up to seven values more a part; x n · SPLIT / 256 times.

import package::decode::stage::{place, values};
import package::shared::eight::Eight;
import package::shared::epilogue::{finish, RESIDUAL};
import package::shared::row_parts::{over_row_parts, SPLIT};

/// Columns of x in workgroup memory, and the mask's words for them.
const TILE = 2048u;
const TILE_WORDS = 64u;

override SHARED: bool = true;
override BIAS: bool = false;

/// `n` columns of the output from `first` on.
struct Params { weight: vec4u, n: u32, k: u32, first: u32, a: f32, b: f32, pad0: u32, pad1: u32, pad2: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> tile: array<f32, 2048>;

/// What of a row was not met yet: bits of word `word` of its mask, and the words up to `end`.
struct Rest { row: u32, bits: u32, word: u32, end: u32 }

/// `v · x` for the next value of the row.
fn product(rest: ptr<function, Rest>, v: f32) -> f32 {
    while (*rest).bits == 0u && (*rest).word + 1u < (*rest).end {
        (*rest).word += 1u;
        (*rest).bits = place((*rest).word, (*rest).row).x;
    }
    let bits = (*rest).bits;
    let col = 32u * (*rest).word + firstTrailingBit(bits);
    (*rest).bits = bits & (bits - 1u);
    if SHARED { return v * tile[col % TILE]; }
    return v * x[col];
}

/// The sum over words `first … end` of a row's mask, of which there is one at least.
fn over_words(row: u32, first: u32, end: u32) -> f32 {
    let start = place(first, row);
    let last = place(end - 1u, row);
    let stop = last.y + countOneBits(last.x);
    var rest = Rest(row, start.x, first, end);
    var sum = 0.0;
    // The first eight may begin before the part, the last end behind it: those values are not the part's.
    for (var i = start.y & ~7u; i < stop; i += 8u) {
        var v = values(params.weight, row, i);
        for (var j = i; j < i + 8u; j++) {
            if j >= start.y && j < stop { sum += product(&rest, v.a.x); }
            v = Eight(vec4f(v.a.yzw, v.b.x), v.b.yzwx);
        }
    }
    return sum;
}

@compute @workgroup_size(256)
fn matvec_sparse(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let width = 256u / SPLIT;
    let part = lane / width;
    let left = group.x * width + lane % width;
    // Rows beyond the last are computed from the last, so that all lanes reach the barriers.
    let row = min(left, params.n - 1u);
    let words = (params.k + 31u) / 32u;
    let step = select(words, TILE_WORDS, SHARED);
    let each = (step + SPLIT - 1u) / SPLIT;
    var sum = 0.0;
    for (var first = 0u; first < words; first += step) {
        if SHARED {
            workgroupBarrier(); // until the tile before is used up
            for (var i = lane; i < min(TILE, params.k - 32u * first); i += 256u) { tile[i] = x[32u * first + i]; }
            workgroupBarrier();
        }
        let begin = first + part * each;
        let end = min(min(begin + each, first + step), words);
        if begin < end { sum += over_words(row, begin, end); }
    }
    sum = over_row_parts(sum, lane);
    if part != 0u || left >= params.n { return; }
    let at = params.first + left;
    if BIAS { sum += bias[at]; }
    var r = 0.0;
    if RESIDUAL != 0u { r = residual[at]; }
    y[at] = finish(sum, r, params.a, params.b);
}
