// Codes of BITS bits in a row of 32-bit words, LSB first.

/// Bits of a code: 1, 2, 3, 4, 5, 6 or 8.
override BITS: u32 = 4u;

/// Splits the four codes that start `offset` bits into the pair of words (low, high).
fn codes4(low: u32, high: u32, offset: u32) -> vec4u {
    var word = low >> offset;
    // A shift by 32 is no shift in WGSL: nothing of `high` belongs here when offset is 0.
    if offset > 0u { word |= high << (32u - offset); }
    return (vec4u(word) >> vec4u(0u, BITS, 2u * BITS, 3u * BITS)) & vec4u((1u << BITS) - 1u);
}
