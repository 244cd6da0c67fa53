// Elementary functions with the accuracy that WGSL leaves open, and tests that fast-math compilers cannot remove.

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

/// Not a number. A variable, because WGSL refuses a NaN constant.
fn nan() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

/// tanh with a relative error of about 1e-6: a polynomial near 0, where the exponential form cancels.
fn tanh_exact(x: f32) -> f32 {
    let a = min(abs(x), 10.0);
    if a <= 0.625 {
        let z = x * x;
        let p = (((-0.00610495 * z + 0.02100364) * z - 0.0538525) * z + 0.13332782) * z - 0.3333333;
        return x * (1.0 + z * p);
    }
    let t = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    return select(t, -t, x < 0.0);
}

/// erf with a relative error of about 1e-6: in x² up to 1, −ln erfc from 1 to 4; beyond 4 it is 1 in f32.
fn erf_exact(x: f32) -> f32 {
    let a = min(abs(x), 4.0);
    if a <= 1.0 {
        let z = x * x;
        let p = ((((7.882497e-5 * z - 8.018855e-4) * z + 5.189312e-3) * z - 2.685433e-2) * z + 0.11283598) * z;
        return ((p - 0.37612627) * z + 1.1283792) * x;
    }
    let q = ((((1.330939e-5 * a - 3.1757203e-4) * a + 3.4368676e-3) * a - 2.2621986e-2) * a + 0.10331898) * a;
    let t = 1.0 - exp(-(((q + 0.6390933) * a + 1.125926) * a + 7.5696863e-4));
    return select(t, -t, x < 0.0);
}

/// sin(x + quarter · π/2): x less a multiple of π/2 in three parts (Cody & Waite), then the series on |r| ≤ π/4. Absolute
/// error about 1e-6 up to |x| of some thousands.
fn sine(x: f32, quarter: i32) -> f32 {
    let n = round(x * 0.63661977);
    let r = ((x - n * 1.5703125) - n * 4.83751297e-4) - n * 7.54978995e-8;
    let z = r * r;
    let odd = r * (1.0 + z * (-0.16666667 + z * (8.3333333e-3 + z * (-1.9841270e-4 + z * 2.7557319e-6))));
    let even = 1.0 + z * (-0.5 + z * (4.1666667e-2 + z * (-1.3888889e-3 + z * 2.4801587e-5)));
    let turn = (i32(n) + quarter) & 3;
    let value = select(odd, even, (turn & 1) == 1);
    return select(value, -value, turn > 1);
}

/// ln(1 + e) for e ≥ 0, accurate for small e.
fn log_1p(e: f32) -> f32 {
    return select(log(1.0 + e), e * (1.0 - e * (0.5 - e * 0.33333333)), e < 1e-3);
}

/// xʸ with C's rules for negative and zero bases, which WGSL leaves undefined.
fn pow_exact(x: f32, y: f32) -> f32 {
    if y == 2.0 { return x * x; }
    if y == 3.0 { return x * x * x; }
    if y == 1.0 { return x; }
    if y == 0.0 { return 1.0; }
    let a = abs(x);
    let whole = trunc(y) == y;
    let odd = whole && abs(y) < 16777216.0 && (i32(y) & 1) != 0;
    var r = exp2(y * log2(a));
    if a == 0.0 {
        r = select(1.0 / a, 0.0, y > 0.0);
    }
    if x < 0.0 {
        if !whole { return nan(); }
        if odd { return -r; }
    }
    return r;
}
