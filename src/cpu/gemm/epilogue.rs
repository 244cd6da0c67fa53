//! What happens to a tile of sums on its way into the output: scale, bias, residual and activation.

use crate::cpu::simd::math;
use crate::cpu::simd::tile::{Lanes, MAX_COLS, MAX_ROWS, Output, multiply, multiply_into};
use crate::cpu::simd::{Level, multiversion};
use crate::ops::epilogue::{Activation, Residual};

/// A vector added to every column, or to every row, of the product.
#[derive(Clone, Copy, Debug, Default)]
pub enum Bias<'a> {
    #[default]
    None,
    /// One value per row: a convolution's output channel.
    PerRow(&'a [f32]),
    /// One value per column: a linear layer's output feature.
    PerColumn(&'a [f32]),
}

/// `activation(scale · product + bias + residual)`, or the residual after the activation.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    pub scale: f32,
    pub bias: Bias<'a>,
    /// Laid out like the output.
    pub residual: Option<&'a [f32]>,
    pub order: Residual,
    pub activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// That of output channels `channel .. channel + channels`, whose outputs start at `start`.
    pub fn of_plane(&self, channel: usize, channels: usize, start: usize, len: usize) -> Epilogue<'a> {
        let bias = match self.bias {
            Bias::PerRow(bias) => Bias::PerRow(&bias[channel..][..channels]),
            other => other,
        };
        Epilogue { bias, residual: self.residual.map(|r| &r[start..][..len]), ..*self }
    }

    /// The range to which an epilogue without further arithmetic limits its values; `None` for the others.
    #[inline(always)]
    pub fn range(&self) -> Option<(f32, f32)> {
        match self.activation {
            _ if self.scale != 1.0 => None,
            Activation::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Activation::Relu => Some((0.0, f32::INFINITY)),
            Activation::Clip { min, max } => Some((min, max)),
            _ => None,
        }
    }
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        Epilogue { scale: 1.0, bias: Bias::None, residual: None, order: Residual::Before, activation: Activation::None }
    }
}

/// Where a tile lies in the output: `rows × cols` from (`row`, `col`), the output being `width` columns wide.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub row: usize,
    pub col: usize,
    pub cols: usize,
    pub width: usize,
}

/// Computes a tile and stores it (`store` says how): straight from the registers, if all that follows the sums is a
/// bias per column and a range.
pub fn tile(
    level: Level,
    a: Lanes,
    b: &[f32],
    out: &mut [&mut [f32]],
    skip: usize,
    place: Place,
    add: bool,
    last: Option<&Epilogue>,
) {
    let (cols, nr) = (place.cols, level.tile_cols());
    let direct = last.and_then(|epilogue| {
        let bias = match epilogue.bias {
            Bias::None => Some(&[][..]),
            Bias::PerColumn(bias) => bias[place.col..].get(..cols),
            Bias::PerRow(_) => None,
        };
        bias.zip(epilogue.range().filter(|_| epilogue.residual.is_none()))
    });
    if let (Some((bias, range)), false, true) = (direct, add, cols == nr || 2 * cols == nr) {
        return multiply_into(level, cols, a, b, Output { rows: out, skip, bias, range });
    }
    let mut sums = [0f32; MAX_ROWS * MAX_COLS];
    multiply(level, out.len(), cols, a, b, &mut sums);
    store(level, &sums, nr, out, skip, place, add, last);
}

multiversion! {
    /// Stores the sums of a tile with `stride` columns. `out`: its rows, from its first column on. `add`: the output
    /// holds the sums of earlier depths. `last`: the epilogue, when all depths are in.
    fn store = store_body(
        sums: &[f32], stride: usize, out: &mut [&mut [f32]], skip: usize, place: Place, add: bool,
        last: Option<&Epilogue>,
    )
}

#[inline(always)]
fn store_body<const FMA: bool>(
    sums: &[f32],
    stride: usize,
    out: &mut [&mut [f32]],
    skip: usize,
    place: Place,
    add: bool,
    last: Option<&Epilogue>,
) {
    let simple = match last {
        Some(epilogue) => epilogue.range(),
        None => Some((f32::NEG_INFINITY, f32::INFINITY)),
    };
    if let (Some(range), true) = (simple, place.cols == stride) {
        let plain = Epilogue::default();
        let epilogue = last.unwrap_or(&plain);
        return match stride {
            #[cfg(target_arch = "x86_64")]
            32 => store_whole::<32>(sums, out, skip, place, add, epilogue, range),
            #[cfg(target_arch = "x86_64")]
            16 => store_whole::<16>(sums, out, skip, place, add, epilogue, range),
            _ => store_whole::<8>(sums, out, skip, place, add, epilogue, range),
        };
    }
    for (i, (out, sums)) in out.iter_mut().zip(sums.chunks_exact(stride)).enumerate() {
        let (out, sums) = (&mut out[skip..][..place.cols], &sums[..place.cols]);
        if add {
            for (o, s) in out.iter_mut().zip(sums) {
                *o += s;
            }
        } else {
            out.copy_from_slice(sums);
        }
        if let Some(epilogue) = last {
            finish_row::<FMA>(out, place.row + i, place.col, place.width, epilogue);
        }
    }
}

