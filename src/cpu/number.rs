//! Arithmetic over all dtypes with little code: elements are widened to one of four types, computed there, and stored.
//!
//! f32, f16, bf16 → f32; f64 → f64; u64 → u64; every other integer and bool → i64, where wrapping arithmetic followed by
//! truncation gives the narrow type's result.

use half::{bf16, f16};

use crate::for_dtype;
use crate::tensor::{DType, Element, View};

/// Conversions of one stored element: float → integer saturates (NaN → 0), integer → integer truncates.
pub trait Number: Element {
    fn f32(self) -> f32;
    fn f64(self) -> f64;
    fn i64(self) -> i64;
    fn u64(self) -> u64;
    fn of_f32(v: f32) -> Self;
    fn of_f64(v: f64) -> Self;
    fn of_i64(v: i64) -> Self;
    fn of_u64(v: u64) -> Self;
}

macro_rules! plain_numbers {
    ($($t:ty),*) => { $(impl Number for $t {
        #[inline]
        fn f32(self) -> f32 { self as f32 }
        #[inline]
        fn f64(self) -> f64 { self as f64 }
        #[inline]
        fn i64(self) -> i64 { self as i64 }
        #[inline]
        fn u64(self) -> u64 { self as u64 }
        #[inline]
        fn of_f32(v: f32) -> Self { v as $t }
        #[inline]
        fn of_f64(v: f64) -> Self { v as $t }
        #[inline]
        fn of_i64(v: i64) -> Self { v as $t }
        #[inline]
        fn of_u64(v: u64) -> Self { v as $t }
    })* };
}
plain_numbers!(f32, f64, i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! half_numbers {
    ($($t:ty),*) => { $(impl Number for $t {
        #[inline]
        fn f32(self) -> f32 { self.to_f32() }
        #[inline]
        fn f64(self) -> f64 { self.to_f64() }
        #[inline]
        fn i64(self) -> i64 { self.to_f32() as i64 }
        #[inline]
        fn u64(self) -> u64 { self.to_f32() as u64 }
        #[inline]
        fn of_f32(v: f32) -> Self { <$t>::from_f32(v) }
        #[inline]
        fn of_f64(v: f64) -> Self { <$t>::from_f64(v) }
        #[inline]
        fn of_i64(v: i64) -> Self { <$t>::from_f64(v as f64) }
        #[inline]
        fn of_u64(v: u64) -> Self { <$t>::from_f64(v as f64) }
    })* };
}
half_numbers!(f16, bf16);

/// The four types that arithmetic happens in.
pub trait Wide: Number + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn of<T: Number>(v: T) -> Self;
    fn to<T: Number>(self) -> T;
    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    /// Integers truncate; x / 0 = 0.
    fn div(self, o: Self) -> Self;
    /// Remainder with the sign of the dividend (C's fmod); integer x mod 0 = 0.
    fn fmod(self, o: Self) -> Self;
    /// Remainder with the sign of the divisor (Python's %).
    #[inline]
    fn modulo(self, o: Self) -> Self {
        let r = self.fmod(o);
        if r != Self::ZERO && (r < Self::ZERO) != (o < Self::ZERO) { r.add(o) } else { r }
    }
    fn pow(self, o: Self) -> Self;
    fn abs(self) -> Self;
    /// −1, 0 or 1; NaN stays.
    #[inline]
    fn sign(self) -> Self {
        if self > Self::ZERO {
            Self::ONE
        } else if self < Self::ZERO {
            Self::ZERO.sub(Self::ONE)
        } else {
            self
        }
    }
    /// The larger; NaN if either is.
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn larger(self, o: Self) -> Self {
        if o > self || o != o { o } else { self }
    }
    /// The smaller; NaN if either is.
    #[inline(always)]
    #[allow(clippy::eq_op)]
    fn smaller(self, o: Self) -> Self {
        if o < self || o != o { o } else { self }
    }
}

macro_rules! wide_float {
    ($t:ident, $to:ident, $of:ident) => {
        impl Wide for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = $t::NEG_INFINITY;
            const HIGHEST: Self = $t::INFINITY;
            #[inline]
            fn of<T: Number>(v: T) -> Self {
                v.$to()
            }
            #[inline]
            fn to<T: Number>(self) -> T {
                T::$of(self)
            }
            #[inline]
            fn add(self, o: Self) -> Self {
                self + o
            }
            #[inline]
            fn sub(self, o: Self) -> Self {
                self - o
            }
            #[inline]
            fn mul(self, o: Self) -> Self {
                self * o
            }
            #[inline]
            fn div(self, o: Self) -> Self {
                self / o
            }
            #[inline]
            fn fmod(self, o: Self) -> Self {
                self % o
            }
            #[inline]
            fn pow(self, o: Self) -> Self {
                // Squares and cubes are what normalisations and the tanh GELU are written with.
                match o {
                    2.0 => self * self,
                    3.0 => self * self * self,
                    0.5 => self.sqrt(),
                    _ => self.powf(o),
                }
            }
            #[inline]
            fn abs(self) -> Self {
                $t::abs(self)
            }
        }
    };
}
wide_float!(f32, f32, of_f32);
wide_float!(f64, f64, of_f64);

