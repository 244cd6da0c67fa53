//! The operations.

/// Vectors of 16 bytes, read as bytes, as 16-bit integers or as f32.
///
/// # Safety
/// All methods: the processor has the instruction set, and pointers lead to 16 bytes.
#[allow(clippy::missing_safety_doc, reason = "said once for all methods")]
pub trait Vector: Copy {
    unsafe fn load(from: *const u8) -> Self;
    unsafe fn store(self, to: *mut u8);
    unsafe fn splat_bytes(x: u8) -> Self;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    /// Byte `i` is `self[index[i]]`, or 0 where an index is above 15.
    unsafe fn lookup(self, index: Self) -> Self;
    /// Bytes or 16-bit integers of both in turn: `self[0], other[0], self[1], …`.
    unsafe fn zip_bytes(self, other: Self) -> [Self; 2];
    unsafe fn zip_words(self, other: Self) -> [Self; 2];
    /// 16-bit integers: the low half of the product.
    unsafe fn multiply(self, other: Self) -> Self;
    /// 16-bit integers, to the right by `count` below 16.
    unsafe fn shift(self, count: u32) -> Self;
    /// The upper bytes of the 16-bit integers of both.
    unsafe fn upper_bytes(self, other: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    /// `self · other + sum`
    unsafe fn multiply_add(self, other: Self, sum: Self) -> Self;
    /// Of four f32.
    unsafe fn sum(self) -> f32;
}
