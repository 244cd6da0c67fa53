//! Structured removal: hidden channels of feed-forward layers, heads and channels of convolutions are left out of a model, so
//! that its matrices are smaller, whatever their encoding will be. What is left computes what the whole model does when the
//! layers that read a channel multiply it by 0.

mod budget;
mod closure;
mod group;
mod heads;
mod slice;
mod spelled;
mod watch;
mod worth;

use std::collections::HashSet;

use serde::Serialize;

pub use group::Kind;

use super::calibrate::{self, Sample};
use crate::graph::{Model, ValueId};
use crate::runtime::Device;
use crate::{Error, Result};
use group::Group;
use watch::Seen;

/// Widths are multiples of this, where that leaves a choice.
const MULTIPLE: usize = 16;

/// What is to be removed.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    /// Of each kind, the share of its channels.
    shares: Vec<(Kind, f64)>,
    multiple: Option<usize>,
}

impl Cuts {
    /// Each of `cuts` is `ffn=SHARE`, `heads=SHARE` or `channels=SHARE`. Numbers of channels are rounded to multiples of
    /// `multiple`; of 16, where not given and a layer has four times as many. Heads are counted one by one.
    pub fn parse(cuts: &[String], multiple: Option<usize>) -> Result<Self> {
        let mut parsed = Cuts { shares: Vec::new(), multiple };
        for text in cuts {
            let cut = cut(text).ok_or_else(|| {
                Error::Usage(format!(
                    "`{text}` is not ffn=SHARE, heads=SHARE or channels=SHARE with a SHARE between 0 and 1"
                ))
            })?;
            if parsed.shares.iter().any(|(kind, _)| *kind == cut.0) {
                return Err(Error::Usage(format!("`{text}` is the second share for the same")));
            }
            parsed.shares.push(cut);
        }
        match multiple {
            Some(0) => Err(Error::Usage("widths cannot be multiples of 0".into())),
            _ => Ok(parsed),
        }
    }

    fn unit(&self, group: &Group) -> usize {
        match self.multiple {
            _ if group.kind == Kind::Heads => 1,
            Some(multiple) => multiple,
            None if group.count >= 4 * MULTIPLE => MULTIPLE,
            None => 1,
        }
    }
}

fn cut(text: &str) -> Option<(Kind, f64)> {
    let (kind, share) = text.split_once('=')?;
    let kind = match kind {
        "ffn" => Kind::Ffn,
        "heads" => Kind::Heads,
        "channels" => Kind::Channels,
        _ => return None,
    };
    let share = share.parse().ok().filter(|share| *share > 0.0 && *share < 1.0)?;
    Some((kind, share))
}

/// What was left out of one group.
#[derive(Clone, Debug, Serialize)]
pub struct Removed {
    pub kind: Kind,
    /// The first weight that computes the channels.
    pub name: String,
    /// There were so many.
    pub channels: usize,
    /// The others, in rising order.
    pub kept: Vec<usize>,
    /// By how much the residual block around them turned its input, as a share of π; known with samples only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle: Option<f64>,
}

/// Removes what `cuts` says of the groups whose name (`Removed::name`) is `wanted`. With samples, the channels' values
/// count for what they are worth, and blocks keep more or less than the share by how far they turn their input; without, the weights
/// alone decide, and all keep the same. `progress` is called after each sample. Fails with `Usage` if the model has nothing of
/// a kind.
pub fn narrow(
    model: &mut Model,
    cuts: &Cuts,
    wanted: impl Fn(&str) -> bool,
    samples: &[Sample],
    device: &Device,
    mut progress: impl FnMut(),
) -> Result<Vec<Removed>> {
    calibrate::check(model, samples)?;
    let mut removed = Vec::new();
    for &(kind, share) in &cuts.shares {
        let mut groups = if kind == Kind::Heads { heads::find(&model.graph) } else { closure::find(&model.graph) };
        groups.retain(|group| group.kind == kind && wanted(&group.name(&model.graph)));
        if groups.is_empty() {
            return Err(Error::Usage(nothing(kind).into()));
        }
        let seen = match samples {
            [] => vec![Seen::default(); groups.len()],
            samples => watch::watch(model, &groups, samples, device, &mut progress)?,
        };
        removed.extend(remove(model, &groups, &seen, share, cuts)?);
    }
    let used: HashSet<ValueId> =
        model.graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).chain(&model.graph.outputs).copied().collect();
    model.graph.weights.retain(|id, _| used.contains(id));
    Ok(removed)
}

fn remove(model: &mut Model, groups: &[Group], seen: &[Seen], share: f64, cuts: &Cuts) -> Result<Vec<Removed>> {
    let angles: Vec<Option<f64>> = seen.iter().map(|seen| seen.angle).collect();
    let costs: Vec<usize> = groups.iter().map(|group| group.cost(&model.graph)).collect();
    let shares = budget::shares(&angles, &costs, 1.0 - share);
    let mut removed = Vec::new();
    for ((group, seen), share) in groups.iter().zip(seen).zip(shares) {
        let scores = worth::scores(&model.graph, group, seen.norms.as_deref())?;
        let kept = worth::best(&scores, budget::width(group.count, share, cuts.unit(group)));
        let name = group.name(&model.graph);
        if kept.len() < group.count {
            slice::keep(&mut model.graph, group, &kept)?;
        }
        removed.push(Removed { kind: group.kind, name, channels: group.count, kept, angle: seen.angle });
    }
    Ok(removed)
}

fn nothing(kind: Kind) -> &'static str {
    match kind {
        Kind::Ffn => {
            "nothing to cut with `ffn`: no channels that pass from linear layers through an activation to linear layers alone"
        }
        Kind::Heads => {
            "nothing to cut with `heads`: no attention of several heads with linear layers of its own before and behind it"
        }
        Kind::Channels => {
            "nothing to cut with `channels`: no channels that pass from a convolution to other layers alone"
        }
    }
}
