//! From a base and its fine-tuned model to a delta.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::base::is_changed_in_f32;
use super::names::pairs;
use super::soup::same;
use super::{Change, Delta, Rows, Sparse, Ternary, identity};
use crate::graph::{Graph, Weight};
use crate::tensor::{Shape, Tensor};
use crate::{Error, Result};

/// What is kept of a difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `compeft:FRACTION[:alpha=A]`: the signs of this fraction of the values, the largest.
    Ternary {
        density: f64,
        /// The size of a value in standard deviations; `None`: the one with the least error.
        alpha: Option<f64>,
    },
    /// `sparse:FRACTION`: this fraction of the values, the largest.
    Sparse { density: f64 },
    /// `rows:N`: so many rows of each matrix, those that changed most.
    Rows { count: usize },
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let forms = "compeft:FRACTION[:alpha=A], sparse:FRACTION or rows:N";
            Error::Usage(format!("`{text}` is no kind of delta: expected {forms}, a fraction above 0 up to 1"))
        };
        let density = |text: &str| match text.parse::<f64>() {
            Ok(density) if density > 0.0 && density <= 1.0 => Ok(density),
            _ => Err(wrong()),
        };
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["compeft", fraction] => Ok(Kind::Ternary { density: density(fraction)?, alpha: None }),
            ["compeft", fraction, alpha] => {
                let alpha = alpha.strip_prefix("alpha=").and_then(|alpha| alpha.parse::<f64>().ok());
                let alpha = alpha.filter(|alpha| alpha.is_finite() && *alpha > 0.0).ok_or_else(wrong)?;
                Ok(Kind::Ternary { density: density(fraction)?, alpha: Some(alpha) })
            }
            ["sparse", fraction] => Ok(Kind::Sparse { density: density(fraction)? }),
            ["rows", count] => match count.parse() {
                Ok(count) if count > 0 => Ok(Kind::Rows { count }),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

/// A delta, and how much it says.
pub struct Made {
    pub delta: Delta,
    /// Values of the tensors that differ.
    pub values: usize,
    /// `1 − ‖τ − τ'‖² / ‖τ‖²` of the difference τ and what the delta makes of it, over tensors of floats.
    pub explained: f64,
}

/// A tensor that differs: `τ = tuned − base` in f32, flattened.
struct Difference<'a> {
    name: &'a str,
    shape: Shape,
    tau: Vec<f32>,
    tuned: &'a Weight,
}

/// What turns `base` into `tuned`, as far as `kind` keeps it. Tensors of other types than f32, f16 and bf16 that differ are
/// stored whole, and so are, for `Sparse`, those for which that is smaller; `Rows` passes over vectors.
///
/// `Error::Usage` unless both have the same tensors and differ somewhere, by finite numbers.
pub fn make(base: &Graph, tuned: &Graph, kind: Kind) -> Result<Made> {
    let mut changes = BTreeMap::new();
    let mut differences = Vec::new();
    let mut values = 0;
    for (name, id, other) in pairs(base, tuned)? {
        let (Some(from), Some(to)) = (base.weights.get(&id), tuned.weights.get(&other)) else { continue };
        if same(from, to) {
            continue;
        }
        let ty = from.ty();
        values += ty.len();
        if !is_changed_in_f32(ty.dtype) {
            insert(&mut changes, name, Change::Whole(dense(to)?))?;
            continue;
        }
        let (from, wanted) = (dense(from)?.to_f32()?, dense(to)?.to_f32()?);
        let tau: Vec<f32> = wanted.iter().zip(&from).map(|(to, from)| to - from).collect();
        if tau.iter().any(|value| !value.is_finite()) {
            return Err(Error::Usage(format!("`{name}` differs by what is no finite number")));
        }
        if u32::try_from(tau.len()).is_err() {
            return Err(Error::Unsupported(format!("`{name}` has more than 2^32 values")));
        }
        differences.push(Difference { name, shape: ty.shape, tau, tuned: to });
    }
    if values == 0 {
        return Err(Error::Usage("the models have the same weights: there is no delta".into()));
    }
    match kind {
        Kind::Ternary { density, alpha } => ternary(&differences, density, alpha, &mut changes)?,
        Kind::Sparse { density } => sparse(&differences, density, &mut changes)?,
        Kind::Rows { count } => rows(&differences, count, &mut changes)?,
    }
    let explained = explained(&differences, &changes);
    Ok(Made { delta: Delta { base: Some(identity(base)), changes }, values, explained })
}

fn insert(changes: &mut BTreeMap<String, Change>, name: &str, change: Change) -> Result<()> {
    match changes.insert(name.to_string(), change) {
        None => Ok(()),
        Some(_) => Err(Error::Unsupported(format!("several tensors called `{name}` differ"))),
    }
}

