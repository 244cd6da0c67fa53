//! ggml's types: their numbers, the size of a block, and how it becomes one of our encodings.
//!
//! Layouts are those of ggml's public headers (`ggml-common.h`), and of the numpy package `gguf`, against which they are
//! tested.

use super::{grids, simple, supers};
use crate::tensor::DType;
use crate::weights::tables::{E2M1, IQ4_NL};

pub struct Kind {
    pub number: u32,
    pub name: &'static str,
    /// Weights of a block, neighbours along a row.
    pub block: usize,
    /// Bytes of a block.
    pub bytes: usize,
    pub form: Form,
}

/// Writes the codes of a block, one a byte.
pub type Codes = fn(block: &[u8], codes: &mut [u8]);

/// Where a block's factors lie. Numbers are bytes from its beginning.
pub enum Form {
    Dense(DType),
    /// f16 scale at `scale`.
    Affine {
        bits: u32,
        scale: usize,
        zero: Zero,
        codes: Codes,
    },
    /// 4-bit indices into a table, a scale for each `group` weights.
    Palette {
        table: &'static [f32; 16],
        group: usize,
        scales: Scales,
        codes: Codes,
    },
    /// f16 d (and dmin) at `supers`; `scales` writes the few-bit ones, one a byte, with dmin as pairs (scale, min).
    KQuant {
        bits: usize,
        group: usize,
        scale_bits: usize,
        supers: &'static [usize],
        scales: Codes,
        codes: Codes,
    },
}

pub enum Zero {
    Middle,
    Code(u8),
    /// f16 that is added.
    Offset(usize),
}

pub enum Scales {
    Half(usize),
    Power(usize),
    /// Computes one f32 for each group.
    Computed(fn(block: &[u8], scales: &mut [f32])),
}

pub fn find(number: u32) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.number == number)
}

const fn kind(number: u32, name: &'static str, block: usize, bytes: usize, form: Form) -> Kind {
    Kind { number, name, block, bytes, form }
}

const fn dense(number: u32, name: &'static str, bytes: usize, dtype: DType) -> Kind {
    kind(number, name, 1, bytes, Form::Dense(dtype))
}

const fn affine(
    number: u32,
    name: &'static str,
    [block, bytes]: [usize; 2],
    bits: u32,
    scale: usize,
    zero: Zero,
    codes: Codes,
) -> Kind {
    kind(number, name, block, bytes, Form::Affine { bits, scale, zero, codes })
}

const fn palette(
    number: u32,
    name: &'static str,
    [block, bytes]: [usize; 2],
    table: &'static [f32; 16],
    group: usize,
    scales: Scales,
    codes: Codes,
) -> Kind {
    kind(number, name, block, bytes, Form::Palette { table, group, scales, codes })
}

const fn kquant(
    number: u32,
    name: &'static str,
    bytes: usize,
    [bits, group, scale_bits]: [usize; 3],
    supers: &'static [usize],
    scales: Codes,
    codes: Codes,
) -> Kind {
    kind(
        number,
        name,
        crate::weights::kquant::SUPER,
        bytes,
        Form::KQuant { bits, group, scale_bits, supers, scales, codes },
    )
}

const fn grid(
    number: u32,
    name: &'static str,
    bytes: usize,
    table: &'static [f32; 16],
    group: usize,
    scales: fn(block: &[u8], scales: &mut [f32]),
    codes: Codes,
) -> Kind {
    palette(number, name, [256, bytes], table, group, Scales::Computed(scales), codes)
}

static KINDS: [Kind; 31] = [
    dense(0, "F32", 4, DType::F32),
    dense(1, "F16", 2, DType::F16),
    dense(24, "I8", 1, DType::I8),
    dense(25, "I16", 2, DType::I16),
    dense(26, "I32", 4, DType::I32),
    dense(27, "I64", 8, DType::I64),
    dense(28, "F64", 8, DType::F64),
    dense(30, "BF16", 2, DType::BF16),
    affine(2, "Q4_0", [32, 18], 4, 0, Zero::Middle, simple::q4_0),
    affine(3, "Q4_1", [32, 20], 4, 0, Zero::Offset(2), simple::q4_1),
    affine(6, "Q5_0", [32, 22], 5, 0, Zero::Middle, simple::q5_0),
    affine(7, "Q5_1", [32, 24], 5, 0, Zero::Offset(2), simple::q5_1),
    affine(8, "Q8_0", [32, 34], 8, 0, Zero::Middle, simple::q8_0),
    affine(34, "TQ1_0", [256, 54], 2, 52, Zero::Code(1), simple::tq1_0),
    affine(35, "TQ2_0", [256, 66], 2, 64, Zero::Code(1), simple::tq2_0),
    palette(20, "IQ4_NL", [32, 18], &IQ4_NL, 32, Scales::Half(0), simple::q4_0),
    palette(39, "MXFP4", [32, 17], &E2M1, 32, Scales::Power(0), simple::mxfp4),
    palette(40, "NVFP4", [64, 36], &E2M1, 16, Scales::Computed(simple::nvfp4_scales), simple::nvfp4),
    palette(23, "IQ4_XS", [256, 136], &IQ4_NL, 32, Scales::Computed(supers::iq4_xs_scales), supers::iq4_xs),
    kquant(10, "Q2_K", 84, [2, 16, 4], &[80, 82], supers::q2_scales, supers::q2),
    kquant(11, "Q3_K", 110, [3, 16, 6], &[108], supers::q3_scales, supers::q3),
    kquant(12, "Q4_K", 144, [4, 32, 6], &[0, 2], supers::q4_scales, supers::q4),
    kquant(13, "Q5_K", 176, [5, 32, 6], &[0, 2], supers::q4_scales, supers::q5),
    kquant(14, "Q6_K", 210, [6, 16, 8], &[208], supers::q6_scales, supers::q6),
    grid(16, "IQ2_XXS", 66, &grids::IQ2_VALUES, 32, grids::iq2_xxs_scales, grids::iq2_xxs),
    grid(17, "IQ2_XS", 74, &grids::IQ2_VALUES, 16, grids::iq2_xs_scales, grids::iq2_xs),
    grid(18, "IQ3_XXS", 98, &grids::IQ3_XXS_VALUES, 32, grids::iq3_xxs_scales, grids::iq3_xxs),
    grid(19, "IQ1_S", 50, &grids::IQ1_VALUES, 32, grids::iq1_s_scales, grids::iq1_s),
    grid(21, "IQ3_S", 110, &grids::IQ3_S_VALUES, 32, grids::iq3_s_scales, grids::iq3_s),
    grid(22, "IQ2_S", 82, &grids::IQ2_VALUES, 16, grids::iq2_s_scales, grids::iq2_s),
    grid(29, "IQ1_M", 56, &grids::IQ1_VALUES, 16, grids::iq1_m_scales, grids::iq1_m),
];
