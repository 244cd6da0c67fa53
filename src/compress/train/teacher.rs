//! What the float model says of the samples: held as far as its last node, whose inputs are smaller than its outputs.

use std::collections::BTreeSet;

use super::super::calibrate::Sample;
use super::super::walk::{Values, part, run};
use crate::graph::{Graph, Model, ValueId};
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;
use crate::{Error, Result};

pub struct Teacher {
    output: ValueId,
    /// The last node alone.
    last: Session,
    /// Of each sample, what that node reads.
    held: Vec<Values>,
}

impl Teacher {
    pub fn new(model: &Model, samples: &[Sample], device: &Device, mut seen: impl FnMut()) -> Result<Self> {
        let graph = &model.graph;
        let output = graph.outputs.first().copied();
        let made = |id: &ValueId| graph.nodes.iter().position(|n| n.outputs.contains(&Some(*id)));
        let (Some(output), Some(at)) = (output, output.as_ref().and_then(made)) else {
            return Err(Error::Usage("the model to learn from computes no output".into()));
        };
        let last = part(graph, at, &BTreeSet::new(), &[output]);
        let border = last.inputs.clone();
        let known: BTreeSet<ValueId> = graph.inputs.iter().copied().collect();
        let wanted: Vec<ValueId> = border.iter().copied().filter(|id| !known.contains(id)).collect();
        let mut session = session(part(graph, 0, &BTreeSet::new(), &wanted), device)?;
        let mut held = Vec::with_capacity(samples.len());
        for sample in samples {
            let mut values: Values = graph.inputs.iter().copied().zip(sample.iter().cloned()).collect();
            run(&mut session, &wanted, &mut values)?;
            values.retain(|id, _| border.contains(id));
            held.push(values);
            seen();
        }
        Ok(Teacher { output, last: self::session(last, device)?, held })
    }

    /// The model's first output for a sample.
    pub fn outputs(&mut self, sample: usize) -> Result<Tensor> {
        let mut values = self.held[sample].clone();
        run(&mut self.last, &[self.output], &mut values)?;
        values.remove(&self.output).ok_or_else(|| Error::Usage("the model to learn from gave no output".into()))
    }
}

fn session(graph: Graph, device: &Device) -> Result<Session> {
    Session::new(&Model { graph, ..Model::default() }, device)
}
