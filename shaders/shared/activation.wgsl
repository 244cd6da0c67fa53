// Activations that kernels apply to a value before storing it. `kind` is an override, so the switch folds away.

const NONE = 0u;
const RELU = 1u;
const CLIP = 2u;
const SIGMOID = 3u;
const SILU = 4u;
const HARD_SIGMOID = 5u;
const HARD_SWISH = 6u;
const GELU = 7u;
const TANH = 8u;
const GELU_TANH = 9u;

/// erf by the rational approximation 7.1.26 of Abramowitz & Stegun; absolute error below 1.5e-7.
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - p * exp(-x * x));
}

/// `a`, `b`: bounds of CLIP; alpha and beta of the hard forms.
fn activate(kind: u32, x: f32, a: f32, b: f32) -> f32 {
    switch kind {
        case RELU: { return max(x, 0.0); }
        case CLIP: { return min(max(x, a), b); }
        case SIGMOID: { return 1.0 / (1.0 + exp(-x)); }
        case SILU: { return x / (1.0 + exp(-x)); }
        case HARD_SIGMOID: { return clamp(a * x + b, 0.0, 1.0); }
        case HARD_SWISH: { return x * clamp(a * x + b, 0.0, 1.0); }
        case GELU: { return 0.5 * x * (1.0 + erf(x * 0.70710678)); }
        // Beyond ±10 tanh is ±1 in f32, and some drivers' exp-based forms overflow.
        case TANH: { return tanh(clamp(x, -10.0, 10.0)); }
        case GELU_TANH: { return 0.5 * x * (1.0 + tanh(clamp(0.79788456 * (x + 0.044715 * x * x * x), -10.0, 10.0))); }
        default: { return x; }
    }
}
