//! Early exit (DeeDiff, Tang et al. 2023): a model stops behind the first layer whose head is sure enough.

use crate::graph::exits::Exit;
use crate::graph::{Graph, Model};
use crate::runtime::{Activations, Device, Session};
use crate::tensor::Tensor;
use crate::weights::elastic::Precision;
use crate::{Error, Result};

/// A model with exits (`graph::exits`) in parts, each up to the next exit. Values go from part to part over the host, also
/// on a GPU: what decides whether the next part runs has to be read anyway.
pub struct EarlyExit {
    parts: Vec<Part>,
    threshold: f32,
    layers: usize,
    /// Names of the model's outputs.
    outputs: Vec<String>,
    /// Parts that the last run took.
    ran: usize,
}

struct Part {
    session: Session,
    /// Names of its inputs.
    inputs: Vec<String>,
    layers: usize,
    /// `None` at the end of the model.
    uncertainty: Option<String>,
    /// Names of what stands for the model's outputs here.
    outputs: Vec<String>,
}

/// What a run gave.
pub struct Left {
    /// By the names and in the order of the model's outputs, those of exits left out.
    pub outputs: Vec<(String, Tensor)>,
    /// Layers that ran.
    pub layers: usize,
}

impl EarlyExit {
    /// Runs stop where the uncertainty of all of a batch is below `threshold`; at 0 the model is run as a whole, without its
    /// exits. `Error::Usage` for a negative threshold, and for a model without exits.
    pub fn new(model: &Model, device: &Device, threshold: f32) -> Result<Self> {
        if threshold.is_nan() || threshold < 0.0 {
            return Err(Error::Usage(format!("a threshold of {threshold} for early exit; it is 0 or more")));
        }
        let exits = model.graph.exits()?;
        if exits.is_empty() {
            return Err(Error::Usage("the model has no early exits: outputs called `exit.LAYER.uncertainty`".into()));
        }
        let layers = model.layers(&exits);
        let whole = model.graph.without_exits();
        let outputs = names(&whole, &whole.outputs);
        let taken: &[Exit] = if threshold > 0.0 { &exits } else { &[] };
        let mut ends: Vec<_> = taken.iter().map(|exit| [&[exit.uncertainty], &exit.outputs[..]].concat()).collect();
        ends.push(whole.outputs.clone());
        let mut parts = Vec::with_capacity(ends.len());
        for (i, graph) in model.graph.stages(&ends).into_iter().enumerate() {
            let exit = taken.get(i);
            let name = |id| model.graph.value(id).name.clone();
            parts.push(Part {
                inputs: names(&graph, &graph.inputs),
                session: Session::new(&Model { graph, ..Model::default() }, device)?,
                layers: exit.map_or(layers, |exit| exit.layers),
                uncertainty: exit.map(|exit| name(exit.uncertainty)),
                outputs: exit.map_or_else(|| outputs.clone(), |exit| names(&model.graph, &exit.outputs)),
            });
        }
        Ok(EarlyExit { parts, threshold, layers, outputs, ran: 0 })
    }

    /// Layers of the whole model.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Layers that the last run took.
    pub fn ran(&self) -> usize {
        self.ran.checked_sub(1).and_then(|last| self.parts.get(last)).map_or(0, |part| part.layers)
    }

    /// Multiplications of the last run, heads of exits included.
    pub fn macs(&self) -> u64 {
        let reports = self.parts[..self.ran].iter().filter_map(|part| part.session.report());
        reports.map(|report| report.macs).sum()
    }

    /// See `Session::set_activations`.
    pub fn set_activations(&mut self, activations: Activations) {
        self.parts.iter_mut().for_each(|part| part.session.set_activations(activations));
    }

    /// See `Session::set_precision`.
    pub fn set_precision(&mut self, precision: Precision) -> Result<()> {
        // Parts without such weights refuse.
        let set: Vec<_> = self.parts.iter_mut().map(|part| part.session.set_precision(precision)).collect();
        if set.iter().any(Result::is_ok) { Ok(()) } else { set.into_iter().collect() }
    }

    /// Runs on named inputs, as far as it must.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Left> {
        pollster::block_on(self.run_async(inputs))
    }

    /// Like `run`.
    pub async fn run_async(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Left> {
        let mut known: Vec<(String, Tensor)> =
            inputs.iter().map(|(name, tensor)| (name.to_string(), (*tensor).clone())).collect();
        for (i, part) in self.parts.iter_mut().enumerate() {
            self.ran = i + 1;
            let given = part.inputs.iter().map(|name| Ok((name.as_str(), find(&known, name)?)));
            let made = part.session.run_async(&given.collect::<Result<Vec<_>>>()?).await?;
            known.extend(made);
            let sure = match &part.uncertainty {
                Some(name) => find(&known, name)?.to_f32()?.iter().all(|&u| u < self.threshold),
                None => true,
            };
            if sure {
                let pairs = self.outputs.iter().zip(&part.outputs);
                let outputs = pairs.map(|(name, here)| Ok((name.clone(), find(&known, here)?.clone())));
                return Ok(Left { outputs: outputs.collect::<Result<_>>()?, layers: part.layers });
            }
        }
        Err(Error::Usage("a model without parts".into()))
    }
}

fn names(graph: &Graph, ids: &[crate::graph::ValueId]) -> Vec<String> {
    ids.iter().map(|&id| graph.value(id).name.clone()).collect()
}

fn find<'a>(known: &'a [(String, Tensor)], name: &str) -> Result<&'a Tensor> {
    let found = known.iter().rev().find(|(known, _)| known == name);
    found.map(|(_, tensor)| tensor).ok_or_else(|| Error::Usage(format!("input `{name}` is missing")))
}
