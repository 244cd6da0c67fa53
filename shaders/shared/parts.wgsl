// Sums of the parts into which a workgroup of 64 splits columns.

/// Parts; neighbouring invocations are 64 / SPLIT columns of one part.
override SPLIT: u32 = 8u;

var<workgroup> sums: array<vec4f, 64>;

/// The sum of all parts of a workgroup, for part 0.
fn over_parts(own: vec4f, lane: u32) -> vec4f {
    let width = 64u / SPLIT;
    workgroupBarrier(); // until the row before is used up
    sums[lane] = own;
    for (var half = SPLIT / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane / width < half { sums[lane] += sums[lane + half * width]; }
    }
    workgroupBarrier();
    return sums[lane % width];
}
