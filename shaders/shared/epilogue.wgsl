// What a product does to its sum before it stores it. The overrides fold the branches away.

import package::shared::activation::activate;

/// Number of the activation (see activation.wgsl).
override ACTIVATION: u32 = 0u;
/// 0: no residual; 1: added before the activation; 2: added after it.
override RESIDUAL: u32 = 0u;

fn finish(sum: f32, residual: f32, a: f32, b: f32) -> f32 {
    if RESIDUAL == 1u { return activate(ACTIVATION, sum + residual, a, b); }
    let y = activate(ACTIVATION, sum, a, b);
    if RESIDUAL == 2u { return y + residual; }
    return y;
}
