//! Repeated timing.

use std::time::Instant;

use crate::Result;

/// Milliseconds of repeated runs.
pub struct Times {
    sorted: Vec<f64>,
}

impl Times {
    /// Runs `work` once to warm up, then `repeat` times.
    pub fn measure(repeat: usize, mut work: impl FnMut() -> Result<()>) -> Result<Self> {
        work()?;
        let mut sorted = Vec::with_capacity(repeat);
        for _ in 0..repeat.max(1) {
            let start = Instant::now();
            work()?;
            sorted.push(start.elapsed().as_secs_f64() * 1e3);
        }
        sorted.sort_by(f64::total_cmp);
        Ok(Times { sorted })
    }

    pub fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        match self.sorted.len() % 2 {
            0 => (self.sorted[middle - 1] + self.sorted[middle]) / 2.0,
            _ => self.sorted[middle],
        }
    }

    pub fn min(&self) -> f64 {
        self.sorted[0]
    }
}
