//! How many channels each block keeps (CFSP, Wang et al. 2024, its coarse step): blocks that turn their input by more keep more.

/// Shares of the channels that blocks keep, whose mean by `costs` is `keep`: in proportion to the sigmoid of each block's
/// angle, counted in standard deviations from the mean of all, and 1 at most. A block without an angle counts as a mean one.
pub fn shares(angles: &[Option<f64>], costs: &[usize], keep: f64) -> Vec<f64> {
    let known: Vec<f64> = angles.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let spread = (known.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / known.len().max(1) as f64).sqrt();
    let weight = |angle: &Option<f64>| match angle {
        Some(angle) if spread > 1e-12 => 1.0 / (1.0 + (-(angle - mean) / spread).exp()),
        _ => 0.5,
    };
    let weights: Vec<f64> = angles.iter().map(weight).collect();
    let all: f64 = costs.iter().map(|&cost| cost as f64).sum();
    let kept = |factor: f64| -> f64 {
        weights.iter().zip(costs).map(|(w, &cost)| (factor * w).min(1.0) * cost as f64).sum::<f64>() / all.max(1.0)
    };
    // What is kept grows with the factor, up to all.
    let (mut low, mut high) = (0.0, 2.0);
    while kept(high) < keep && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if kept(middle) < keep { low = middle } else { high = middle }
    }
    weights.iter().map(|w| (high * w).min(1.0)).collect()
}

/// The channels to keep of `count`: the share, rounded to a multiple of `unit`; one unit at least.
pub fn width(count: usize, share: f64, unit: usize) -> usize {
    let unit = unit.clamp(1, count.max(1));
    let units = (count as f64 * share / unit as f64).round().max(1.0) as usize;
    units.saturating_mul(unit).min(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_kept() {
        let angles = [Some(0.1), Some(0.3), None, Some(0.05), Some(0.9)];
        let costs = [10, 20, 10, 30, 5];
        for keep in [0.05, 0.5, 0.8, 0.97] {
            let shares = shares(&angles, &costs, keep);
            let mean: f64 = shares.iter().zip(costs).map(|(s, c)| s * c as f64).sum::<f64>() / 75.0;
            assert!((mean - keep).abs() < 1e-9, "{keep}: {mean}");
            assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)));
            let more = |a: usize, b: usize| shares[a] > shares[b] || shares[a] == 1.0;
            assert!(more(4, 1) && more(1, 0) && more(0, 3), "{shares:?}");
        }
        // σ(−1) and σ(1) add up to 1.
        let two = shares(&[Some(0.2), Some(0.4)], &[1, 1], 0.5);
        let sigmoid = 1.0 / (1.0 + f64::exp(-1.0));
        assert!((two[1] - sigmoid).abs() < 1e-9 && (two[0] + sigmoid - 1.0).abs() < 1e-9, "{two:?}");
    }

    #[test]
    fn blocks_alike_keep_alike() {
        assert!(shares(&[None; 3], &[1, 2, 3], 0.25).iter().all(|s| (s - 0.25).abs() < 1e-9));
        assert!(shares(&[Some(0.1); 3], &[1, 2, 3], 0.25).iter().all(|s| (s - 0.25).abs() < 1e-9));
    }

    #[test]
    fn widths_are_multiples() {
        assert_eq!(width(3072, 0.5, 16), 1536);
        assert_eq!(width(100, 0.3, 16), 32);
        assert_eq!(width(100, 0.99, 16), 96);
        assert_eq!(width(100, 1.0, 16), 96);
        assert_eq!(width(12, 0.01, 5), 5);
        assert_eq!(width(3, 0.5, 16), 3);
        assert_eq!(width(7, 0.5, 1), 4);
    }
}
