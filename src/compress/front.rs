//! Samples brought up to some layer by the float model, from where other models go on: what a change of that layer does is
//! seen without running those before it again.

use std::collections::BTreeSet;

use super::calibrate::Sample;
use super::walk::{Values, part, run};
use crate::Result;
use crate::graph::{Graph, Model};
use crate::runtime::{Device, Session};

pub struct Front<'a> {
    model: &'a Model,
    device: &'a Device,
    /// The node that is next.
    at: usize,
    /// Of each sample, what nodes from there on read of earlier ones.
    held: Vec<Values>,
}

impl<'a> Front<'a> {
    pub fn new(model: &'a Model, samples: &[Sample], device: &'a Device) -> Self {
        let values = |sample: &Sample| model.graph.inputs.iter().copied().zip(sample.iter().cloned()).collect();
        Front { model, device, at: 0, held: samples.iter().map(values).collect() }
    }

    /// Goes on to node `at`, which is not before where it was.
    pub fn advance(&mut self, at: usize) -> Result<()> {
        let Some(first) = self.held.first() else { return Ok(()) };
        let graph = &self.model.graph;
        let known: BTreeSet<_> = first.keys().copied().collect();
        let border = part(graph, at, &BTreeSet::new(), &graph.outputs).inputs;
        let new: Vec<_> = border.iter().copied().filter(|id| !known.contains(id)).collect();
        let mut session = self.session(part(graph, 0, &known, &new))?;
        for values in &mut self.held {
            run(&mut session, &new, values)?;
            values.retain(|id, _| border.contains(id));
        }
        self.at = at;
        Ok(())
    }

    /// What `model`, which differs from the float one from here on only, makes of each sample: its outputs that are floats.
    pub fn outputs(&self, model: &Model) -> Result<Vec<Vec<f32>>> {
        let Some(first) = self.held.first() else { return Ok(Vec::new()) };
        let outputs = &model.graph.outputs;
        let new: Vec<_> = outputs.iter().copied().filter(|id| !first.contains_key(id)).collect();
        let mut session = self.session(part(&model.graph, self.at, &BTreeSet::new(), &new))?;
        let mut found = Vec::new();
        for held in &self.held {
            let mut values = held.clone();
            run(&mut session, &new, &mut values)?;
            let floats = outputs.iter().filter_map(|id| values.get(id)?.slice::<f32>().ok());
            found.extend(floats.map(<[f32]>::to_vec));
        }
        Ok(found)
    }

    fn session(&self, graph: Graph) -> Result<Session> {
        Session::new(&Model { graph, ..Model::default() }, self.device)
    }
}
