//! One-dimensional k-means: the values of a palette.
//!
//! In one dimension clusters are intervals of the sorted points, so the best ones can be computed: a dynamic program
//! over how many clusters cover how many points, each row of it by divide and conquer, since the best last boundary
//! never moves left (Wu 1991; Grønlund et al. 2017). More than `EXACT` points are first gathered in `FINE` bins and
//! those in `EXACT`; Lloyd's iteration on the fine bins then polishes what the coarse ones blurred.

/// Points up to which the optimum is exact.
const EXACT: usize = 4096;
/// Bins that stand for more points than that, each at its points' weighted mean.
const FINE: usize = 1 << 16;
/// Lloyd's iteration stops earlier once nothing moves.
const POLISH: usize = 100;

/// `k` centres, ascending, that minimise `Σ weight · (value − nearest centre)²` over the points `(value, weight)`. Fewer
/// distinct values than `k` leave the last centre repeated. Points of weight 0 do not count; without any point all
/// centres are 0.
pub fn centres(points: impl Iterator<Item = (f32, f32)> + Clone, k: usize) -> Vec<f32> {
    let points = points.filter(|(_, w)| *w > 0.0).map(|(v, w)| (f64::from(v), f64::from(w)));
    let mut centres = if points.clone().nth(EXACT).is_none() {
        let mut points: Vec<(f64, f64)> = points.collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by(|b, a| {
            let same = a.0 == b.0;
            if same {
                a.1 += b.1;
            }
            same
        });
        optimum(&points, k)
    } else {
        let fine = binned(points, FINE);
        let mut centres = optimum(&binned(fine.iter().copied(), EXACT), k);
        polish(&fine, &mut centres);
        centres
    };
    let last = centres.last().copied().unwrap_or(0.0);
    centres.resize(k, last);
    centres.into_iter().map(|c| c as f32).collect()
}

/// Points gathered into at most `count` bins of equal width, each at its weighted mean, ascending.
fn binned(points: impl Iterator<Item = (f64, f64)> + Clone, count: usize) -> Vec<(f64, f64)> {
    let (low, high) = points.clone().fold((f64::MAX, f64::MIN), |(l, h), (v, _)| (l.min(v), h.max(v)));
    let per_width = if high > low { count as f64 / (high - low) } else { 0.0 };
    let mut bins = vec![(0f64, 0f64); count];
    for (value, weight) in points {
        let bin = &mut bins[(((value - low) * per_width) as usize).min(count - 1)];
        bin.0 += value * weight;
        bin.1 += weight;
    }
    bins.into_iter().filter(|bin| bin.1 > 0.0).map(|(sum, weight)| (sum / weight, weight)).collect()
}

/// Prefix sums of weight, weight · value and weight · value²: the cost of any interval in constant time.
struct Prefix {
    weight: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Prefix {
    fn new(points: &[(f64, f64)]) -> Self {
        let sums = |term: fn(f64, f64) -> f64| {
            let mut sum = 0.0;
            let tail = points.iter().map(|&(v, w)| {
                sum += term(v, w);
                sum
            });
            std::iter::once(0.0).chain(tail).collect()
        };
        Prefix { weight: sums(|_, w| w), first: sums(|v, w| v * w), second: sums(|v, w| v * v * w) }
    }

    /// Weighted squared distance of points `from..to` to their mean.
    fn cost(&self, from: usize, to: usize) -> f64 {
        let weight = self.weight[to] - self.weight[from];
        let first = self.first[to] - self.first[from];
        if weight > 0.0 { (self.second[to] - self.second[from] - first * first / weight).max(0.0) } else { 0.0 }
    }

    fn mean(&self, from: usize, to: usize) -> f64 {
        (self.first[to] - self.first[from]) / (self.weight[to] - self.weight[from])
    }
}

/// The best `k` centres of sorted points.
fn optimum(points: &[(f64, f64)], k: usize) -> Vec<f64> {
    if points.len() <= k {
        return points.iter().map(|p| p.0).collect();
    }
    let (n, prefix) = (points.len(), Prefix::new(points));
    // costs[i]: the best cost of points 0..=i with the clusters so far; starts[c][i]: where the last of them begins.
    let mut costs: Vec<f64> = (0..n).map(|i| prefix.cost(0, i + 1)).collect();
    let mut starts: Vec<Vec<u32>> = Vec::with_capacity(k);
    starts.push(vec![0; n]);
    for c in 1..k {
        let mut row = Row { prefix: &prefix, before: &costs, costs: vec![0.0; n], starts: vec![0; n] };
        row.fill(c, n, c, n);
        let Row { costs: new, starts: from, .. } = row;
        costs = new;
        starts.push(from);
    }
    let mut centres = vec![0.0; k];
    let mut end = n;
    for c in (0..k).rev() {
        let start = starts[c][end - 1] as usize;
        centres[c] = prefix.mean(start, end);
        end = start;
    }
    centres
}

/// One row of the dynamic program.
struct Row<'a> {
    prefix: &'a Prefix,
    before: &'a [f64],
    costs: Vec<f64>,
    starts: Vec<u32>,
}