/// A tile as wide as its panel: every row is a whole number of vectors and stays in registers.
#[inline(always)]
fn store_whole<const WIDTH: usize>(
    sums: &[f32],
    out: &mut [&mut [f32]],
    skip: usize,
    place: Place,
    add: bool,
    epilogue: &Epilogue,
    (min, max): (f32, f32),
) {
    let mut bias = [0f32; WIDTH];
    if let Bias::PerColumn(values) = epilogue.bias {
        bias.copy_from_slice(&values[place.col..][..WIDTH]);
    }
    for (i, (out, sums)) in out.iter_mut().zip(sums.as_chunks::<WIDTH>().0).enumerate() {
        let Some(out) = out[skip..].first_chunk_mut::<WIDTH>() else { return };
        let mut values = *sums;
        if add {
            for j in 0..WIDTH {
                values[j] += out[j];
            }
        }
        if let Bias::PerRow(rows) = epilogue.bias {
            bias = [rows[place.row + i]; WIDTH];
        }
        for j in 0..WIDTH {
            values[j] += bias[j];
        }
        let residual = match epilogue.residual {
            Some(all) => all[(place.row + i) * place.width + place.col..].first_chunk::<WIDTH>(),
            None => None,
        };
        if let (Some(residual), Residual::Before) = (residual, epilogue.order) {
            for j in 0..WIDTH {
                values[j] += residual[j];
            }
        }
        for value in &mut values {
            let low = if *value < min { min } else { *value };
            *value = if low > max { max } else { low };
        }
        if let (Some(residual), Residual::After) = (residual, epilogue.order) {
            for j in 0..WIDTH {
                values[j] += residual[j];
            }
        }
        *out = values;
    }
}

// Loops rather than closures from here on: a closure is a function of its own, compiled without the vector features.

multiversion! {
    /// `finish_row` for whoever is not compiled per instruction set.
    pub fn finish = finish_row(out: &mut [f32], row: usize, col: usize, width: usize, epilogue: &Epilogue)
}

/// Applies the epilogue to `out`, the part of row `row` from column `col` on.
#[inline(always)]
pub fn finish_row<const FMA: bool>(out: &mut [f32], row: usize, col: usize, width: usize, epilogue: &Epilogue) {
    if epilogue.scale != 1.0 {
        for v in out.iter_mut() {
            *v *= epilogue.scale;
        }
    }
    match epilogue.bias {
        Bias::None => {}
        Bias::PerRow(bias) => {
            let bias = bias[row];
            for v in out.iter_mut() {
                *v += bias;
            }
        }
        Bias::PerColumn(bias) => add::<FMA>(out, &bias[col..]),
    }
    let residual = match epilogue.residual {
        Some(residual) => &residual[row * width + col..][..out.len()],
        None => &[],
    };
    if epilogue.order == Residual::Before {
        add::<FMA>(out, residual);
    }
    activate::<FMA>(out, epilogue.activation);
    if epilogue.order == Residual::After {
        add::<FMA>(out, residual);
    }
}

/// Adds as many values as there are.
#[inline(always)]
fn add<const FMA: bool>(out: &mut [f32], values: &[f32]) {
    for (v, x) in out.iter_mut().zip(values) {
        *v += x;
    }
}

/// Applies `activation` in place.
#[inline(always)]
pub fn activate<const FMA: bool>(out: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::Relu => {
            for v in out {
                *v = if *v < 0.0 { 0.0 } else { *v };
            }
        }
        Activation::Clip { min, max } => {
            for v in out {
                let low = if *v < min { min } else { *v };
                *v = if low > max { max } else { low };
            }
        }
        Activation::Sigmoid => {
            for v in out {
                *v = math::sigmoid::<FMA>(*v);
            }
        }
        Activation::Silu => {
            for v in out {
                *v *= math::sigmoid::<FMA>(*v);
            }
        }
        Activation::HardSigmoid { alpha, beta } => {
            for v in out {
                *v = (alpha * *v + beta).clamp(0.0, 1.0);
            }
        }
        Activation::HardSwish { alpha, beta } => {
            for v in out {
                *v *= (alpha * *v + beta).clamp(0.0, 1.0);
            }
        }
        Activation::Gelu => {
            for v in out {
                *v = math::gelu::<FMA>(*v);
            }
        }
        Activation::Tanh => {
            for v in out {
                *v = math::tanh::<FMA>(*v);
            }
        }
    }
}