macro_rules! wide_int {
    ($t:ident, $to:ident, $of:ident, $abs:expr) => {
        impl Wide for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LOWEST: Self = $t::MIN;
            const HIGHEST: Self = $t::MAX;
            #[inline]
            fn of<T: Number>(v: T) -> Self {
                v.$to()
            }
            #[inline]
            fn to<T: Number>(self) -> T {
                T::$of(self)
            }
            #[inline]
            fn add(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            #[inline]
            fn sub(self, o: Self) -> Self {
                self.wrapping_sub(o)
            }
            #[inline]
            fn mul(self, o: Self) -> Self {
                self.wrapping_mul(o)
            }
            #[inline]
            fn div(self, o: Self) -> Self {
                if o == 0 { 0 } else { self.wrapping_div(o) }
            }
            #[inline]
            fn fmod(self, o: Self) -> Self {
                if o == 0 { 0 } else { self.wrapping_rem(o) }
            }
            #[inline]
            fn pow(self, o: Self) -> Self {
                match u32::try_from(o) {
                    Ok(n) => self.wrapping_pow(n),
                    Err(_) => (self as f64).powf(o as f64) as $t,
                }
            }
            #[inline]
            fn abs(self) -> Self {
                $abs(self)
            }
        }
    };
}
wide_int!(i64, i64, of_i64, i64::wrapping_abs);
wide_int!(u64, u64, of_u64, |v| v);

/// Bits of the wide integers.
pub trait Int: Wide {
    fn and(self, o: Self) -> Self;
    fn or(self, o: Self) -> Self;
    fn xor(self, o: Self) -> Self;
    fn not(self) -> Self;
    /// 0 when the distance is the width or more, or negative.
    fn shl(self, o: Self) -> Self;
    /// Arithmetic for signed types: −1 instead when the value is negative.
    fn shr(self, o: Self) -> Self;
}

macro_rules! int {
    ($t:ident) => {
        impl Int for $t {
            #[inline]
            fn and(self, o: Self) -> Self {
                self & o
            }
            #[inline]
            fn or(self, o: Self) -> Self {
                self | o
            }
            #[inline]
            fn xor(self, o: Self) -> Self {
                self ^ o
            }
            #[inline]
            fn not(self) -> Self {
                !self
            }
            #[inline]
            fn shl(self, o: Self) -> Self {
                u32::try_from(o).ok().and_then(|o| self.checked_shl(o)).unwrap_or(0)
            }
            #[inline]
            fn shr(self, o: Self) -> Self {
                u32::try_from(o).ok().and_then(|o| self.checked_shr(o)).unwrap_or(if self < Self::ZERO {
                    !0
                } else {
                    0
                })
            }
        }
    };
}
int!(i64);
int!(u64);

/// Runs `$body` with `$w` bound to the wide type of `$dtype`.
#[macro_export]
macro_rules! for_wide {
    ($dtype:expr, $w:ident => $body:expr) => {
        match $dtype {
            $crate::tensor::DType::F32 | $crate::tensor::DType::F16 | $crate::tensor::DType::BF16 => {
                type $w = f32;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::F64 => {
                type $w = f64;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::U64 => {
                type $w = u64;
                $body
            }
            _ => {
                type $w = i64;
                $body
            }
        }
    };
}

/// Like `for_wide!` for the float dtypes; anything else becomes f32.
#[macro_export]
macro_rules! for_float {
    ($dtype:expr, $w:ident => $body:expr) => {
        match $dtype {
            #[cfg(feature = "full")]
            $crate::tensor::DType::F64 => {
                type $w = f64;
                $body
            }
            _ => {
                type $w = f32;
                $body
            }
        }
    };
}

/// Widens elements `offset .. offset + out.len()` of `view`.
pub fn load<W: Wide>(view: &View, offset: usize, out: &mut [W]) {
    for_dtype!(view.dtype, T => {
        let x: &[T] = bytemuck::cast_slice(view.bytes);
        for (o, &v) in out.iter_mut().zip(&x[offset..]) {
            *o = W::of(v);
        }
    })
}

/// Narrows `values` into the bytes of a tensor of `dtype`.
pub fn store<W: Wide>(values: &[W], dtype: DType, bytes: &mut [u8]) {
    for_dtype!(dtype, T => {
        let out: &mut [T] = bytemuck::cast_slice_mut(bytes);
        for (o, &v) in out.iter_mut().zip(values) {
            *o = v.to();
        }
    })
}

/// All elements as `W`: borrowed when they are stored so.
pub fn widened<'a, W: Wide>(view: &View<'a>) -> std::borrow::Cow<'a, [W]> {
    if view.dtype == W::DTYPE {
        return bytemuck::cast_slice(view.bytes).into();
    }
    let mut out = vec![W::ZERO; view.len()];
    load(view, 0, &mut out);
    out.into()
}

/// Lets `write` fill the elements of a tensor of `dtype` as `W`: in place when they are stored so.
pub fn write_as<W: Wide>(dtype: DType, bytes: &mut [u8], write: impl FnOnce(&mut [W])) {
    if dtype == W::DTYPE {
        return write(bytemuck::cast_slice_mut(bytes));
    }
    let mut wide = vec![W::ZERO; bytes.len() / dtype.size()];
    write(&mut wide);
    store(&wide, dtype, bytes);
}
