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

/// What products of integers ask beyond that.
///
/// # Safety
/// That of `Vector`.
#[cfg(all(feature = "full", not(target_arch = "aarch64")))]
#[allow(clippy::missing_safety_doc, reason = "said once for all methods")]
pub trait Integers: Vector {
    unsafe fn splat_word(x: i16) -> Self;
    unsafe fn add_words(self, other: Self) -> Self;
    /// Sums of two products of neighbouring 16-bit integers, as 32-bit ones.
    unsafe fn dot_words(self, other: Self) -> Self;
    unsafe fn add_integers(self, other: Self) -> Self;
    /// 32-bit integers as f32.
    unsafe fn to_floats(self) -> Self;
}

/// What products of bytes ask beyond that.
///
/// # Safety
/// That of `Vector`; with `FAST`, the processor has the instruction for it, and the caller is compiled for it.
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::missing_safety_doc, reason = "said once for all methods")]
pub trait ByteVector: Vector {
    /// Exclusive or.
    unsafe fn flip(self, bits: Self) -> Self;
    /// Adds products of four neighbouring bytes each to 32-bit integers. Bytes are signed, those of `other` above −128.
    unsafe fn dot<const FAST: bool>(self, other: Self, sum: Self) -> Self;
    /// The sums of two vectors of 32-bit integers as f32.
    unsafe fn floats(sums: [Self; 2]) -> Self;
}
