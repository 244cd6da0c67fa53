//! Log-mel windows as Whisper takes them: Hann windows of 400 samples every 160, power spectra, Slaney's mel filters
//! (Slaney 1998, Auditory Toolbox), log10 within 8 of the loudest, scaled.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use super::sound::RATE;
use crate::tensor::Tensor;
use crate::{Error, Result};

const FFT: usize = 400;
/// Samples from one frame to the next.
pub const HOP: usize = 160;
const BINS: usize = FFT / 2 + 1;

/// Makes windows of `frames` frames with `mels` mel bins each.
pub struct LogMel {
    mels: usize,
    frames: usize,
    hann: Vec<f32>,
    /// `[mels]`: where a filter begins, and its weights.
    filters: Vec<(usize, Vec<f32>)>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl LogMel {
    pub fn new(mels: usize, frames: usize) -> Self {
        let hann = (0..FFT).map(|i| (0.5 - 0.5 * (2.0 * PI * i as f64 / FFT as f64).cos()) as f32).collect();
        LogMel { mels, frames, hann, filters: filters(mels), fft: RealFftPlanner::new().plan_fft_forward(FFT) }
    }

    /// Samples that a window covers.
    pub fn samples(&self) -> usize {
        self.frames * HOP
    }

    /// f32 `[1, mels, frames]` of samples at 16 kHz; after the last of them is silence, and those beyond the window are left
    /// out. The signal is mirrored at the ends of the window.
    pub fn window(&self, samples: &[f32]) -> Result<Tensor> {
        let len = self.samples();
        let half = FFT / 2;
        if len <= half {
            return Err(Error::Usage(format!("a window of {} frames is too short", self.frames)));
        }
        let mut padded = vec![0f32; len + FFT];
        let count = samples.len().min(len);
        padded[half..half + count].copy_from_slice(&samples[..count]);
        for i in 1..=half {
            padded[half - i] = padded[half + i];
            padded[half + len - 1 + i] = padded[half + len - 1 - i];
        }
        let mut mel = vec![0f32; self.mels * self.frames];
        let mut frame = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0f32; BINS];
        for f in 0..self.frames {
            let from = &padded[f * HOP..][..FFT];
            frame.iter_mut().zip(from).zip(&self.hann).for_each(|((to, v), w)| *to = v * w);
            let done = self.fft.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            done.map_err(|e| Error::Usage(format!("a spectrum cannot be computed: {e}")))?;
            power.iter_mut().zip(&spectrum).for_each(|(p, s)| *p = s.re * s.re + s.im * s.im);
            for (m, (begin, weights)) in self.filters.iter().enumerate() {
                mel[m * self.frames + f] = weights.iter().zip(&power[*begin..]).map(|(w, p)| w * p).sum();
            }
        }
        scale(&mut mel);
        Tensor::new([1, self.mels, self.frames], &mel)
    }
}

/// `(max(log10 x, top − 8) + 4) / 4`.
fn scale(mel: &mut [f32]) {
    mel.iter_mut().for_each(|v| *v = v.max(1e-10).log10());
    let top = mel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    mel.iter_mut().for_each(|v| *v = (v.max(top - 8.0) + 4.0) / 4.0);
}

/// Triangles of equal area between points that are evenly spaced in mels.
fn filters(mels: usize) -> Vec<(usize, Vec<f32>)> {
    let nyquist = f64::from(RATE) / 2.0;
    let points: Vec<f64> = (0..mels + 2).map(|i| hertz(mel(nyquist) * i as f64 / (mels + 1) as f64)).collect();
    let filter = |p: &[f64]| {
        let (low, centre, high) = (p[0], p[1], p[2]);
        let weight = |bin: usize| {
            let f = bin as f64 * f64::from(RATE) / FFT as f64;
            let height = ((f - low) / (centre - low)).min((high - f) / (high - centre)).max(0.0);
            (height * 2.0 / (high - low)) as f32
        };
        let begin = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
        let end = (begin..BINS).rev().find(|&bin| weight(bin) > 0.0).map_or(begin, |bin| bin + 1);
        (begin, (begin..end).map(weight).collect())
    };
    points.windows(3).map(filter).collect()
}

/// Linear below 1 kHz, 15 mels there; above, 27 mels for a factor of 6.4.
fn mel(hertz: f64) -> f64 {
    if hertz < 1_000.0 { 3.0 * hertz / 200.0 } else { 15.0 + 27.0 * (hertz / 1_000.0).ln() / 6.4f64.ln() }
}

fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { 200.0 * mel / 3.0 } else { 1_000.0 * 6.4f64.powf((mel - 15.0) / 27.0) }
}
