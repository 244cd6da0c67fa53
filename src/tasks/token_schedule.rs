//! Finds how many tokens each layer of a vision transformer can do without: a schedule as DiffRate's (Chen et al. 2023), found
//! by measuring instead of by training.
//!
//! First each layer alone loses an eighth and three eighths of its patches: pruned, merged, or merged in pairs. These are two
//! points of a power law of the output's error; the way that loses least is the layer's. Then tokens are taken away a few at a time where the laws promise the least error for the operations
//! saved, until the budget is met. Last, layers are made to lose more or fewer than the laws say, the rest is filled up anew,
//! and what measures better stays.

use crate::runtime::tokens::{Method, Schedule, Sizes};
use crate::runtime::{Session, Tokens};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// What to find.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Share of the multiplications that may be left.
    pub share: f64,
    /// Rounds of changes to the first schedule.
    pub rounds: usize,
}

/// A schedule and what it costs.
#[derive(Clone, Debug)]
pub struct Found {
    pub schedule: Schedule,
    /// Multiplications of a run, and without the schedule.
    pub macs: u64,
    pub dense: u64,
    /// Mean squared error of the first output, relative to the mean square of the output without the schedule.
    pub error: f64,
}

/// Searches on samples, each the inputs of a run in the graph's order of one size; `step` hears of every measured schedule: how
/// many there were, and will be at most. It ends the search with an error of its own.
pub fn search(
    session: &mut Session,
    samples: &[Vec<(String, Tensor)>],
    goal: Goal,
    step: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Found> {
    if !(goal.share > 0.0 && goal.share < 1.0) {
        return Err(Error::Usage(format!(
            "a share of {} of the multiplications: it must lie between 0 and 1",
            goal.share
        )));
    }
    let mut trial = Trial::new(session, samples, step)?;
    let found = trial.search(goal);
    trial.session.set_tokens(None);
    found
}

/// Error of losing `r` tokens in a layer: `factor · r^power`.
#[derive(Clone, Copy)]
struct Law {
    factor: f64,
    power: f64,
}

impl Law {
    /// Through two points `(tokens, error)`.
    fn through([near, far]: [(f64, f64); 2]) -> Self {
        let floor = 1e-12;
        let (a, b) = (near.1.max(floor), far.1.max(floor));
        let power = ((b / a).ln() / (far.0 / near.0).ln()).clamp(1.0, 4.0);
        Law { factor: a / near.0.powf(power), power }
    }

    fn at(self, lost: usize) -> f64 {
        self.factor * (lost as f64).powf(self.power)
    }
}

/// How a layer loses tokens.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Prune,
    Merge,
    Pair,
}

const WAYS: [Way; 3] = [Way::Prune, Way::Merge, Way::Pair];

/// Multiplications by the numbers of tokens: `fixed + Σ before·(linear + square·before) + behind·forward`.
struct Cost {
    fixed: f64,
    linear: f64,
    square: f64,
    forward: f64,
}

struct Trial<'a, F> {
    session: &'a mut Session,
    samples: &'a [Vec<(String, Tensor)>],
    /// First outputs without a schedule.
    wanted: Vec<Vec<f32>>,
    dense: u64,
    sizes: Sizes,
    measured: usize,
    most: usize,
    step: F,
}

impl<'a, F: FnMut(usize, usize) -> Result<()>> Trial<'a, F> {
    fn new(session: &'a mut Session, samples: &'a [Vec<(String, Tensor)>], step: F) -> Result<Self> {
        if samples.is_empty() {
            return Err(Error::Usage("a schedule is searched on samples: give one at least".into()));
        }
        session.set_tokens(Some(Tokens { method: Method::Tome(0), map: false }));
        let mut wanted = Vec::new();
        for sample in samples {
            wanted.push(first_output(session, sample)?);
        }
        let report = session.report().unwrap_or_default();
        let sizes = report.tokens.ok_or_else(|| Error::Usage("the model has no tokens to reduce".into()))?;
        Ok(Trial { session, samples, wanted, dense: report.macs, sizes, measured: 0, most: 0, step })
    }

