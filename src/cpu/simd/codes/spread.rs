//! Codes of any width as bytes, in the order of the stream.

use super::super::unroll::unroll;
use super::vector::Vector;

/// Codes that are spread at once; they take a whole number of words.
pub const STEP: usize = 32;
/// Bytes that are read for them.
pub const REACH: usize = 32;

/// Where codes of a width lie in the bytes of eight of them.
pub struct Layout {
    bits: u32,
    /// The byte in which each code begins and the one behind it, for 16 codes.
    index: [[u8; 16]; 2],
    /// What moves the code to the second of these two.
    factors: [u16; 8],
    /// The bits of a code in every byte.
    mask: [u8; 16],
}

impl Layout {
    /// `bits`: 1 to 8.
    pub fn new(bits: usize) -> Layout {
        let byte = |half: usize, i: usize| (half * bits + i / 2 * bits / 8 + i % 2) as u8;
        Layout {
            bits: bits as u32,
            index: std::array::from_fn(|half| std::array::from_fn(|i| byte(half, i))),
            factors: std::array::from_fn(|i| 1 << (8 - i * bits % 8)),
            mask: [(0xff >> (8 - bits)) as u8; 16],
        }
    }

    #[cfg(any(feature = "full", not(target_arch = "wasm32")))]
    pub fn bits(&self) -> usize {
        self.bits as usize
    }

    /// Bytes of a step.
    pub fn step_bytes(&self) -> usize {
        STEP * self.bits as usize / 8
    }
}

/// A layout in registers.
#[derive(Clone, Copy)]
pub struct Spread<V: Vector> {
    bits: u32,
    index: [V; 2],
    factors: V,
    mask: V,
}

impl<V: Vector> Spread<V> {
    /// # Safety
    /// That of `Vector`.
    #[inline(always)]
    pub unsafe fn new(layout: &Layout) -> Self {
        // SAFETY: the caller's; all arrays have 16 bytes.
        unsafe {
            Spread {
                bits: layout.bits,
                index: [V::load(layout.index[0].as_ptr()), V::load(layout.index[1].as_ptr())],
                factors: V::load(layout.factors.as_ptr().cast()),
                mask: V::load(layout.mask.as_ptr()),
            }
        }
    }

    /// The next `STEP` codes.
    ///
    /// # Safety
    /// That of `Vector`, with `REACH` bytes at `from`.
    #[inline(always)]
    pub unsafe fn codes(&self, from: *const u8) -> [V; 2] {
        // SAFETY: the caller's; the second half begins 16 bytes behind the first at most.
        unsafe {
            if self.bits == 4 {
                // The usual width, by its own short way: the even codes, and the odd ones.
                let both = V::load(from);
                return both.and(self.mask).zip_bytes(both.shift(4).and(self.mask));
            }
            let mut all = [self.index[0]; 2];
            unroll!(half in 2 => {
                let bytes = V::load(from.add(half * 2 * self.bits as usize));
                let first = bytes.lookup(self.index[0]).multiply(self.factors);
                let second = bytes.lookup(self.index[1]).multiply(self.factors);
                all[half] = first.upper_bytes(second).and(self.mask);
            });
            all
        }
    }

    /// The next `STEP` codes; those of 4 bits with the even ones before the odd ones.
    ///
    /// # Safety
    /// That of `codes`.
    #[cfg(all(feature = "full", not(target_arch = "aarch64")))]
    #[inline(always)]
    pub unsafe fn codes_apart(&self, from: *const u8) -> [V; 2] {
        // SAFETY: the caller's.
        unsafe {
            match self.bits {
                4 => {
                    let both = V::load(from);
                    [both.and(self.mask), both.shift(4).and(self.mask)]
                }
                8 => [V::load(from), V::load(from.add(16))],
                _ => self.codes(from),
            }
        }
    }
}
