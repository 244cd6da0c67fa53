//! Frequencies of rotary position embedding (Su et al. 2021) and the ways to stretch them over longer contexts.

use std::f64::consts::TAU;

/// Rotary position embedding of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub theta: f64,
    /// Elements of a head that turn.
    pub dims: usize,
    /// Pairs that turn are neighbours; else a half of `dims` apart.
    pub interleaved: bool,
    pub scaling: Scaling,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    None,
    /// Positions divided by a factor.
    Linear(f64),
    /// Frequencies divided by a factor each.
    Divided(Vec<f32>),
    /// Llama 3.1: long waves divided by `factor`, short ones left, those between blended.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
    /// YaRN (Peng et al. 2023), with its usual β of 32 and 1.
    Yarn {
        factor: f64,
        original: f64,
    },
}

impl Rope {
    /// Angles per position of the `dims / 2` pairs.
    pub fn frequencies(&self) -> Vec<f32> {
        let plain = |i: usize| self.theta.powf(-2.0 * i as f64 / self.dims as f64);
        (0..self.dims / 2).map(|i| self.scaled(i, plain(i)) as f32).collect()
    }

    fn scaled(&self, i: usize, f: f64) -> f64 {
        match &self.scaling {
            Scaling::None => f,
            Scaling::Linear(factor) => f / factor,
            Scaling::Divided(factors) => f / factors.get(i).copied().map_or(1.0, f64::from),
            Scaling::Llama3 { factor, low, high, original } => {
                let turns = original * f / TAU;
                let plain = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                f * plain + f / factor * (1.0 - plain)
            }
            Scaling::Yarn { factor, original } => {
                // The pair that turns `turns` times in the original context.
                let pair = |turns: f64| self.dims as f64 * (original / (turns * TAU)).ln() / (2.0 * self.theta.ln());
                let last = self.dims as f64 - 1.0;
                let (low, high) = (pair(32.0).floor().max(0.0), pair(1.0).ceil().min(last));
                let stretched = ((i as f64 - low) / (high - low).max(1e-3)).clamp(0.0, 1.0);
                f / factor * stretched + f * (1.0 - stretched)
            }
        }
    }

    /// What cosines and sines are multiplied by.
    pub fn magnitude(&self) -> f32 {
        match self.scaling {
            Scaling::Yarn { factor, .. } if factor > 1.0 => (0.1 * factor.ln() + 1.0) as f32,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(theta: f64, dims: usize, scaling: Scaling) -> Vec<f32> {
        Rope { theta, dims, interleaved: false, scaling }.frequencies()
    }

    #[test]
    fn plain_and_linear() {
        assert_eq!(rope(10000.0, 4, Scaling::None), [1.0, 0.01]);
        assert_eq!(rope(10000.0, 4, Scaling::Linear(4.0)), [0.25, 0.0025]);
        assert_eq!(rope(10000.0, 4, Scaling::Divided(vec![2.0, 5.0])), [0.5, 0.002]);
    }

    /// Short waves stay, long ones are divided, whatever the blend between.
    #[test]
    fn stretched_at_the_ends_only() {
        let plain = rope(500_000.0, 128, Scaling::None);
        for scaling in [
            Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 },
            Scaling::Yarn { factor: 8.0, original: 8192.0 },
        ] {
            let stretched = rope(500_000.0, 128, scaling);
            assert_eq!(stretched[..4], plain[..4]);
            assert!((stretched[63] / plain[63] - 0.125).abs() < 1e-6);
            assert!(stretched.windows(2).all(|pair| pair[0] > pair[1]));
        }
    }
}
