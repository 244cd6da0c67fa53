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

    /// `measure` of `count` works: they take turns in stretches, so that a slow moment of the machine hits all, and
    /// each stretch warms up anew, because the others emptied the caches.
    pub fn take_turns(repeat: usize, count: usize, mut work: impl FnMut(usize) -> Result<()>) -> Result<Vec<Self>> {
        const TURNS: usize = 4;
        let turns = repeat.clamp(1, TURNS);
        let mut all: Vec<Times> = (0..count).map(|_| Times { sorted: Vec::new() }).collect();
        for turn in 0..turns {
            let stretch = repeat * (turn + 1) / turns - repeat * turn / turns;
            for (index, times) in all.iter_mut().enumerate() {
                times.sorted.extend(Times::measure(stretch, || work(index))?.sorted);
            }
        }
        all.iter_mut().for_each(|times| times.sorted.sort_by(f64::total_cmp));
        Ok(all)
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
