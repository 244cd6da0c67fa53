// Activations that kernels apply to a value before storing it. `kind` is an override, so the switch folds away.

import package::shared::math::{erf_exact, tanh_exact};

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

/// `a`, `b`: bounds of CLIP; alpha and beta of the hard forms.
fn activate(kind: u32, x: f32, a: f32, b: f32) -> f32 {
    switch kind {
        case RELU: { return max(x, 0.0); }
        case CLIP: { return min(max(x, a), b); }
        case SIGMOID: { return 1.0 / (1.0 + exp(-x)); }
        case SILU: { return x / (1.0 + exp(-x)); }
        case HARD_SIGMOID: { return clamp(a * x + b, 0.0, 1.0); }
        case HARD_SWISH: { return x * clamp(a * x + b, 0.0, 1.0); }
        case GELU: { return 0.5 * x * (1.0 + erf_exact(x * 0.70710678)); }
        case TANH: { return tanh_exact(x); }
        case GELU_TANH: { return 0.5 * x * (1.0 + tanh_exact(0.79788456 * (x + 0.044715 * x * x * x))); }
        default: { return x; }
    }
}
