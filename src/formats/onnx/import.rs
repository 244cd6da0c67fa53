//! Messages of an ONNX file → `Model`.

use std::collections::HashMap;

use super::order::topological;
use super::proto::{AttributeProto, DimensionProto, ModelProto, NodeProto, ValueInfoProto, attribute_type};
use super::tensor::{TensorReader, dtype};
use super::upgrade::Upgrade;
use crate::graph::{Attr, Attrs, Dim, Graph, Manifest, Model, Node, ValueId, Weight};
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

pub fn import(file: &str, proto: ModelProto, reader: &mut TensorReader) -> Result<Model> {
    let Some(graph) = proto.graph else {
        return Err(Error::format(file, "not an ONNX model: it has no graph"));
    };
    // A file without opsets predates them: IR version 1 and 2 meant opset 1.
    let opset = proto.opset_import.iter().find(|o| is_onnx(o.domain.as_deref())).and_then(|o| o.version).unwrap_or(1);
    let mut hints: HashMap<String, (DType, Option<Vec<Dim>>)> = HashMap::new();
    for info in graph.value_info.iter().chain(&graph.output) {
        if let Ok(ty) = value_type(info) {
            hints.insert(info.name.clone().unwrap_or_default(), ty);
        }
    }
    // An output may come without a type, but not with one that is no tensor.
    for info in graph.output.iter().filter(|o| o.r#type.as_ref().is_some_and(|t| t.tensor_type.is_none())) {
        value_type(info)?;
    }
    let mut names = Names { file, ids: HashMap::new(), hints };
    let mut target = Graph { name: graph.name.unwrap_or_default(), ..Graph::default() };

    #[cfg(feature = "full")]
    let mut small = std::collections::BTreeMap::new();
    for tensor in graph.initializer {
        #[cfg(feature = "full")]
        let tensor = match reader.read_small(&tensor)? {
            Some((unpacked, bits)) => {
                let id = names.define(&mut target, tensor.name.unwrap_or_default())?;
                target.weights.insert(id, Weight::Dense(unpacked));
                small.insert(id, bits);
                continue;
            }
            None => tensor,
        };
        let weight = Weight::Dense(reader.read(&tensor)?);
        let id = names.define(&mut target, tensor.name.unwrap_or_default())?;
        target.weights.insert(id, weight);
    }
    for info in &graph.input {
        // Until IR version 4 every initialiser was also listed as an input.
        let name = info.name.clone().unwrap_or_default();
        if names.ids.get(&name).is_some_and(|id| target.weights.contains_key(id)) {
            continue;
        }
        let (dtype, dims) = value_type(info)?;
        let id = names.define(&mut target, name)?;
        target.values[id.0 as usize].dtype = Some(dtype);
        target.values[id.0 as usize].dims = dims;
        target.inputs.push(id);
    }
    let mut upgrade = Upgrade::new(target, opset);
    for node in topological(file, graph.node)? {
        import_node(node, &mut names, reader, &mut upgrade)?;
    }
    let mut target = upgrade.finish();
    for info in &graph.output {
        let name = info.name.as_deref().unwrap_or("");
        target.outputs.push(names.find(name, "the graph's outputs")?);
    }
    #[cfg(feature = "full")]
    super::quantized::fold(file, &mut target, small)?;
    target.validate()?;

    let mut manifest = Manifest::default();
    if !proto.metadata_props.is_empty() {
        let entries = proto.metadata_props.into_iter();
        let entries = entries.map(|e| (e.key.unwrap_or_default(), e.value.unwrap_or_default().into()));
        manifest.extra.insert("onnx_metadata".into(), serde_json::Value::Object(entries.collect()));
    }
    Ok(Model { graph: target, manifest })
}

/// Values by their name in the file.
struct Names<'a> {
    file: &'a str,
    ids: HashMap<String, ValueId>,
    hints: HashMap<String, (DType, Option<Vec<Dim>>)>,
}

impl Names<'_> {
    fn define(&mut self, graph: &mut Graph, name: String) -> Result<ValueId> {
        let id = graph.add_value(name.clone());
        if let Some((dtype, dims)) = self.hints.remove(&name) {
            let value = &mut graph.values[id.0 as usize];
            value.dtype = Some(dtype);
            value.dims = dims;
        }
        if name.is_empty() || self.ids.contains_key(&name) {
            return Err(Error::format(self.file, format!("value `{name}` is defined twice, or has no name")));
        }
        self.ids.insert(name, id);
        Ok(id)
    }

    fn find(&self, name: &str, by: &str) -> Result<ValueId> {
        let found = self.ids.get(name).copied();
        found.ok_or_else(|| Error::format(self.file, format!("`{name}`, used by {by}, is never computed")))
    }
}