    fn search(&mut self, goal: Goal) -> Result<Found> {
        let layers = self.sizes.layers;
        self.most = 2 * WAYS.len() * layers + 3 + 2 * layers * goal.rounds + 1;
        let cost = self.cost()?;
        let budget = goal.share * self.dense as f64;
        let (laws, ways) = self.laws()?;
        let sizes = self.sizes;
        let filled = |lost: Vec<usize>, free: &[bool]| fill(lost, free, &laws, &ways, &cost, sizes, budget);
        let Some(mut lost) = filled(vec![0; layers], &vec![true; layers]) else {
            return Err(Error::Usage(format!(
                "{:.0} % of the multiplications cannot be reached by dropping tokens: ask for a larger share",
                100.0 * goal.share
            )));
        };
        let mut found = self.measure(&schedule(&lost, &ways, sizes))?;
        let mut stride = (sizes.tokens / 12).max(1);
        for _ in 0..goal.rounds {
            let mut better = false;
            for layer in 0..layers {
                for wanted in [lost[layer].saturating_sub(stride), lost[layer] + stride] {
                    let mut free = vec![true; layers];
                    let mut start = vec![0; layers];
                    (free[layer], start[layer]) = (false, wanted);
                    let Some(candidate) = filled(start, &free) else { continue };
                    if candidate == lost {
                        continue;
                    }
                    let measured = self.measure(&schedule(&candidate, &ways, sizes))?;
                    if measured.error < found.error && measured.macs as f64 <= budget {
                        (lost, found, better) = (candidate, measured, true);
                    }
                }
            }
            if !better {
                stride = (stride / 2).max(1);
            }
        }
        Ok(found)
    }

    /// From three counts: nothing lost, and the same number of tokens lost in the last layer and in the one before.
    fn cost(&mut self) -> Result<Cost> {
        let Sizes { layers, tokens, pinned } = self.sizes;
        if layers < 2 || tokens < pinned + 8 {
            return Err(Error::Usage(format!("{layers} layers of {tokens} tokens leave nothing to search")));
        }
        let ways = vec![Way::Prune; layers];
        let lose = (tokens - pinned) / 2;
        let mut saved = |layer: usize, lose: usize| -> Result<f64> {
            let mut lost = vec![0; layers];
            lost[layer] = lose;
            Ok((self.dense - self.measure(&schedule(&lost, &ways, self.sizes))?.macs) as f64)
        };
        let (last, before, fewer) = (saved(layers - 1, lose)?, saved(layers - 2, lose)?, saved(layers - 2, lose / 2)?);
        let (r, h, n) = (lose as f64, (lose / 2) as f64, tokens as f64);
        let forward = last / r;
        // What attention of the last layer saves: r·linear + (n² − (n − r)²)·square, at two values of r.
        let (a, b) = (before - 2.0 * r * forward, fewer - 2.0 * h * forward);
        let (ra, rb) = (n * n - (n - r) * (n - r), n * n - (n - h) * (n - h));
        let square = (a / r - b / h) / (ra / r - rb / h);
        let linear = (a - ra * square) / r;
        let blocks = layers as f64 * n * (linear + square * n + forward);
        Ok(Cost { fixed: self.dense as f64 - blocks, linear, square, forward })
    }

    /// Of each layer, with the way that loses less.
    fn laws(&mut self) -> Result<(Vec<Law>, Vec<Way>)> {
        let Sizes { layers, tokens, pinned } = self.sizes;
        let points = [1, 3].map(|eighths| ((tokens - pinned) * eighths / 8).max(eighths));
        let (mut laws, mut ways) = (Vec::new(), Vec::new());
        for layer in 0..layers {
            let mut best: Option<([f64; 2], Way)> = None;
            for way in WAYS {
                let mut errors = [0f64; 2];
                for (error, &point) in errors.iter_mut().zip(&points) {
                    let mut lost = vec![0; layers];
                    lost[layer] = point;
                    *error = self.measure(&schedule(&lost, &vec![way; layers], self.sizes))?.error;
                }
                if best.is_none_or(|(least, _)| errors[1] < least[1]) {
                    best = Some((errors, way));
                }
            }
            let Some(([near, far], way)) = best else { continue };
            laws.push(Law::through([(points[0] as f64, near), (points[1] as f64, far)]));
            ways.push(way);
        }
        Ok((laws, ways))
    }

