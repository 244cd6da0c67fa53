// Decode stage of integers with two levels of scales: codes of BITS bits, byte scales (and minima) per group of 16 or 32,
// f16 factors per 256 columns. Parts lie column by column (bits.wgsl): four scales to a word, or two pairs (scale,
// minimum); two factors to a word, or one pair (d, dmin). form = (rows, -, -, -).

import package::shared::bits::BITS;
import package::shared::eight::{Eight, Inputs};
import package::shared::integers::{placed, scaled_inputs, scaled_weights};

@group(0) @binding(11) var<storage, read> scales: array<u32>;
@group(0) @binding(12) var<storage, read> supers: array<u32>;

/// Groups have minima; else scales are stored 2^(SCALE_BITS − 1) and codes 2^(BITS − 1) too high.
override MINIMA: bool = false;
override SCALE_BITS: u32 = 6u;
/// Groups have 2^GROUP_SHIFT weights.
override GROUP_SHIFT: u32 = 5u;

fn span(form: vec4u, row: u32, col: u32) -> vec2f {
    let group = col >> GROUP_SHIFT;
    let block = col / 256u;
    if MINIMA {
        let pair = scales[group / 2u * form.x + row] >> (16u * (group % 2u));
        let d = unpack2x16float(supers[block * form.x + row]);
        return vec2f(d.x * f32(pair & 255u), -d.y * f32((pair >> 8u) & 255u));
    }
    let stored = (scales[group / 4u * form.x + row] >> (8u * (group % 4u))) & 255u;
    let d = unpack2x16float(supers[block / 2u * form.x + row]);
    let scale = select(d.x, d.y, block % 2u == 1u) * (f32(stored) - f32(1u << (SCALE_BITS - 1u)));
    return vec2f(scale, -f32(1u << (BITS - 1u)) * scale);
}

fn raw8(form: vec4u, row: u32, col: u32) -> Eight {
    return placed(form, row, col);
}

fn weights8(raw: Eight, p: vec2f) -> Eight {
    return scaled_weights(raw, p);
}

fn inputs8(x: Eight) -> Inputs {
    return scaled_inputs(x);
}