impl Row<'_> {
    /// Points `from..to`, whose last cluster begins within `low..high`.
    fn fill(&mut self, from: usize, to: usize, low: usize, high: usize) {
        if from >= to {
            return;
        }
        let middle = (from + to) / 2;
        let mut best = (f64::INFINITY, low);
        for start in low..=middle.min(high - 1) {
            let cost = self.before[start - 1] + self.prefix.cost(start, middle + 1);
            if cost < best.0 {
                best = (cost, start);
            }
        }
        self.costs[middle] = best.0;
        self.starts[middle] = best.1 as u32;
        self.fill(from, middle, low, best.1 + 1);
        self.fill(middle + 1, to, best.1, high);
    }
}

/// Lloyd's iteration on sorted points: boundaries halfway between centres, centres at the means between boundaries.
fn polish(points: &[(f64, f64)], centres: &mut [f64]) {
    let prefix = Prefix::new(points);
    for _ in 0..POLISH {
        let mut moved = false;
        let mut start = 0;
        for c in 0..centres.len() {
            let end = match centres.get(c + 1) {
                Some(next) => points.partition_point(|p| p.0 <= (centres[c] + next) / 2.0),
                None => points.len(),
            };
            if end > start {
                let mean = prefix.mean(start, end);
                moved |= mean != centres[c];
                centres[c] = mean;
            }
            start = end.max(start);
        }
        if !moved {
            return;
        }
    }
}

/// The index of the nearest of ascending `centres`.
pub fn nearest(centres: &[f32], value: f32) -> usize {
    let above = centres.partition_point(|&c| c < value);
    match (above.checked_sub(1), centres.get(above)) {
        (Some(below), Some(&c)) if value - centres[below] <= c - value => below,
        (_, Some(_)) => above,
        (Some(below), None) => below,
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(values: &[f32], centres: &[f32]) -> f64 {
        values.iter().map(|&v| f64::from(v - centres[nearest(centres, v)]).powi(2)).sum()
    }

    fn plain(values: &[f32], k: usize) -> Vec<f32> {
        centres(values.iter().map(|&v| (v, 1.0)), k)
    }

    fn noise(n: usize) -> Vec<f32> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next() + next() + next() * next() * 4.0).collect()
    }

    #[test]
    fn equals_the_best_of_all_partitions() {
        let mut values = noise(12);
        values.sort_by(f32::total_cmp);
        let found = cost(&values, &plain(&values, 3));
        let mut best = f64::INFINITY;
        for a in 1..11 {
            for b in a + 1..12 {
                let mean = |s: &[f32]| s.iter().sum::<f32>() / s.len() as f32;
                best = best.min(cost(&values, &[mean(&values[..a]), mean(&values[a..b]), mean(&values[b..])]));
            }
        }
        assert!((found - best).abs() < 1e-6, "{found} against {best}");
    }

    #[test]
    fn many_points_come_close_to_the_optimum_of_fewer() {
        let values = noise(40_000);
        let (few, many) = (&values[..4000], &values[..]);
        let per_point = |v: &[f32]| cost(v, &plain(v, 16)) / v.len() as f64;
        assert!((per_point(many) / per_point(few) - 1.0).abs() < 0.1);
    }

    #[test]
    fn few_distinct_values_are_kept_exactly() {
        assert_eq!(plain(&[2.0, -1.0, 2.0], 4), [-1.0, 2.0, 2.0, 2.0]);
        assert_eq!(plain(&[], 2), [0.0, 0.0]);
        assert_eq!(plain(&[3.0; 10_000], 2), [3.0, 3.0]);
    }

    #[test]
    fn weights_pull() {
        assert_eq!(centres([(0.0, 3.0), (1.0, 1.0)].into_iter(), 1), [0.25]);
    }

    #[test]
    fn nearest_is_nearest() {
        let centres = [-1.0, 0.0, 4.0];
        for (value, index) in [(-9.0, 0), (-0.6, 0), (-0.4, 1), (1.9, 1), (2.1, 2), (9.0, 2)] {
            assert_eq!(nearest(&centres, value), index, "{value}");
        }
    }
}
