//! What of a model is trained, and its gradients.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::optimizer::Parameter;
use super::palette::{self, PaletteParameters};
use crate::cpu::Threads;
use crate::graph::{Graph, ValueId, Weight};
use crate::tensor::{DType, Tensor};
use crate::weights::Encoded;
use crate::{Error, Result};

enum Part {
    /// A norm's weight, a bias.
    Vector(Parameter),
    Palette(PaletteParameters),
}

/// By weight.
pub struct Trained(BTreeMap<ValueId, Part>);

impl Trained {
    pub fn new(graph: &Graph) -> Result<Self> {
        let mut parts = BTreeMap::new();
        for (&id, weight) in &graph.weights {
            let part = match weight {
                Weight::Dense(dense) if dense.dtype() == DType::F32 && dense.shape().len() == 1 && dense.len() > 1 => {
                    let values = dense.slice::<f32>()?.to_vec();
                    let scales = graph.nodes.iter().any(|n| n.op.ends_with("Normalization") && n.input(1) == Some(id));
                    Part::Vector(if scales { Parameter::factors(values) } else { Parameter::terms(values) })
                }
                Weight::Encoded(encoded) => match &**encoded {
                    Encoded::Palette(weight) => Part::Palette(PaletteParameters::new(weight)),
                    _ => continue,
                },
                _ => continue,
            };
            parts.insert(id, part);
        }
        match parts.is_empty() {
            true => Err(Error::Usage("nothing of the model can be trained: no palettes, norms or biases".into())),
            false => Ok(Trained(parts)),
        }
    }

    pub fn contains(&self, id: ValueId) -> bool {
        self.0.contains_key(&id)
    }

    /// Adds what the loss changes by with each element of a weight.
    pub fn add(&mut self, graph: &Graph, id: ValueId, gradient: &[f32], threads: &Threads) {
        match (self.0.get_mut(&id), graph.weights.get(&id)) {
            (Some(Part::Vector(vector)), _) => {
                vector.gradient.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
            (Some(Part::Palette(parameters)), Some(Weight::Encoded(encoded))) => {
                if let Encoded::Palette(weight) = &**encoded {
                    palette::add(weight, parameters, gradient, threads);
                }
            }
            _ => {}
        }
    }

    /// Moves everything against its gradient, and forgets that.
    pub fn step(&mut self, rate: f64) {
        for part in self.0.values_mut() {
            match part {
                Part::Vector(vector) => vector.step(rate),
                Part::Palette(parameters) => parameters.step(rate),
            }
        }
    }

    /// Writes the weights as they are now.
    pub fn put(&self, graph: &mut Graph) -> Result<()> {
        for (&id, part) in &self.0 {
            let Some(weight) = graph.weights.get_mut(&id) else { continue };
            match (part, &*weight) {
                (Part::Vector(vector), Weight::Dense(dense)) => {
                    *weight = Weight::Dense(Tensor::new(dense.shape(), &vector.values)?);
                }
                (Part::Palette(parameters), Weight::Encoded(encoded)) => {
                    if let Encoded::Palette(old) = &**encoded {
                        *weight = Weight::Encoded(Arc::new(parameters.rebuilt(old)?.into()));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
