//! Exponential and friends as polynomials without branches, which the compiler turns into vector code.
//! Relative error below 4·10⁻⁷ unless said otherwise.

use super::fma;

/// `eˣ`: 2ⁿ · p(r) with x = n·ln 2 + r, |r| ≤ ln 2 / 2 (Cephes' reduction and polynomial). 0 below −87.3, infinite above 88.7; NaN stays.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let tiny = x < -87.336;
    let x = if tiny { 0.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FMA>(n, -LN2_LOW, fma::<FMA>(n, -LN2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = fma::<FMA>(p, r, c);
    }
    let p = fma::<FMA>(p * r, r, r) + 1.0;
    // 2ⁿ in two factors, so that n = 128 does not overflow on the way.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    if tiny { 0.0 } else { p * power(half) * power(n - half) }
}

#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Error function: x·p(x²)/q(x²) on |x| ≤ 4, ±1 beyond (a minimax fit of degree 13/8). Absolute error below 4·10⁻⁷.
#[inline(always)]
pub fn erf<const FMA: bool>(x: f32) -> f32 {
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let s = x * x;
    let mut p = -2.726_142e-10;
    for c in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2] {
        p = fma::<FMA>(p, s, c);
    }
    let mut q = -1.456_607_2e-5;
    for c in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_473_9e-2] {
        q = fma::<FMA>(q, s, c);
    }
    x * p / q
}

#[inline(always)]
pub fn gelu<const FMA: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// x·p(x²)/q(x²) on |x| ≤ 7.9, ±1 beyond (a minimax fit of degree 13/6).
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    let x = if x < -7.905_311 { -7.905_311 } else { x };
    let x = if x > 7.905_311 { 7.905_311 } else { x };
    let s = x * x;
    let mut p = -2.760_768_5e-16;
    for c in [2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_525e-3] {
        p = fma::<FMA>(p, s, c);
    }
    let mut q = 1.198_258_4e-6;
    for c in [1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3] {
        q = fma::<FMA>(q, s, c);
    }
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_close_to_the_exact_ones() {
        for i in -20_000..=20_000 {
            let x = i as f32 * 0.005;
            let wide = f64::from(x);
            if x > -87.0 && x < 88.0 {
                for y in [exp::<true>(x), exp::<false>(x)] {
                    assert!((f64::from(y) / wide.exp() - 1.0).abs() < 4e-7, "exp {x}: {y}");
                }
            }
            assert!((f64::from(sigmoid::<false>(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 3e-7, "sigmoid {x}");
            let y = f64::from(tanh::<false>(x));
            assert!((y - wide.tanh()).abs() <= 5e-7 * wide.tanh().abs(), "tanh {x}: {y}");
        }
        // Values of the error function to 9 digits (Abramowitz & Stegun, table 7.1).
        for (x, y) in [(0.0, 0.0), (0.5, 0.520_499_878), (1.0, 0.842_700_793), (2.0, 0.995_322_265), (5.0, 1.0)] {
            assert!((f64::from(erf::<false>(x)) - y).abs() < 4e-7, "erf {x}");
            assert!((f64::from(erf::<true>(-x)) + y).abs() < 4e-7, "erf -{x}");
        }
        assert_eq!(exp::<false>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<false>(f32::INFINITY), f32::INFINITY);
        for f in [exp::<false>, sigmoid::<false>, tanh::<false>, erf::<false>] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
