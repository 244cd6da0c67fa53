//! Tables of 16 values that formats fix once for all weights.

/// NormalFloat-4: quantiles of the normal distribution (QLoRA, Dettmers et al. 2023, appendix E).
pub const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// 4-bit floats with two exponent bits and one of mantissa (E2M1 of the OCP microscaling formats): MXFP4 with scales of
/// E8M0 per 32 weights.
pub const E2M1: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// FP4 as bitsandbytes and ONNX Runtime's `MatMulBnb4` have it: E2M1 in another order, with 6 brought to 1.
pub const FP4: [f32; 16] = [
    0.0,
    0.005_208_333_3,
    0.666_666_7,
    1.0,
    0.333_333_34,
    0.5,
    0.166_666_67,
    0.25,
    0.0,
    -0.005_208_333_3,
    -0.666_666_7,
    -1.0,
    -0.333_333_34,
    -0.5,
    -0.166_666_67,
    -0.25,
];

/// The values of ggml's IQ4_NL, scaled per 32 weights.
pub const IQ4_NL: [f32; 16] =
    [-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0];

/// The names of the tables above.
pub const NAMED: [(&str, &[f32; 16]); 4] = [("nf4", &NF4), ("mxfp4", &E2M1), ("fp4", &FP4), ("iq4_nl", &IQ4_NL)];
