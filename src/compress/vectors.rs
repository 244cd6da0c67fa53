//! k-means of short vectors: seeds by distance (k-means++, Arthur & Vassilvitskii 2007), then Lloyd's iteration.

use rayon::prelude::*;

/// Points that training looks at; all of them get a code.
const TRAINING: usize = 1 << 14;
/// Lloyd's iteration stops when a round gains less than this share, or after so many rounds.
const GAIN: f64 = 1e-3;
const ROUNDS: usize = 20;
/// Centres up to which each search looks at all of them; more are searched by cells.
const FLAT: usize = 1024;
/// Cells that a search looks into.
const CELLS: usize = 8;

/// Vectors of `dim` values with a weight each.
pub struct Points {
    pub dim: usize,
    /// `[count, dim]`.
    pub data: Vec<f32>,
    /// `[count]`.
    pub weights: Vec<f32>,
}

impl Points {
    pub fn count(&self) -> usize {
        self.weights.len()
    }

    pub fn point(&self, i: usize) -> &[f32] {
        &self.data[i * self.dim..(i + 1) * self.dim]
    }

    /// At most `most` of them, evenly spaced.
    pub fn sample(&self, most: usize) -> Points {
        let step = self.count().div_ceil(most.max(1)).max(1);
        let picked = (0..self.count()).step_by(step);
        let weights = picked.clone().map(|i| self.weights[i]).collect();
        Points { dim: self.dim, data: picked.flat_map(|i| self.point(i)).copied().collect(), weights }
    }
}

/// Numbers that are the same on every run (splitmix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    /// Uniform in 0..1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// `k` centres, `[k, dim]`, for points that are many or few: fewer than `k` become the centres themselves.
pub fn centres(points: &Points, k: usize) -> Vec<f32> {
    let dim = points.dim;
    let training = points.sample(TRAINING.max(2 * k));
    if training.count() <= k {
        let mut centres = training.data;
        centres.resize(k * dim, 0.0);
        return centres;
    }
    let mut random = Random(1);
    let mut centres = if k <= FLAT { seeds(&training, k, &mut random) } else { spread(&training, k) };
    let mut before = f64::INFINITY;
    for _ in 0..if k <= FLAT { ROUNDS } else { 2 } {
        let found = Search::new(&centres, dim).all(&training);
        let error: f64 = found.iter().zip(&training.weights).map(|(f, w)| f64::from(f.1 * w)).sum();
        update(&training, &found, &mut centres);
        if error >= before * (1.0 - GAIN) {
            break;
        }
        before = error;
    }
    centres
}

/// Every so manieth point.
fn spread(points: &Points, k: usize) -> Vec<f32> {
    (0..k).flat_map(|c| points.point(c * points.count() / k)).copied().collect()
}

