//! Elementary functions as straight-line code that vectorises. Relative error of the f32 forms ≤ 3e-7 against f64
//! (tested below); polynomials are Chebyshev fits on the stated intervals.

use super::number::Wide;

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

    /// eˣ = 2ⁿ · eʳ with n = round(x / ln 2), |r| ≤ ln 2 / 2.
    #[inline(always)]
    fn exp(self) -> f32 {
        // Beyond these the result is inf and 0 anyway; comparisons keep NaN.
        let x = if self > 89.0 { 89.0 } else { self };
        let x = if x < -104.0 { -104.0 } else { x };
        // Adding 1.5 · 2²³ rounds to an integer and leaves it in the low bits.
        const MAGIC: f32 = 12_582_912.0;
        let shifted = x * std::f32::consts::LOG2_E + MAGIC;
        let n = shifted - MAGIC;
        let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
        let p = ((((0.001_394_98 * r + 0.008_375_97) * r + 0.041_666_2) * r + 0.166_664_05) * r + 0.5) * r;
        let p = (p + 1.0) * r + 1.0;
        // 2ⁿ in two factors, so that denormal results and n = 128 come out right.
        let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
        let half = n >> 1;
        let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
        p * power(half) * power(n.wrapping_sub(half))
    }

    #[inline(always)]
    fn tanh(self) -> f32 {
        let a = f32::abs(self);
        let z = self * self;
        // |x| ≤ 0.625
        let p = (((-0.006_104_95 * z + 0.021_003_64) * z - 0.053_852_5) * z + 0.133_327_82) * z - 0.333_333_3;
        let small = self * (1.0 + z * p);
        let large = (1.0 - 2.0 / (Real::exp(2.0 * a) + 1.0)).copysign(self);
        if a <= 0.625 { small } else { large }
    }

    #[inline(always)]
    fn erf(self) -> f32 {
        let a = f32::abs(self);
        let z = self * self;
        // |x| ≤ 1: erf(x) / x in x²
        let p = ((((7.882_497e-5 * z - 8.018_855e-4) * z + 5.189_312e-3) * z - 2.685_433e-2) * z + 0.112_835_98) * z;
        let small = ((p - 0.376_126_27) * z + 1.128_379_2) * self;
        // 1 ≤ |x| ≤ 4: −ln erfc(x); beyond 4 erf is 1 in f32
        let a4 = if a > 4.0 { 4.0 } else { a };
        let q = ((((1.330_939e-5 * a4 - 3.175_720_3e-4) * a4 + 3.436_867_6e-3) * a4 - 2.262_198_6e-2) * a4
            + 0.103_318_98)
            * a4;
        let q = ((q + 0.639_093_3) * a4 + 1.125_926) * a4 + 7.569_686_3e-4;
        let large = (1.0 - Real::exp(-q)).copysign(self);
        if a <= 1.0 { small } else { large }
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

    fn worst(name: &str, from: f64, to: f64, f: fn(f32) -> f32, g: fn(f64) -> f64, limit: f64) {
        for i in 0..=200_000 {
            let x = (from + (to - from) * f64::from(i) / 200_000.0) as f32;
            let (got, want) = (f64::from(f(x)), g(f64::from(x)));
            let error = (got - want).abs() / want.abs().max(1e-37);
            assert!(error <= limit, "{name}({x}) = {got}, not {want}: error {error:e}");
        }
    }

    #[test]
    fn f32_functions_agree_with_f64() {
        worst("exp", -87.0, 88.7, Real::exp, f64::exp, 3e-7);
        worst("tanh", -12.0, 12.0, Real::tanh, f64::tanh, 3e-7);
        worst("erf", -5.0, 5.0, Real::erf, Real::erf, 3e-7);
        worst("sigmoid", -80.0, 80.0, Real::sigmoid, |x| 1.0 / (1.0 + f64::exp(-x)), 5e-7);
    }

    #[test]
    fn erf_of_f64_meets_its_tables() {
        for (x, want) in
            [(0.5, 0.520_499_877_813_046_5), (2.0, 0.995_322_265_018_952_7), (3.0, 0.999_977_909_503_001_4)]
        {
            assert!((Real::erf(x) - want as f64).abs() < 1e-14, "{x}");
        }
    }

    #[test]
    fn edges() {
        let e: fn(f32) -> f32 = Real::exp;
        assert_eq!(
            (e(0.0), e(200.0), e(-200.0), e(f32::INFINITY), e(f32::NEG_INFINITY)),
            (1.0, f32::INFINITY, 0.0, f32::INFINITY, 0.0)
        );
        assert!((e(-100.0) - 3.78e-44).abs() < 3e-45);
        assert!(e(f32::NAN).is_nan() && Real::tanh(f32::NAN).is_nan() && Real::erf(f32::NAN).is_nan());
        assert_eq!((Real::tanh(-0.0f32).to_bits(), Real::erf(-50.0f32)), ((-0.0f32).to_bits(), -1.0));
    }
}
