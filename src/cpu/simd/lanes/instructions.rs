//! The operations.
#![allow(clippy::missing_safety_doc, reason = "the traits say it once for all of their functions")]

/// The most lanes of any instruction set.
pub const MAX_LANES: usize = 16;

/// # Safety
/// All methods: the processor has the instruction set, and pointers lead to as many elements as there are lanes, unless
/// said otherwise. Methods are inlined into a function that is compiled for the instruction set.
pub trait Lanes: Copy {
    const LANES: usize;
    /// One f32 a lane.
    type F: Copy;
    /// One u32 a lane.
    type I: Copy;
    /// A table in registers.
    type Table: Copy;

    unsafe fn zero() -> Self::F;
    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(from: *const f32) -> Self::F;
    /// Numbers in half precision as f32; the caller is compiled for F16C too, which every level here has.
    unsafe fn load_halves(from: *const u16) -> Self::F;
    unsafe fn store(to: *mut f32, x: Self::F);
    /// `a · b + c`
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// Asks for a cache line that will be read soon; any address.
    fn prefetch(from: *const u32);
    /// The sum of all lanes.
    unsafe fn sum(x: Self::F) -> f32;
    /// Lane `i` is `from[at[i]]`; `from` leads to `LANES` values, `at` to `LANES` indices.
    unsafe fn pick(from: *const f32, at: *const u32) -> Self::F;

    unsafe fn load_words(from: *const u32) -> Self::I;
    unsafe fn store_words(to: *mut u32, x: Self::I);
    unsafe fn splat_word(x: u32) -> Self::I;
    unsafe fn and(x: Self::I, mask: u32) -> Self::I;
    unsafe fn or(a: Self::I, b: Self::I) -> Self::I;
    /// Constant counts below 32.
    unsafe fn shr(x: Self::I, count: u32) -> Self::I;
    unsafe fn shl(x: Self::I, count: u32) -> Self::I;
    /// The bits of `a` where `mask` has ones, else those of `b`.
    unsafe fn select(mask: u32, a: Self::I, b: Self::I) -> Self::I;
    /// Vector `w` holds the words `w`, `w + STRIDE`, `w + 2·STRIDE`, …; `from` leads to `STRIDE · LANES` words.
    unsafe fn load_strided<const STRIDE: usize>(from: *const u32) -> [Self::I; 5];
    /// Rows become lanes: word `k` of row `i` goes to `to[k · LANES + i]`, for `LANES` words.
    unsafe fn transpose(rows: &[*const u32; MAX_LANES], to: *mut u32);

    /// Whether `lookup` takes indices with any other bits set.
    const IGNORES_HIGH_BITS: bool;
    /// Bits of the largest table that fits registers.
    const TABLE_BITS: usize;
    unsafe fn table(values: &[f32; 64]) -> Self::Table;
    /// The values at the codes of a quad, byte 0 first. `BITS` is at most `TABLE_BITS`.
    unsafe fn lookup<const BITS: usize>(table: Self::Table, quad: Self::I) -> [Self::F; 4];
    /// The codes of a quad as numbers, byte 0 first.
    unsafe fn convert(quad: Self::I) -> [Self::F; 4];
}

/// What products of bytes ask beyond that.
///
/// # Safety
/// That of `Lanes`.
pub trait Bytes: Lanes {
    /// What `dot` takes from each code of 8 bits, because its first factor is signed.
    const WIDE_SHIFT: f32;

    /// Adds the four products of the bytes of each lane. Codes have at most 6 bits, or 8 if `WIDE`; `x` is −127 to 127.
    unsafe fn dot<const WIDE: bool>(sum: Self::I, codes: Self::I, x: Self::I) -> Self::I;
    /// `table[code]` for each byte of a quad; codes are below 16.
    unsafe fn lookup_bytes(table: Self::I, quad: Self::I) -> Self::I;
    /// For `lookup_bytes`.
    unsafe fn byte_table(values: &[u8; 16]) -> Self::I;
    /// Signed integers as numbers.
    unsafe fn to_float(x: Self::I) -> Self::F;
}