/// Each next seed is a point drawn with the probability of its error so far.
fn seeds(points: &Points, k: usize, random: &mut Random) -> Vec<f32> {
    let mut centres: Vec<f32> = Vec::with_capacity(k * points.dim);
    let mut errors: Vec<f32> = points.weights.clone();
    for c in 0..k {
        let total: f64 = errors.iter().map(|&e| f64::from(e)).sum();
        let mut left = random.unit() * total;
        let drawn = errors.iter().position(|&e| {
            left -= f64::from(e);
            left < 0.0
        });
        let seed = points.point(drawn.unwrap_or(0)).to_vec();
        errors.par_iter_mut().with_min_len(4096).enumerate().for_each(|(i, error)| {
            let new = points.weights[i] * distance(points.point(i), &seed);
            *error = if c == 0 { new } else { error.min(new) };
        });
        centres.extend(seed);
    }
    centres
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Centres move to the weighted means of their points; one without points moves to the point that is worst off.
fn update(points: &Points, found: &[(u32, f32)], centres: &mut [f32]) {
    let dim = points.dim;
    let mut sums = vec![0f64; centres.len()];
    let mut weights = vec![0f64; centres.len() / dim];
    for (i, &(code, _)) in found.iter().enumerate() {
        let weight = f64::from(points.weights[i]);
        weights[code as usize] += weight;
        let sums = &mut sums[code as usize * dim..][..dim];
        sums.iter_mut().zip(points.point(i)).for_each(|(s, &v)| *s += weight * f64::from(v));
    }
    let mut worst: Vec<usize> = Vec::new();
    for (c, centre) in centres.chunks_exact_mut(dim).enumerate() {
        if weights[c] > 0.0 {
            centre.iter_mut().zip(&sums[c * dim..]).for_each(|(v, s)| *v = (s / weights[c]) as f32);
            continue;
        }
        if worst.is_empty() {
            let error = |&i: &usize| found[i].1 * points.weights[i];
            worst = (0..points.count()).collect();
            worst.sort_by(|a, b| error(a).total_cmp(&error(b)));
        }
        if let Some(i) = worst.pop() {
            centre.copy_from_slice(points.point(i));
        }
    }
}

/// Finds nearest centres.
pub struct Search {
    dim: usize,
    all: Cell,
    /// Centres gathered around other centres, which are `all` then.
    cells: Vec<Cell>,
}

/// Some centres, laid out so that one point is compared with many at once.
struct Cell {
    /// Number of each centre.
    codes: Vec<u32>,
    /// `[dim, centres]`.
    columns: Vec<f32>,
    /// `‖centre‖²`.
    norms: Vec<f32>,
}

impl Cell {
    fn new(centres: &[f32], dim: usize, codes: Vec<u32>) -> Self {
        let centre = |code: u32| &centres[code as usize * dim..][..dim];
        let columns = (0..dim).flat_map(|d| codes.iter().map(move |&code| centre(code)[d])).collect();
        let norms = codes.iter().map(|&code| centre(code).iter().map(|v| v * v).sum()).collect();
        Cell { codes, columns, norms }
    }

    /// `‖centre‖² − 2 · point · centre` of each: the distance but for `‖point‖²`.
    /// The nearest of them and its score.
    fn nearest(&self, point: &[f32], scores: &mut Vec<f32>) -> Option<(u32, f32)> {
        self.scores(point, scores);
        least(scores).map(|at| (self.codes[at], scores[at]))
    }

    fn scores(&self, point: &[f32], scores: &mut Vec<f32>) {
        scores.clear();
        scores.extend_from_slice(&self.norms);
        for (column, v) in self.columns.chunks_exact(self.norms.len().max(1)).zip(point) {
            let twice = 2.0 * v;
            scores.iter_mut().zip(column).for_each(|(s, c)| *s -= twice * c);
        }
    }
}

impl Search {
    /// `centres`: `[k, dim]`.
    pub fn new(centres: &[f32], dim: usize) -> Self {
        let k = centres.len() / dim;
        if k <= FLAT {
            return Search { dim, all: Cell::new(centres, dim, (0..k as u32).collect()), cells: Vec::new() };
        }
        let points = Points { dim, data: centres.to_vec(), weights: vec![1.0; k] };
        let hubs = self::centres(&points, (k as f64).sqrt() as usize);
        let around = Search::new(&hubs, dim);
        let mut members = vec![Vec::new(); hubs.len() / dim];
        for (code, (hub, _)) in around.all(&points).into_iter().enumerate() {
            members[hub as usize].push(code as u32);
        }
        let cells = members.into_iter().map(|codes| Cell::new(centres, dim, codes)).collect();
        Search { dim, all: around.all, cells }
    }

    /// The `count` nearest, nearest first: code and squared distance. Beyond `FLAT` centres they are near, if not always
    /// nearest.
    pub fn nearest(&self, point: &[f32], count: usize, scores: &mut Vec<f32>) -> Vec<(u32, f32)> {
        let own: f32 = point.iter().map(|v| v * v).sum();
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
        self.all.scores(point, scores);
        if self.cells.is_empty() {
            keep(&mut best, count, &self.all.codes, scores);
        } else {
            let mut hubs = Vec::with_capacity(CELLS + 1);
            keep(&mut hubs, CELLS, &self.all.codes, scores);
            for (hub, _) in hubs {
                let cell = &self.cells[hub as usize];
                cell.scores(point, scores);
                keep(&mut best, count, &cell.codes, scores);
            }
        }
        best.iter_mut().for_each(|b| b.1 = (b.1 + own).max(0.0));
        best
    }

    /// The nearest, or one that is near: code and squared distance.
    fn one(&self, point: &[f32], scores: &mut Vec<f32>) -> Option<(u32, f32)> {
        if !self.cells.is_empty() {
            return self.nearest(point, 1, scores).first().copied();
        }
        let own: f32 = point.iter().map(|v| v * v).sum();
        self.all.nearest(point, scores).map(|(code, score)| (code, (score + own).max(0.0)))
    }

    /// The nearest of every point.
    pub fn all(&self, points: &Points) -> Vec<(u32, f32)> {
        debug_assert_eq!(points.dim, self.dim);
        (0..points.count())
            .into_par_iter()
            .with_min_len(256)
            .map_init(Vec::new, |scores, i| self.one(points.point(i), scores).unwrap_or_default())
            .collect()
    }
}

/// Where the least of some numbers stands, the first of equals; lanes side by side, which a compiler turns into vector
/// instructions.
pub fn least(values: &[f32]) -> Option<usize> {
    const LANES: usize = 16;
    let mut lanes = [f32::INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::INFINITY, f32::min);
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = if v < *lane { v } else { *lane };
        }
    }
    let least = lanes.into_iter().fold(rest, f32::min);
    values.iter().position(|&v| v == least)
}

