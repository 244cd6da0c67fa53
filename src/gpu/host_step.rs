//! A node without a GPU kernel, computed by its CPU kernel between two submissions.

use std::collections::HashMap;

use crate::cpu::{self, Arg, Call, Kernel, Packs, Prepared, Threads};
use crate::graph::{Place, Schedule, Weight};
use crate::tensor::{DType, Tensor, TensorType};
use crate::{Error, Result};

pub struct HostStep {
    kernel: &'static Kernel,
    prepared: Option<Prepared>,
    /// f32 forms of encoded inputs that the kernel does not take, by input.
    decoded: HashMap<usize, Tensor>,
}

impl HostStep {
    pub fn build(schedule: &Schedule, index: usize, threads: &Threads, packs: &Packs) -> Result<Self> {
        let node = schedule.graph.nodes.get(index).ok_or_else(|| Error::Usage(format!("there is no node {index}")))?;
        let kernel = cpu::find(&node.op).ok_or_else(|| Error::UnknownOperator(node.op.clone()))?;
        let mut decoded = HashMap::new();
        for (i, id) in node.inputs.iter().enumerate() {
            if let Some(Place::Weight(root)) = id.map(|id| schedule.place(id))
                && let Some(Weight::Encoded(encoded)) = schedule.graph.weights.get(&root)
                && !kernel.encoded_inputs.contains(&i)
            {
                decoded.insert(i, encoded.to_dense()?);
            }
        }
        Ok(HostStep { kernel, prepared: cpu::program::prepare(kernel, node, schedule, threads, packs)?, decoded })
    }

    /// Slots that must be on the host before the call, with the types to read them as.
    pub fn reads(schedule: &Schedule, index: usize) -> Vec<(usize, TensorType)> {
        let mut reads: Vec<(usize, TensorType)> = Vec::new();
        for &id in schedule.graph.nodes[index].inputs.iter().flatten() {
            if let (Place::Slot(slot), Some(ty)) = (schedule.place(id), schedule.ty(id))
                && !reads.iter().any(|(s, _)| *s == slot)
            {
                reads.push((slot, ty.clone()));
            }
        }
        reads
    }

    /// The node's outputs; `None` for outputs left out. `slots` holds what `reads` asked for.
    pub fn run(
        &self,
        schedule: &Schedule,
        index: usize,
        inputs: &[&Tensor],
        slots: &HashMap<usize, Tensor>,
        threads: &Threads,
    ) -> Result<Vec<Option<Tensor>>> {
        let node = &schedule.graph.nodes[index];
        let lost = |i: usize| node.error(format!("input {i} has no storage"));
        // Dense inputs under the shape the node sees; encoded ones as they are.
        let mut tensors: Vec<Option<Tensor>> = Vec::with_capacity(node.inputs.len());
        for (i, id) in node.inputs.iter().enumerate() {
            let Some(id) = *id else {
                tensors.push(None);
                continue;
            };
            let found = match schedule.place(id) {
                Place::Slot(slot) => Some(slots.get(&slot).ok_or_else(|| lost(i))?),
                Place::Input(n) => Some(*inputs.get(n).ok_or_else(|| lost(i))?),
                Place::Weight(root) => match schedule.graph.weights.get(&root) {
                    Some(Weight::Dense(tensor)) => Some(tensor),
                    Some(Weight::Encoded(_)) => self.decoded.get(&i),
                    None => return Err(lost(i)),
                },
                Place::None => return Err(lost(i)),
            };
            let ty = schedule.ty(id).ok_or_else(|| lost(i))?;
            tensors.push(found.map(|t| t.reshaped(ty.shape.clone())).transpose()?);
        }
        let args: Vec<Option<Arg>> = node
            .inputs
            .iter()
            .zip(&tensors)
            .map(|(id, tensor)| match (tensor, id.map(|id| schedule.place(id))) {
                (Some(tensor), _) => Some(Arg::Dense(tensor.view())),
                (None, Some(Place::Weight(root))) => match schedule.graph.weights.get(&root) {
                    Some(Weight::Encoded(encoded)) => Some(Arg::Encoded(encoded)),
                    _ => None,
                },
                _ => None,
            })
            .collect();

        let empty = TensorType::new(DType::F32, vec![0]);
        let types = node.outputs.iter().map(|id| id.and_then(|id| schedule.ty(id)).unwrap_or(&empty).clone());
        let mut results = types.map(Tensor::zeros).collect::<Result<Vec<_>>>()?;
        {
            let mut outputs: Vec<_> = results.iter_mut().map(Tensor::view_mut).collect();
            let prepared = self.prepared.as_ref();
            (self.kernel.run)(&mut Call { node, inputs: &args, outputs: &mut outputs, prepared, threads })?;
        }
        Ok(results.into_iter().zip(&node.outputs).map(|(t, id)| id.map(|_| t)).collect())
    }
}
