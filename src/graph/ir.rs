//! The intermediate representation: values, nodes and weights. A graph is in SSA form with nodes in topological order.

use std::collections::{BTreeMap, HashSet};

use super::Attrs;
use crate::tensor::{DType, Tensor, TensorType};
use crate::weights::Encoded;
use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// A dimension as a file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    Known(usize),
    /// A named size that the caller chooses, e.g. `batch`. Unnamed ones get a name from the importer.
    Symbol(String),
}

#[derive(Clone, Debug)]
pub struct Value {
    pub name: String,
    /// Declared for graph inputs; elsewhere a hint.
    pub dtype: Option<DType>,
    pub dims: Option<Vec<Dim>>,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    /// ONNX operator name, or an own operator with prefix `fewbit.`.
    pub op: String,
    /// `None` = optional input left out.
    pub inputs: Vec<Option<ValueId>>,
    /// `None` = optional output left out.
    pub outputs: Vec<Option<ValueId>>,
    pub attrs: Attrs,
}

impl Node {
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::Node { operator: self.op.clone(), node: self.name.clone(), what: what.into() }
    }

    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }
}

/// A constant of the graph: dense, or in a few-bit encoding (which the graph sees as f32).
#[derive(Clone, Debug)]
pub enum Weight {
    Dense(Tensor),
    Encoded(std::sync::Arc<Encoded>),
}

impl Weight {
    pub fn ty(&self) -> TensorType {
        match self {
            Weight::Dense(t) => t.ty().clone(),
            Weight::Encoded(e) => TensorType::new(DType::F32, e.shape()),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Weight::Dense(t) => t.bytes().len(),
            Weight::Encoded(e) => e.bytes(),
        }
    }

    pub fn dense(&self) -> Option<&Tensor> {
        match self {
            Weight::Dense(t) => Some(t),
            Weight::Encoded(_) => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub name: String,
    pub values: Vec<Value>,
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    pub nodes: Vec<Node>,
    pub weights: BTreeMap<ValueId, Weight>,
}

impl Graph {
    pub fn add_value(&mut self, name: impl Into<String>) -> ValueId {
        self.values.push(Value { name: name.into(), dtype: None, dims: None });
        ValueId(self.values.len() as u32 - 1)
    }

    pub fn add_input(&mut self, name: impl Into<String>, dtype: DType, dims: Vec<Dim>) -> ValueId {
        let id = self.add_value(name);
        self.values[id.0 as usize].dtype = Some(dtype);
        self.values[id.0 as usize].dims = Some(dims);
        self.inputs.push(id);
        id
    }

    pub fn add_weight(&mut self, name: impl Into<String>, weight: Weight) -> ValueId {
        let id = self.add_value(name);
        self.weights.insert(id, weight);
        id
    }

    /// Appends a node with one fresh output and returns it.
    pub fn add_node(&mut self, op: &str, name: &str, inputs: &[ValueId], attrs: Attrs) -> ValueId {
        let output = self.add_value(name);
        self.nodes.push(Node {
            name: name.into(),
            op: op.into(),
            inputs: inputs.iter().map(|&i| Some(i)).collect(),
            outputs: vec![Some(output)],
            attrs,
        });
        output
    }

    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|v| v.name == name).map(|i| ValueId(i as u32))
    }

    /// Whether the other graph takes and gives the same: names, types and declared shapes of inputs and outputs.
    #[cfg(feature = "full")]
    pub fn has_face_of(&self, other: &Graph) -> bool {
        let same = |ids: &[ValueId], others: &[ValueId]| {
            let values = |graph: &'_ Graph, id: &ValueId| {
                let value = graph.value(*id);
                (value.name.clone(), value.dtype, value.dims.clone())
            };
            ids.iter().map(|id| values(self, id)).eq(others.iter().map(|id| values(other, id)))
        };
        same(&self.inputs, &other.inputs) && same(&self.outputs, &other.outputs)
    }

    /// Refuses ids out of range, values defined twice, uses before definition, and undefined outputs.
    pub fn validate(&self) -> Result<()> {
        let mut defined: HashSet<ValueId> = HashSet::new();
        let known = |id: ValueId| -> Result<ValueId> {
            if (id.0 as usize) < self.values.len() {
                return Ok(id);
            }
            Err(Error::format(self.name.clone(), format!("value number {} does not exist", id.0)))
        };
        for &id in self.inputs.iter().chain(self.weights.keys()) {
            defined.insert(known(id)?);
        }
        for node in &self.nodes {
            for &id in node.inputs.iter().flatten() {
                if !defined.contains(&known(id)?) {
                    return Err(node.error(format!(
                        "uses `{}` before it is computed (cycle, or nodes out of order)",
                        self.value(id).name
                    )));
                }
            }
            for &id in node.outputs.iter().flatten() {
                if !defined.insert(known(id)?) {
                    return Err(node.error(format!("computes `{}` a second time", self.value(id).name)));
                }
            }
        }
        for &id in &self.outputs {
            if !defined.contains(&known(id)?) {
                return Err(Error::format(
                    self.name.clone(),
                    format!("output `{}` is never computed", self.value(id).name),
                ));
            }
        }
        Ok(())
    }
}
