// Sums of the parts into which a workgroup of 256 splits rows of a weight.

/// Parts; neighbouring invocations are 256 / SPLIT rows of one part.
override SPLIT: u32 = 8u;

var<workgroup> sums: array<f32, 256>;

/// The sum of all parts of a row, for part 0. With one part there is no barrier.
fn over_row_parts(own: f32, lane: u32) -> f32 {
    if SPLIT == 1u { return own; }
    let width = 256u / SPLIT;
    sums[lane] = own;
    for (var half = SPLIT / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane / width < half { sums[lane] += sums[lane + half * width]; }
    }
    workgroupBarrier();
    return sums[lane % width];
}