    fn measure(&mut self, schedule: &Schedule) -> Result<Found> {
        self.session.set_tokens(Some(Tokens { method: Method::DiffRate(schedule.clone()), map: false }));
        let (mut error, mut square) = (0.0, 0.0);
        for (sample, wanted) in self.samples.iter().zip(&self.wanted) {
            let got = first_output(self.session, sample)?;
            error += got.iter().zip(wanted).map(|(g, w)| f64::from(g - w).powi(2)).sum::<f64>();
            square += wanted.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>();
        }
        self.measured += 1;
        (self.step)(self.measured, self.most.max(self.measured))?;
        let macs = self.session.report().map_or(0, |report| report.macs);
        Ok(Found { schedule: schedule.clone(), macs, dense: self.dense, error: error / square.max(f64::MIN_POSITIVE) })
    }
}

fn first_output(session: &mut Session, sample: &[(String, Tensor)]) -> Result<Vec<f32>> {
    let inputs: Vec<(&str, &Tensor)> = sample.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let outputs = session.run(&inputs)?;
    let (_, output) = outputs.first().ok_or_else(|| Error::Usage("the model has no output".into()))?;
    output.to_f32()
}

/// Tokens lost by layer as numbers of tokens kept.
fn schedule(lost: &[usize], ways: &[Way], sizes: Sizes) -> Schedule {
    let mut now = sizes.tokens;
    let (mut prune, mut merge, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for (&lost, way) in lost.iter().zip(ways) {
        let kept = now - lost;
        prune.push(if *way == Way::Merge { now } else { kept });
        merge.push(kept);
        pairs.push(if *way == Way::Pair { lost } else { 0 });
        now = kept;
    }
    Schedule { prune, merge, pairs }
}

/// Whether two patches stay, and every layer with pairs has as many.
fn possible(lost: &[usize], ways: &[Way], sizes: Sizes) -> bool {
    let mut now = sizes.tokens - sizes.pinned;
    lost.iter().zip(ways).all(|(&lost, way)| {
        let most = if *way == Way::Pair { now / 2 } else { now };
        now = now.saturating_sub(lost);
        lost <= most && now >= 2
    })
}

/// Takes tokens from the layers that are `free` until the budget is met; `None` where that is impossible.
fn fill(
    mut lost: Vec<usize>,
    free: &[bool],
    laws: &[Law],
    ways: &[Way],
    cost: &Cost,
    sizes: Sizes,
    budget: f64,
) -> Option<Vec<usize>> {
    let unit = (sizes.tokens / 100).max(1);
    if !possible(&lost, ways, sizes) {
        return None;
    }
    let layers = lost.len();
    let mut now = macs(&lost, cost, sizes.tokens);
    while now > budget {
        // A token more from one layer; or, since each is lost only once, earlier instead of later.
        let more = (0..layers).map(|layer| (layer, None));
        let earlier = (0..layers).flat_map(|layer| (layer + 1..layers).map(move |from| (layer, Some(from))));
        let changed = |(layer, from): (usize, Option<usize>)| {
            let mut to = lost.clone();
            to[layer] += unit;
            let mut price = laws[layer].at(to[layer]) - laws[layer].at(lost[layer]);
            if let Some(from) = from {
                to[from] = lost[from].checked_sub(unit)?;
                price -= laws[from].at(lost[from]) - laws[from].at(to[from]);
            }
            let after = macs(&to, cost, sizes.tokens);
            possible(&to, ways, sizes).then(|| (to, after, price / (now - after)))
        };
        let allowed = |&(layer, from): &(usize, Option<usize>)| free[layer] && from.is_none_or(|from| free[from]);
        (lost, now, _) = more.chain(earlier).filter(allowed).filter_map(changed).min_by(|a, b| a.2.total_cmp(&b.2))?;
    }
    Some(lost)
}

fn macs(lost: &[usize], cost: &Cost, tokens: usize) -> f64 {
    let mut now = tokens as f64;
    let layer = |lost: &usize| {
        let before = now;
        now -= *lost as f64;
        before * (cost.linear + cost.square * before) + now * cost.forward
    };
    cost.fixed + lost.iter().map(layer).sum::<f64>()
}
