//! Mixed precision: which encoding each weight gets, so that all together need no more than a mean of so many bits and
//! the model's output suffers least. The cost of an encoding is the error of its layer's output (of its weights, without
//! calibration) times what such an error does to the model's output.

use std::collections::BinaryHeap;

use super::encode::{Guide, encode, fitting};
use super::feedback::{Feedback, Statistics};
use super::report::{output_error, weight_error};
use super::spec::{Factors, Spec};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Rows that stand for a layer while its encodings are compared.
const ROWS: usize = 256;

/// An encoding that a weight could get.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub spec: Spec,
    /// Of the whole weight, stored.
    pub bits: f64,
    /// What it does to the model's output, relative to other candidates of any weight.
    pub cost: f64,
}

/// What is tried for every weight.
fn ladder() -> Vec<Spec> {
    let palette = |bits, factors| Spec::Palette { bits, rows: None, dim: 1, factors };
    let affine = |bits, group| Spec::Affine { bits, group, symmetric: false };
    let mut ladder = vec![Spec::F16, affine(4, 64), affine(8, 128)];
    ladder.extend([2, 3, 4, 6, 8].map(|bits| palette(bits, Factors::PerRow)));
    ladder.extend([2, 3, 4].map(|bits| palette(bits, Factors::PerGroup(64))));
    let vectors = |(bits, dim)| Spec::Palette { bits, rows: None, dim, factors: Factors::PerRow };
    // Four values of one bit each are a table of 16 vectors among others.
    ladder.extend([(4, 4), (6, 4), (8, 4), (4, 2), (6, 2), (8, 2)].map(vectors));
    ladder
}

/// Measures every encoding of the ladder on a weight. `effect`: squared error of the model's output per squared error of
/// this layer's.
pub fn candidates(weight: &Tensor, statistics: Option<&Statistics>, effect: f64) -> Result<Vec<Candidate>> {
    let part = sample(weight)?;
    let statistics = fitting(weight, statistics);
    let feedback = statistics.and_then(Feedback::new);
    // Tables fitted once more are better, all of them alike, and take long.
    let guide = statistics.map(|statistics| Guide { statistics, feedback: feedback.as_ref(), refit: false });
    let share = weight.len() as f64 / part.len().max(1) as f64;
    let mut found = Vec::new();
    for spec in ladder() {
        // A table of 2^8 values for a handful of weights, or values beyond f16, are no use.
        let guide = guide.as_ref().filter(|_| spec != Spec::F16);
        let Ok(encoded) = encode(&part, &spec, guide) else { continue };
        let error = match statistics {
            Some(s) => output_error(&part, &encoded, s)?.0,
            None => weight_error(&part, &encoded)?.0,
        };
        let table = if let Spec::Palette { bits, dim, .. } = spec { 32.0 * ((dim as u64) << bits) as f64 } else { 0.0 };
        let bits = (8.0 * encoded.bytes() as f64 - table) * share + table;
        found.push(Candidate { spec, bits, cost: error * share * effect });
    }
    match found.is_empty() {
        true => Err(Error::Usage("no encoding fits the weight; exclude it".into())),
        false => Ok(found),
    }
}

/// Some rows of a weight, evenly spaced.
fn sample(weight: &Tensor) -> Result<Tensor> {
    let mut shape = weight.shape().to_vec();
    let rows = shape.first().copied().unwrap_or(0);
    let step = rows.div_ceil(ROWS).max(1);
    if step == 1 {
        return Ok(weight.clone());
    }
    let cols = weight.len() / rows;
    let data = weight.slice::<f32>()?;
    let picked: Vec<f32> = data.chunks_exact(cols).step_by(step).flatten().copied().collect();
    shape[0] = picked.len() / cols;
    Tensor::new(shape, &picked)
}

/// Those that need so many bits or more, or all of them if none does.
pub fn at_least(bits: f64, candidates: &[Candidate]) -> Vec<Candidate> {
    let some: Vec<Candidate> = candidates.iter().filter(|c| c.bits >= bits).cloned().collect();
    if some.is_empty() { candidates.to_vec() } else { some }
}