fn import_node(proto: NodeProto, names: &mut Names, reader: &mut TensorReader, upgrade: &mut Upgrade) -> Result<()> {
    let domain = proto.domain.as_deref();
    let op = operator(domain, proto.op_type.unwrap_or_default());
    if op == "Constant" {
        let tensor = constant(proto.attribute, reader)?;
        let id = names.define(&mut upgrade.graph, proto.output.into_iter().next().unwrap_or_default())?;
        upgrade.graph.weights.insert(id, Weight::Dense(tensor));
        return Ok(());
    }
    let first_output = proto.output.iter().find(|o| !o.is_empty()).cloned().unwrap_or_default();
    let name = proto.name.filter(|n| !n.is_empty()).unwrap_or(first_output);
    let inputs = proto.input.iter().map(|input| match input.as_str() {
        "" => Ok(None),
        input => names.find(input, &name).map(Some),
    });
    let inputs = inputs.collect::<Result<_>>()?;
    let mut attrs = Attrs::default();
    for attribute in proto.attribute {
        let key = attribute.name.clone().unwrap_or_default();
        if let Some(value) = attr(attribute, reader)? {
            attrs.set(&key, value);
        }
    }
    let outputs = proto.output.into_iter().map(|output| match output.is_empty() {
        true => Ok(None),
        false => names.define(&mut upgrade.graph, output).map(Some),
    });
    let outputs = outputs.collect::<Result<_>>()?;
    let node = Node { name, op, inputs, outputs, attrs };
    if is_onnx(domain) { upgrade.push(node) } else { upgrade.push_as_is(node) }
}

/// An operator's name here: with its domain, unless that is ONNX's own.
pub fn operator(domain: Option<&str>, op: String) -> String {
    if is_onnx(domain) { op } else { format!("{}.{op}", domain.unwrap_or_default()) }
}

fn is_onnx(domain: Option<&str>) -> bool {
    matches!(domain, None | Some("" | "ai.onnx"))
}

/// `None` for sub-graphs and types, which only operators that are not implemented carry.
fn attr(proto: AttributeProto, reader: &mut TensorReader) -> Result<Option<Attr>> {
    use attribute_type::*;
    let text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    let kind = match proto.r#type.unwrap_or(0) {
        0 if proto.f.is_some() => FLOAT,
        0 if proto.i.is_some() => INT,
        0 if proto.s.is_some() => STRING,
        0 if proto.t.is_some() => TENSOR,
        0 if !proto.floats.is_empty() => FLOATS,
        0 if !proto.ints.is_empty() => INTS,
        0 if !proto.strings.is_empty() => STRINGS,
        kind => kind,
    };
    Ok(Some(match kind {
        FLOAT => Attr::Float(proto.f.unwrap_or(0.0)),
        INT => Attr::Int(proto.i.unwrap_or(0)),
        STRING => Attr::String(proto.s.as_ref().map(text).unwrap_or_default()),
        FLOATS => Attr::Floats(proto.floats),
        INTS => Attr::Ints(proto.ints),
        STRINGS => Attr::Strings(proto.strings.iter().map(text).collect()),
        TENSOR => Attr::Tensor(reader.read(&proto.t.unwrap_or_default())?),
        SPARSE_TENSOR => return Err(Error::Unsupported("sparse tensors in attributes".into())),
        _ => return Ok(None),
    }))
}

/// The value of a `Constant` node.
fn constant(attributes: Vec<AttributeProto>, reader: &mut TensorReader) -> Result<Tensor> {
    for attribute in attributes {
        let name = attribute.name.clone().unwrap_or_default();
        match (name.as_str(), attr(attribute, reader)?) {
            ("value", Some(Attr::Tensor(t))) => return Ok(t),
            ("value_float", Some(Attr::Float(v))) => return Ok(Tensor::scalar(v)),
            ("value_int", Some(Attr::Int(v))) => return Ok(Tensor::scalar(v)),
            ("value_floats", Some(Attr::Floats(v))) => return Tensor::new([v.len()], &v),
            ("value_ints", Some(Attr::Ints(v))) => return Tensor::new([v.len()], &v),
            _ => {}
        }
    }
    Err(Error::Unsupported("a Constant that is neither a tensor nor a number".into()))
}

/// Type and declared dimensions of a graph input or output; `None` dimensions = unknown rank.
fn value_type(info: &ValueInfoProto) -> Result<(DType, Option<Vec<Dim>>)> {
    let name = info.name.as_deref().unwrap_or("");
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| Error::Unsupported(format!("`{name}` is a sequence, map or optional")))?;
    let dim = |(axis, dim): (usize, &DimensionProto)| match (dim.dim_value, dim.dim_param.as_deref()) {
        (Some(size), _) if size >= 0 => Dim::Known(usize::try_from(size).unwrap_or(usize::MAX)),
        // `?` is how some exporters write "unknown": two of them need not be equal.
        (_, Some(symbol)) if !matches!(symbol, "" | "?") => Dim::Symbol(symbol.to_string()),
        _ => Dim::Symbol(format!("{name}.{axis}")),
    };
    let dims = tensor.shape.as_ref().map(|s| s.dim.iter().enumerate().map(dim).collect());
    Ok((dtype(tensor.elem_type.unwrap_or(0))?, dims))
}
