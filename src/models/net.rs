//! A graph while the layers of a model are added to it, and the names that its file has for tensors.

use std::collections::BTreeMap;

use crate::graph::{Attr, Attrs, Dim, Graph, Node, ValueId, Weight};
use crate::tensor::{DType, Element, Tensor};
use crate::{Error, Result};

/// How a file names tensors, by the words that builders have for parts.
#[derive(Clone, Debug)]
pub struct Names {
    /// What every name begins with, e.g. `vit.`.
    pub prefix: String,
    /// What a part of a block has between the prefix and its own name, e.g. `encoder.layer.`; its number follows.
    pub block: &'static str,
    pub parts: &'static [(&'static str, &'static str)],
}

impl Names {
    /// Whether the architecture has this part.
    pub fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|(word, _)| *word == part)
    }

    /// The name of a part of block `block`, or of none. A part that the architecture does not have keeps the builder's
    /// word, which no tensor is called.
    pub fn of(&self, block: Option<usize>, part: &str) -> String {
        let name = self.parts.iter().find(|(word, _)| *word == part).map_or(part, |(_, name)| name);
        match block {
            Some(i) => format!("{}{}{i}.{name}", self.prefix, self.block),
            None => format!("{}{name}", self.prefix),
        }
    }
}

/// A graph that grows, and its weights by name.
pub struct Net {
    /// Names the file in messages.
    file: String,
    pub graph: Graph,
    weights: BTreeMap<String, ValueId>,
}

impl Net {
    /// A graph that keeps every weight under its name.
    pub fn new(file: &str, name: &str, weights: BTreeMap<String, Weight>) -> Self {
        let mut graph = Graph { name: name.into(), ..Graph::default() };
        let ids = weights.into_iter().map(|(name, weight)| (name.clone(), graph.add_weight(name, weight)));
        let weights = ids.collect();
        Net { file: file.into(), graph, weights }
    }

    pub fn finish(self) -> Result<Graph> {
        self.graph.validate()?;
        Ok(self.graph)
    }

    /// The graph so far and its weights by name, for a builder that goes on.
    pub fn into_parts(self) -> (Graph, BTreeMap<String, ValueId>) {
        (self.graph, self.weights)
    }

