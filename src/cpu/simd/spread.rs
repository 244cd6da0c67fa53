//! Eight codes of a stream at a time.

/// Eight codes are `BITS` bytes; `spread` turns them into eight bytes.
#[inline(always)]
pub fn each_word<const BITS: usize>(bytes: &[u8], out: &mut [u8], spread: impl Fn(u64) -> u64) {
    let (groups, rest) = out.as_chunks_mut::<8>();
    // While eight bytes can be read at once; the surplus ones are masked away.
    let whole = bytes.len().saturating_sub(8) / BITS;
    let whole = whole.min(groups.len());
    let (fast, slow) = groups.split_at_mut(whole);
    for (i, out) in fast.iter_mut().enumerate() {
        let Some(word) = bytes[i * BITS..].first_chunk::<8>() else { break };
        *out = spread(u64::from_le_bytes(*word)).to_le_bytes();
    }
    let tail = |i: usize| {
        let mut word = [0u8; 8];
        let own = bytes.get(i * BITS..).unwrap_or(&[]);
        let n = own.len().min(BITS);
        word[..n].copy_from_slice(&own[..n]);
        spread(u64::from_le_bytes(word)).to_le_bytes()
    };
    let groups = whole + slow.len();
    slow.iter_mut().enumerate().for_each(|(i, out)| *out = tail(whole + i));
    let last = tail(groups);
    rest.copy_from_slice(&last[..rest.len()]);
}

/// Moves 8 codes of `BITS` bits to 8 bytes: first halves apart, then quarters, then single codes.
#[inline(always)]
pub fn spread<const BITS: u32>(word: u64) -> u64 {
    let ones = |n: u32| (1u64 << n) - 1;
    // Keeps the lower part of each lane, and moves the upper part `shift` bits up to the start of the next lane.
    let split = |x: u64, lower: u64, lane: u32, shift: u32| (x & lower) | ((x << shift) & (lower << lane));
    let x = split(word, ones(4 * BITS), 32, 32 - 4 * BITS);
    let x = split(x, ones(2 * BITS) * 0x1_0000_0001, 16, 16 - 2 * BITS);
    split(x, ones(BITS) * 0x0001_0001_0001_0001, 8, 8 - BITS)
}