/// Puts the `count` smallest scores into `best`, ascending.
fn keep(best: &mut Vec<(u32, f32)>, count: usize, codes: &[u32], scores: &[f32]) {
    for (&code, &score) in codes.iter().zip(scores) {
        if best.len() == count && best.last().is_some_and(|b| b.1 <= score) {
            continue;
        }
        let at = best.partition_point(|b| b.1 <= score);
        best.insert(at, (code, score));
        best.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, dim: usize) -> Points {
        let mut random = Random(count as u64);
        let data = (0..count * dim).map(|_| random.unit() as f32).collect();
        Points { dim, data, weights: vec![1.0; count] }
    }

    #[test]
    fn clusters_that_are_apart_are_found() {
        let mut points = noise(600, 2);
        for (i, p) in points.data.chunks_exact_mut(2).enumerate() {
            p[0] += 10.0 * (i % 3) as f32;
        }
        let centres = centres(&points, 3);
        let mut firsts: Vec<f32> = centres.chunks(2).map(|c| c[0].round()).collect();
        firsts.sort_by(f32::total_cmp);
        assert!(firsts.iter().zip([0.0, 10.0, 20.0]).all(|(a, b)| (a - b).abs() <= 1.0), "{centres:?}");
    }

    #[test]
    fn cells_find_about_the_nearest() {
        let (centres, points) = (noise(5000, 4), noise(300, 4));
        let found: f32 = Search::new(&centres.data, 4).all(&points).iter().map(|f| f.1).sum();
        let nearest = |p: &[f32]| centres.data.chunks(4).map(|c| distance(p, c)).fold(f32::INFINITY, f32::min);
        let best: f32 = (0..300).map(|i| nearest(points.point(i))).sum();
        assert!(best > 0.0 && found < 1.05 * best, "{found} against {best}");
    }

    #[test]
    fn the_nearest_few_come_in_order() {
        let search = Search::new(&[0.0, 5.0, 1.0, 3.0], 1);
        let found: Vec<u32> = search.nearest(&[0.9], 3, &mut Vec::new()).iter().map(|f| f.0).collect();
        assert_eq!(found, [2, 0, 3]);
    }

    #[test]
    fn few_points_are_their_own_centres() {
        let points = noise(3, 4);
        assert_eq!(centres(&points, 8)[..12], points.data);
    }
}