    /// What is wrong with the file.
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::format(&self.file, what)
    }

    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.weights.get(name).copied()
    }

    pub fn need(&self, name: &str) -> Result<ValueId> {
        self.find(name).ok_or_else(|| self.error(format!("tensor `{name}` is missing")))
    }

    /// The shape of a tensor that must have `N` dimensions.
    pub fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let ty = self.graph.weights.get(&self.need(name)?).map(Weight::ty);
        let shape = ty.and_then(|ty| <[usize; N]>::try_from(ty.shape).ok());
        shape.ok_or_else(|| self.error(format!("tensor `{name}` does not have {N} dimensions")))
    }

    /// A tensor that is computed with as it is, so in f32 if the file has it in half precision.
    pub fn dense(&mut self, name: &str) -> Result<ValueId> {
        let id = self.need(name)?;
        if let Some(Weight::Encoded(encoded)) = self.graph.weights.get(&id) {
            let dense = encoded.to_dense()?;
            self.graph.weights.insert(id, Weight::Dense(dense));
        }
        Ok(id)
    }

    /// Fails unless `width` divides into `heads`.
    pub fn check_heads(&self, width: usize, heads: usize) -> Result<()> {
        match heads > 0 && width.is_multiple_of(heads) {
            true => Ok(()),
            false => Err(self.error(format!("a width of {width} does not divide into {heads} heads"))),
        }
    }

    pub fn node(&mut self, op: &str, name: &str, inputs: &[ValueId], attrs: Attrs) -> ValueId {
        self.graph.add_node(op, name, inputs, attrs)
    }

    /// A node without attributes.
    pub fn plain(&mut self, op: &str, name: &str, inputs: &[ValueId]) -> ValueId {
        self.node(op, name, inputs, Attrs::default())
    }

    /// A node with one attribute.
    pub fn with(&mut self, op: &str, name: &str, inputs: &[ValueId], key: &str, value: Attr) -> ValueId {
        self.node(op, name, inputs, Attrs::from([(key, value)]))
    }

    /// A node that leaves inputs out, and has several outputs.
    pub fn wide<const N: usize>(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[Option<ValueId>],
        attrs: Attrs,
    ) -> [ValueId; N] {
        let outputs: [ValueId; N] = std::array::from_fn(|i| self.graph.add_value(format!("{name}.{i}")));
        self.graph.nodes.push(Node {
            name: name.into(),
            op: op.into(),
            inputs: inputs.to_vec(),
            outputs: outputs.map(Some).to_vec(),
            attrs,
        });
        outputs
    }

    /// A vector that the file does not have.
    pub fn vector<T: Element>(&mut self, name: &str, values: &[T]) -> Result<ValueId> {
        let tensor = Tensor::new([values.len()], values)?;
        Ok(self.graph.add_weight(name, Weight::Dense(tensor)))
    }

    /// A number that the file does not have.
    pub fn scalar<T: Element>(&mut self, name: &str, value: T) -> ValueId {
        self.graph.add_weight(name, Weight::Dense(Tensor::scalar(value)))
    }

    /// `x · Wᵀ`, plus a bias if there is one.
    pub fn linear(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        let weight = self.need(&format!("{name}.weight"))?;
        let bias = self.find(&format!("{name}.bias"));
        let inputs: Vec<ValueId> = [x, weight].into_iter().chain(bias).collect();
        Ok(self.with("fewbit.Linear", name, &inputs, "transposed", Attr::Int(1)))
    }

    /// Layer normalisation of the last axis.
    pub fn norm(&mut self, name: &str, epsilon: f32, x: ValueId) -> Result<ValueId> {
        let (weight, bias) = (self.need(&format!("{name}.weight"))?, self.need(&format!("{name}.bias"))?);
        let attrs = Attrs::from([("axis", Attr::Int(-1)), ("epsilon", Attr::Float(epsilon))]);
        Ok(self.node("LayerNormalization", name, &[x, weight, bias], attrs))
    }

    pub fn reshape(&mut self, name: &str, x: ValueId, shape: &[i64]) -> Result<ValueId> {
        let shape = self.vector(&format!("{name}.shape"), shape)?;
        Ok(self.plain("Reshape", name, &[x, shape]))
    }

    /// One element of an axis, without that axis; −1 is the last.
    pub fn pick(&mut self, name: &str, x: ValueId, axis: i64, index: i64) -> ValueId {
        let index = self.scalar(&format!("{name}.index"), index);
        self.with("Gather", name, &[x, index], "axis", Attr::Int(axis))
    }

    /// Elements `from..to` of an axis; `to` a vector of one element.
    pub fn part(&mut self, name: &str, x: ValueId, axis: i64, from: i64, to: ValueId) -> Result<ValueId> {
        let from = self.vector(&format!("{name}.from"), &[from])?;
        let axis = self.vector(&format!("{name}.axis"), &[axis])?;
        Ok(self.plain("Slice", name, &[x, from, to, axis]))
    }

    /// The size of an axis, as a vector of one element.
    pub fn size(&mut self, name: &str, x: ValueId, axis: i64) -> ValueId {
        let attrs = Attrs::from([("start", Attr::Int(axis)), ("end", Attr::Int(axis + 1))]);
        self.node("Shape", name, &[x], attrs)
    }

    pub fn concat(&mut self, name: &str, parts: &[ValueId], axis: i64) -> ValueId {
        self.with("Concat", name, parts, "axis", Attr::Int(axis))
    }

    /// Makes a value an output of the graph, f32, under a name of its own.
    pub fn output(&mut self, name: &str, value: ValueId, dims: &[Dim]) {
        // Two outputs may be the same value.
        let value = match self.graph.outputs.contains(&value) {
            true => self.plain("Identity", name, &[value]),
            false => value,
        };
        let declared = &mut self.graph.values[value.0 as usize];
        declared.name = name.into();
        declared.dtype = Some(DType::F32);
        declared.dims = Some(dims.to_vec());
        self.graph.outputs.push(value);
    }
}

/// A size that the caller chooses.
pub fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.into())
}
