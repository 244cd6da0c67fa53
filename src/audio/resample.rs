//! Other sample rates by band-limited interpolation (Smith & Gossett 1984): a sinc under a Kaiser window, looked up.

use std::collections::VecDeque;
use std::f64::consts::PI;

/// Zero crossings of the sinc on either side.
const CROSSINGS: usize = 24;
/// Entries of the table between two crossings; between entries lines are close enough (−106 dB).
const STEPS: usize = 512;
/// Shape of the window: side lobes below −90 dB.
const BETA: f64 = 9.0;
/// What passes, of the lower of the two Nyquist frequencies.
const PASS: f64 = 0.95;

/// Turns samples of one rate into those of another as they come. What lies before the first and after the last sample is
/// silence; nothing is delayed.
pub struct Resampler {
    /// Input samples per output sample, as a fraction in lowest terms.
    up: u64,
    down: u64,
    /// One side of the filter, and one entry more.
    table: Vec<f32>,
    /// Crossings of the sinc per input sample: at most 1.
    cutoff: f64,
    /// Input samples that outputs to come need, the first of them number `first`.
    kept: VecDeque<f32>,
    first: u64,
    /// Number of the next output.
    next: u64,
}

impl Resampler {
    /// Rates in Hz, none of them 0.
    pub fn new(from: u32, to: u32) -> Self {
        let divisor = gcd(from.into(), to.into()).max(1);
        let (down, up) = (u64::from(from) / divisor, u64::from(to) / divisor);
        Resampler {
            up: up.max(1),
            down,
            table: table(),
            cutoff: PASS * (f64::from(to) / f64::from(from)).min(1.0),
            kept: VecDeque::new(),
            first: 0,
            next: 0,
        }
    }

    /// Takes samples and appends what they complete.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        if self.up == self.down {
            return out.extend_from_slice(samples);
        }
        self.kept.extend(samples);
        let reach = self.reach();
        while self.position().0 + reach < self.first + self.kept.len() as u64 {
            out.push(self.sample());
        }
        let unused = self.position().0.saturating_sub(reach).saturating_sub(self.first);
        let unused = unused.min(self.kept.len() as u64);
        self.kept.drain(..unused as usize);
        self.first += unused;
    }

    /// What the last samples give: as many outputs in all as the input lasts.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        while self.up != self.down && self.position().0 < self.first + self.kept.len() as u64 {
            out.push(self.sample());
        }
    }

    /// Samples on either side that a filter sees.
    fn reach(&self) -> u64 {
        (CROSSINGS as f64 / self.cutoff).ceil() as u64 + 1
    }

    /// Where the next output lies: behind which input, and by what share of the way to the one after.
    fn position(&self) -> (u64, f64) {
        let at = u128::from(self.next) * u128::from(self.down);
        let up = u128::from(self.up);
        ((at / up) as u64, (at % up) as f64 / up as f64)
    }

    fn sample(&mut self) -> f32 {
        let (behind, share) = self.position();
        self.next += 1;
        let reach = self.reach();
        let from = behind.saturating_sub(reach).max(self.first);
        let to = (behind + reach + 1).min(self.first + self.kept.len() as u64);
        let mut sum = 0f32;
        for i in from..to {
            let distance = (i as f64 - behind as f64 - share).abs() * self.cutoff;
            sum += self.kept[(i - self.first) as usize] * self.weight(distance);
        }
        sum * self.cutoff as f32
    }

    /// The filter at a distance in crossings.
    fn weight(&self, distance: f64) -> f32 {
        let at = distance * STEPS as f64;
        let entry = at as usize;
        match self.table.get(entry..entry + 2) {
            Some(&[a, b]) => a + (b - a) * (at - entry as f64) as f32,
            _ => 0.0,
        }
    }
}

fn table() -> Vec<f32> {
    let value = |i: usize| {
        let x = i as f64 / STEPS as f64;
        let sinc = if i == 0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        let edge = (x / CROSSINGS as f64).min(1.0);
        (sinc * bessel(BETA * (1.0 - edge * edge).sqrt()) / bessel(BETA)) as f32
    };
    (0..=CROSSINGS * STEPS).map(value).chain([0.0]).collect()
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > 1e-12 * sum {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32, count: usize) -> Vec<f32> {
        (0..count).map(|i| (2.0 * PI * hertz * i as f64 / f64::from(rate) + 0.3).sin() as f32).collect()
    }

    fn resampled(samples: &[f32], from: u32, to: u32, piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::new();
        samples.chunks(piece).for_each(|piece| resampler.push(piece, &mut out));
        resampler.finish(&mut out);
        out
    }

    /// A tone stays the same tone, in phase, and one above the band vanishes.
    #[test]
    fn tones_pass_or_vanish() {
        for (from, to) in
            [(8_000, 16_000), (44_100, 16_000), (48_000, 16_000), (22_050, 16_000), (11_025, 16_000), (96_001, 16_000)]
        {
            let count = from as usize / 4;
            for hertz in [100.0, 1_000.0, 3_000.0] {
                let got = resampled(&tone(hertz, from, count), from, to, 997);
                let want = tone(hertz, to, got.len());
                assert_eq!(got.len(), (count * to as usize).div_ceil(from as usize), "{from}");
                let inside = 400..got.len() - 400;
                let error = inside.map(|i| (got[i] - want[i]).abs()).fold(0.0, f32::max);
                assert!(error < 5e-4, "{hertz} Hz of {from} differ by {error}");
            }
        }
        let got = resampled(&tone(10_000.0, 44_100, 20_000), 44_100, 16_000, 4096);
        let loudest = got[400..got.len() - 400].iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(loudest < 1e-3, "{loudest} is left of a tone above the band");
    }

    #[test]
    fn pieces_do_not_matter() {
        let samples = tone(440.0, 44_100, 5_000);
        let whole = resampled(&samples, 44_100, 16_000, 5_000);
        for piece in [1, 7, 1_000] {
            assert_eq!(resampled(&samples, 44_100, 16_000, piece), whole);
        }
        assert_eq!(resampled(&samples, 16_000, 16_000, 13), samples);
        assert!(resampled(&[], 8_000, 16_000, 1).is_empty());
    }
}