fn dense(weight: &Weight) -> Result<Tensor> {
    match weight {
        Weight::Dense(tensor) => Ok(tensor.clone()),
        Weight::Encoded(encoded) => encoded.to_dense(),
    }
}

fn ternary(
    differences: &[Difference],
    density: f64,
    alpha: Option<f64>,
    changes: &mut BTreeMap<String, Change>,
) -> Result<()> {
    let kept = largest(differences, density);
    let all = || differences.iter().flat_map(|difference| &difference.tau).map(|&value| f64::from(value));
    let count = all().count() as f64;
    let mean = all().sum::<f64>() / count;
    // Of a sample, as `torch.std` has it.
    let deviation = (all().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0)).sqrt();
    let size = match alpha {
        Some(alpha) => alpha * deviation,
        // The mean is what differs from the values kept by the least squares.
        None => {
            let sizes = differences
                .iter()
                .zip(&kept)
                .flat_map(|(difference, kept)| kept.iter().map(|&at| f64::from(difference.tau[at as usize].abs())));
            sizes.sum::<f64>() / kept.iter().map(Vec::len).sum::<usize>().max(1) as f64
        }
    };
    for (difference, kept) in differences.iter().zip(kept).filter(|(_, kept)| !kept.is_empty()) {
        let negative: Vec<bool> = kept.iter().map(|&at| difference.tau[at as usize] < 0.0).collect();
        let change = Ternary::new(difference.shape.clone(), size as f32, &kept, &negative)?;
        insert(changes, difference.name, Change::Ternary(change))?;
    }
    Ok(())
}

fn sparse(differences: &[Difference], density: f64, changes: &mut BTreeMap<String, Change>) -> Result<()> {
    for (difference, kept) in differences.iter().zip(largest(differences, density)).filter(|(_, kept)| !kept.is_empty())
    {
        let values: Vec<f32> = kept.iter().map(|&at| difference.tau[at as usize]).collect();
        let change = Change::Sparse(Sparse::new(difference.shape.clone(), &kept, &values)?);
        let whole = Change::Whole(dense(difference.tuned)?);
        let smaller = if whole.bytes() <= change.bytes() { whole } else { change };
        insert(changes, difference.name, smaller)?;
    }
    Ok(())
}

fn rows(differences: &[Difference], count: usize, changes: &mut BTreeMap<String, Change>) -> Result<()> {
    for difference in differences.iter().filter(|difference| difference.shape.len() > 1) {
        let cols = difference.shape[1..].iter().product::<usize>().max(1);
        let energy = |row: &[f32]| row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        let mut order: Vec<(f64, u32)> = difference.tau.chunks(cols).map(energy).zip(0..).collect();
        order.retain(|(energy, _)| *energy > 0.0);
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut kept: Vec<u32> = order.iter().take(count).map(|(_, row)| *row).collect();
        kept.sort_unstable();
        let values: Vec<f32> =
            kept.iter().flat_map(|&row| &difference.tau[row as usize * cols..][..cols]).copied().collect();
        insert(changes, difference.name, Change::Rows(Rows::new(difference.shape.clone(), &kept, &values)?))?;
    }
    Ok(())
}

/// Of each difference the positions, ascending, of its part of the `density · N` largest of all N values; of equal ones
/// those that come first, and never zeros.
fn largest(differences: &[Difference], density: f64) -> Vec<Vec<u32>> {
    let mut sizes: Vec<f32> =
        differences.iter().flat_map(|difference| &difference.tau).map(|value| value.abs()).collect();
    let count = (sizes.len() as f64 * density).round() as usize;
    if count == 0 {
        return vec![Vec::new(); differences.len()];
    }
    let (larger, &mut least, _) = sizes.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    // Values as large as the least that is kept, as far as there is room.
    let mut room = count - larger.iter().filter(|&&size| size > least).count();
    let mut keeps = |value: f32| {
        let ties = value.abs() == least && room > 0;
        room -= usize::from(ties);
        value != 0.0 && (value.abs() > least || ties)
    };
    let positions = |difference: &Difference| {
        let kept = difference.tau.iter().zip(0..).filter(|&(&value, _)| keeps(value));
        kept.map(|(_, at)| at).collect()
    };
    differences.iter().map(positions).collect()
}

fn explained(differences: &[Difference], changes: &BTreeMap<String, Change>) -> f64 {
    let (mut all, mut left) = (0f64, 0f64);
    for difference in differences {
        let mut made = vec![0f32; difference.tau.len()];
        match changes.get(difference.name) {
            Some(Change::Whole(_)) => made.copy_from_slice(&difference.tau),
            Some(change) => change.add(&mut made),
            None => {}
        }
        for (tau, made) in difference.tau.iter().zip(made) {
            all += f64::from(*tau).powi(2);
            left += (f64::from(*tau) - f64::from(made)).powi(2);
        }
    }
    if all > 0.0 { 1.0 - left / all } else { 1.0 }
}
