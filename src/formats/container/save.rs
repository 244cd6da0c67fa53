//! `Model` → bytes of a `.fewbit` file.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use sha2::{Digest, Sha256};

use super::spec::{AttrSpec, DimSpec, Float, GraphSpec, NodeSpec, Spec, StoredWeight, TypedSpec, VERSION, ValueSpec};
use super::{MANIFEST, MANIFEST_SHA256, digest, hex};
use crate::formats::safetensors::write_header;
use crate::graph::{Attr, Dim, Model, Node, ValueId, Weight};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Writes a model; nothing is lost. `file` names it in messages.
pub fn write(file: &str, model: &Model, out: &mut impl Write) -> Result<()> {
    let mut tensors = Tensors::default();
    let graph = &model.graph;
    let weights = graph
        .weights
        .iter()
        .map(|(&id, weight)| StoredWeight { value: id.0, ..tensors.weight(&graph.value(id).name, weight) });
    let weights = weights.collect();
    let graph = GraphSpec {
        name: graph.name.clone(),
        values: graph.values.iter().map(value).collect(),
        inputs: graph.inputs.iter().map(|id| id.0).collect(),
        outputs: graph.outputs.iter().map(|id| id.0).collect(),
        nodes: graph.nodes.iter().map(|node| tensors.node(node)).collect(),
    };
    let mut tensors = tensors.list;
    // Lengths that are multiples of 8 first, then of 4, 2, 1: every tensor starts at a multiple of its element, and
    // codes, whose rows are whole words, at a word.
    tensors.sort_by_key(|(_, t)| std::cmp::Reverse(t.bytes().len().trailing_zeros().min(3)));
    let sha256 = tensors.iter().map(|(name, t)| (name.clone(), hex(&Sha256::digest(t.bytes())))).collect();
    let spec = Spec { version: VERSION, graph, weights, sha256, manifest: model.manifest.clone() };
    let json = serde_json::to_string(&spec).map_err(|e| Error::format(file, format!("cannot be written ({e})")))?;

    let types: Vec<_> = tensors.iter().map(|(name, t)| (name.clone(), t.ty().clone())).collect();
    let check = digest(&json, types.iter().map(|(name, ty)| (name.as_str(), ty)));
    let metadata = BTreeMap::from([(MANIFEST.to_string(), json), (MANIFEST_SHA256.to_string(), check)]);
    let io = |e| Error::io(file, e);
    out.write_all(&write_header(&types, &metadata)?).map_err(io)?;
    for (_, tensor) in &tensors {
        out.write_all(tensor.bytes()).map_err(io)?;
    }
    out.flush().map_err(io)
}

fn value(value: &crate::graph::Value) -> ValueSpec {
    if value.dtype.is_none() && value.dims.is_none() {
        return ValueSpec::Name(value.name.clone());
    }
    let dim = |dim: &Dim| match dim {
        Dim::Known(size) => DimSpec::Known(*size),
        Dim::Symbol(name) => DimSpec::Symbol(name.clone()),
    };
    let dims = value.dims.as_ref().map(|dims| dims.iter().map(dim).collect());
    ValueSpec::Typed(TypedSpec { name: value.name.clone(), dtype: value.dtype, dims })
}

/// The tensors to write, under names that are unique in the file.
#[derive(Default)]
struct Tensors<'a> {
    list: Vec<(String, &'a Tensor)>,
    names: HashSet<String>,
}

impl<'a> Tensors<'a> {
    fn add(&mut self, name: &str, tensor: &'a Tensor) -> String {
        let name = if name.is_empty() { "tensor" } else { name };
        let mut unique = name.to_string();
        let mut copy = 1;
        while unique == "__metadata__" || !self.names.insert(unique.clone()) {
            copy += 1;
            unique = format!("{name}#{copy}");
        }
        self.list.push((unique.clone(), tensor));
        unique
    }

    /// All but the value's number.
    fn weight(&mut self, name: &str, weight: &'a Weight) -> StoredWeight {
        let encoded = match weight {
            Weight::Dense(tensor) => {
                let tensor = Some(self.add(name, tensor));
                return StoredWeight { encoding: "dense".into(), tensor, ..StoredWeight::default() };
            }
            Weight::Encoded(encoded) => encoded.as_ref(),
        };
        let parts = encoded.stored_parts().into_iter();
        StoredWeight {
            encoding: encoded.kind().into(),
            fields: encoded.stored_fields(),
            words: encoded.stored_words(),
            shape: Some(encoded.shape().to_vec()),
            parts: parts.map(|(part, t)| (part.clone(), self.add(&format!("{name}.{part}"), t))).collect(),
            ..StoredWeight::default()
        }
    }

    fn node(&mut self, node: &'a Node) -> NodeSpec {
        let numbers = |ids: &[Option<ValueId>]| ids.iter().map(|id| id.map(|id| id.0)).collect();
        let attrs = node.attrs.0.iter().map(|(key, attr)| {
            let attr = match attr {
                Attr::Int(v) => AttrSpec::Int(*v),
                Attr::Float(v) => AttrSpec::Float(Float(*v)),
                Attr::String(v) => AttrSpec::String(v.clone()),
                Attr::Ints(v) => AttrSpec::Ints(v.clone()),
                Attr::Floats(v) => AttrSpec::Floats(v.iter().copied().map(Float).collect()),
                Attr::Strings(v) => AttrSpec::Strings(v.clone()),
                Attr::Tensor(t) => AttrSpec::Tensor(self.add(&format!("{}.{key}", node.name), t)),
            };
            (key.clone(), attr)
        });
        let attrs = attrs.collect();
        let (inputs, outputs) = (numbers(&node.inputs), numbers(&node.outputs));
        NodeSpec { name: node.name.clone(), op: node.op.clone(), inputs, outputs, attrs }
    }
}
