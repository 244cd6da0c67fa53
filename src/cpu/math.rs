//! The functions that float operators are written in, for the two types that compute them.

use super::number::Wide;
use super::simd::{NATIVE_FMA, math};

/// The functions every float operator is written in.
pub trait Real: Wide {
    /// A literal.
    fn c(v: f64) -> Self;
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    fn sqrt(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    /// 1 / (1 + e⁻ˣ)
    fn sigmoid(self) -> Self {
        Self::ONE.div(Self::ONE.add(Self::ZERO.sub(self).exp()))
    }
}

impl Real for f32 {
    #[inline(always)]
    fn c(v: f64) -> f32 {
        v as f32
    }

    #[inline(always)]
    fn exp(self) -> f32 {
        math::exp::<NATIVE_FMA>(self)
    }

    #[inline(always)]
    fn tanh(self) -> f32 {
        math::tanh::<NATIVE_FMA>(self)
    }

    #[inline(always)]
    fn erf(self) -> f32 {
        math::erf::<NATIVE_FMA>(self)
    }

    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }

    fn ln(self) -> f32 {
        f32::ln(self)
    }

    fn ln_1p(self) -> f32 {
        f32::ln_1p(self)
    }
}

impl Real for f64 {
    fn c(v: f64) -> f64 {
        v
    }

    fn exp(self) -> f64 {
        f64::exp(self)
    }

    fn tanh(self) -> f64 {
        f64::tanh(self)
    }

    /// The series for small |x|, the continued fraction of erfc for large (Abramowitz & Stegun 7.1.6 and 7.1.14).
    fn erf(self) -> f64 {
        let a = f64::abs(self);
        if a.is_nan() || a == 0.0 {
            return self;
        }
        let scale = std::f64::consts::FRAC_2_SQRT_PI * f64::exp(-a * a);
        let value = if a < 2.5 {
            let (mut term, mut sum, mut n) = (a, a, 0.5);
            while term > sum * 1e-17 {
                n += 1.0;
                term *= a * a / n;
                sum += term;
            }
            scale * sum
        } else {
            let fraction = (1..60).rev().fold(a, |f, k| a + 0.5 * f64::from(k) / f);
            1.0 - 0.5 * scale / fraction
        };
        value.copysign(self)
    }

    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }

    fn ln(self) -> f64 {
        f64::ln(self)
    }

    fn ln_1p(self) -> f64 {
        f64::ln_1p(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_of_f64_meets_its_tables() {
        for (x, want) in
            [(0.5, 0.520_499_877_813_046_5), (2.0, 0.995_322_265_018_952_7), (3.0, 0.999_977_909_503_001_4)]
        {
            assert!((Real::erf(x) - want).abs() < 1e-14, "{x}");
        }
    }
}