/// The candidate for each weight, so that their bits stay within `budget`: starting from the smallest, again and again
/// the step up that takes away most cost per bit. Steps go along the lower convex hull, on which this is optimal but for
/// the last step.
pub fn choose(weights: &[Vec<Candidate>], budget: f64) -> Result<Vec<Spec>> {
    let hulls: Vec<Vec<&Candidate>> = weights.iter().map(|w| hull(w)).collect();
    let mut at = vec![0; hulls.len()];
    let mut bits: f64 = hulls.iter().filter_map(|h| h.first()).map(|c| c.bits).sum();
    if bits > budget {
        let what = format!("so few bits cannot be reached: {bits:.0} are needed at least, {budget:.0} allowed");
        return Err(Error::Usage(what));
    }
    let step = |weight: usize, at: usize| -> Option<Step> {
        let (from, to) = (hulls[weight].get(at)?, hulls[weight].get(at + 1)?);
        let bits = to.bits - from.bits;
        Some(Step { gain: (from.cost - to.cost) / bits, weight, bits })
    };
    let mut steps: BinaryHeap<Step> = (0..hulls.len()).filter_map(|w| step(w, 0)).collect();
    while let Some(next) = steps.pop() {
        if bits + next.bits <= budget {
            bits += next.bits;
            at[next.weight] += 1;
            steps.extend(step(next.weight, at[next.weight]));
        }
    }
    Ok(hulls.iter().zip(at).filter_map(|(hull, at)| hull.get(at)).map(|c| c.spec.clone()).collect())
}

struct Step {
    /// Cost per bit.
    gain: f64,
    weight: usize,
    bits: f64,
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.gain.total_cmp(&other.gain).then(other.weight.cmp(&self.weight))
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Step {}

/// The candidates on the lower convex hull of cost over bits, by ascending bits.
fn hull(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by(|a, b| a.bits.total_cmp(&b.bits).then(a.cost.total_cmp(&b.cost)));
    let mut hull: Vec<&Candidate> = Vec::new();
    for next in sorted {
        if hull.last().is_some_and(|last| next.cost >= last.cost || next.bits <= last.bits) {
            continue;
        }
        let slope = |a: &Candidate, b: &Candidate| (a.cost - b.cost) / (b.bits - a.bits);
        while let [.., before, last] = hull.as_slice()
            && slope(before, last) <= slope(last, next)
        {
            hull.pop();
        }
        hull.push(next);
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(bits: f64, cost: f64) -> Candidate {
        Candidate { spec: Spec::Auto { bits }, bits, cost }
    }

    fn bits(specs: &[Spec]) -> Vec<f64> {
        specs.iter().map(|s| if let Spec::Auto { bits } = s { *bits } else { 0.0 }).collect()
    }

    #[test]
    fn only_the_hull_is_climbed() {
        let all = [candidate(2.0, 10.0), candidate(3.0, 9.5), candidate(4.0, 1.0), candidate(5.0, 2.0)];
        let found: Vec<f64> = hull(&all).iter().map(|c| c.bits).collect();
        assert_eq!(found, [2.0, 4.0]);
    }

    #[test]
    fn bits_go_where_they_help_most() {
        let weights = [
            vec![candidate(2.0, 10.0), candidate(4.0, 2.0), candidate(8.0, 0.0)],
            vec![candidate(2.0, 100.0), candidate(4.0, 20.0), candidate(8.0, 0.0)],
        ];
        assert_eq!(bits(&choose(&weights, 6.0).unwrap()), [2.0, 4.0]);
        assert_eq!(bits(&choose(&weights, 10.0).unwrap()), [2.0, 8.0]);
        assert_eq!(bits(&choose(&weights, 16.0).unwrap()), [8.0, 8.0]);
        assert!(choose(&weights, 3.0).is_err());
    }
}
