//! A `.fewbit` or safetensors file → `Model`, at once or tensor by tensor.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::super::object::from_object;
use super::spec::{AttrSpec, DimSpec, NodeSpec, Spec, StoredWeight, TypedSpec, VERSION, ValueSpec};
use super::{MANIFEST, MANIFEST_SHA256, digest, hex};
use crate::formats::safetensors::{self, Entry};
use crate::graph::{Attr, Attrs, Dim, Graph, Manifest, Model, Node, Value, ValueId, Weight};
use crate::models;
use crate::tensor::Tensor;
use crate::weights::{Encoded, Stored};
use crate::{Error, Result};

/// Memory that one JSON value costs, about; bounds what a header of tiny values may allocate.
const JSON_VALUE_COST: u64 = 64;

/// What a file says before its data.
pub struct Header {
    file: String,
    tensors: Vec<Entry>,
    file_len: u64,
    /// `None` = a plain safetensors file, with this metadata.
    spec: Option<Spec>,
    metadata: BTreeMap<String, String>,
}

impl Header {
    /// The tensors in the order of their bytes, which have no gaps.
    pub fn tensors(&self) -> &[Entry] {
        &self.tensors
    }

    /// SHA-256 of a tensor's bytes in hexadecimal; plain safetensors files have none.
    pub fn sha256(&self, tensor: &str) -> Option<&str> {
        self.spec.as_ref()?.sha256.get(tensor).map(String::as_str)
    }

    /// Bytes of the whole file.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    pub fn manifest(&self) -> Option<&Manifest> {
        self.spec.as_ref().map(|s| &s.manifest)
    }
}

/// Parses a header from a file's first bytes: at least the first 8 and the length that they give.
pub fn parse_header(file: &str, bytes: &[u8]) -> Result<Header> {
    interpret(file, safetensors::parse_header(file, bytes)?)
}

fn interpret(file: &str, mut header: safetensors::Header) -> Result<Header> {
    let spec = match (header.metadata.remove(MANIFEST), header.metadata.remove(MANIFEST_SHA256)) {
        (None, None) => None,
        (Some(json), Some(sha256)) => Some(parse_spec(file, &json, &sha256, &header)?),
        _ => return Err(corrupted(file, "header")),
    };
    let safetensors::Header { tensors, metadata, file_len, .. } = header;
    Ok(Header { file: file.into(), tensors, file_len, spec, metadata })
}

fn parse_spec(file: &str, json: &str, sha256: &str, header: &safetensors::Header) -> Result<Spec> {
    if sha256 != digest(json, header.tensors.iter().map(|t| (t.name.as_str(), &t.ty))) {
        return Err(corrupted(file, "header"));
    }
    let values = json.bytes().filter(|b| matches!(b, b',' | b'[' | b'{')).count() as u64;
    if values * JSON_VALUE_COST > 3 * header.file_len + (1 << 19) {
        return Err(Error::format(file, format!("its manifest of {values} values is out of proportion to the file")));
    }
    struct Version {
        version: u32,
    }
    from_object!(Version, others = true, [version] []);
    let invalid = |e| Error::format(file, format!("its manifest is not valid ({e})"));
    let Version { version } = serde_json::from_slice(json.as_bytes()).map_err(invalid)?;
    if version > VERSION {
        let what = format!("{file} has container version {version}, this program reads up to {VERSION}: update it");
        return Err(Error::Unsupported(what));
    }
    serde_json::from_slice(json.as_bytes()).map_err(invalid)
}

fn corrupted(file: &str, what: &str) -> Error {
    let what = format!("the SHA-256 of its {what} differs: the file is damaged, fetch it again");
    Error::Integrity { file: file.into(), what }
}

/// Reads a whole file of `len` bytes, each tensor straight into its buffer.
pub fn read(file: &str, len: u64, source: &mut impl Read) -> Result<Model> {
    let header = interpret(file, safetensors::read_header(file, len, source)?)?;
    let mut builder = Builder::new(header);
    for index in 0..builder.header.tensors.len() {
        let tensor = safetensors::read_tensor(file, &builder.header.tensors[index], source)?;
        builder.put(index, tensor)?;
    }
    builder.finish()
}

/// Collects the tensors of a file, in any order.
pub struct Builder {
    header: Header,
    tensors: BTreeMap<String, Tensor>,
}

impl Builder {
    pub fn new(header: Header) -> Self {
        Builder { header, tensors: BTreeMap::new() }
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Takes tensor number `index` of the header as bytes of the file.
    pub fn put_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let Some(entry) = self.header.tensors.get(index) else {
            return Err(Error::Usage(format!("{} has no tensor number {index}", self.header.file)));
        };
        self.put(index, Tensor::from_bytes(entry.ty.clone(), bytes)?)
    }

    /// Takes tensor number `index` of the header; refuses another type than the header's, or another SHA-256.
    pub fn put(&mut self, index: usize, tensor: Tensor) -> Result<()> {
        let file = &self.header.file;
        let Some(entry) = self.header.tensors.get(index).filter(|e| e.ty == *tensor.ty()) else {
            return Err(Error::Usage(format!("{file}: tensor number {index} is not of type {:?}", tensor.ty())));
        };
        let expected = self.header.sha256(&entry.name);
        if expected.is_some_and(|e| e != hex(&Sha256::digest(tensor.bytes()))) {
            return Err(corrupted(file, &format!("tensor `{}`", entry.name)));
        }
        self.tensors.insert(entry.name.clone(), tensor);
        Ok(())
    }

    /// The model; an error if a tensor that it needs was never put.
    pub fn finish(self) -> Result<Model> {
        let Builder { header, tensors } = self;
        let tensors = Tensors { file: header.file, tensors };
        let Some(spec) = header.spec else {
            return plain(header.metadata, tensors);
        };
        let mut graph = Graph { name: spec.graph.name, ..Graph::default() };
        graph.values = spec.graph.values.into_iter().map(value).collect();
        graph.inputs = spec.graph.inputs.into_iter().map(ValueId).collect();
        graph.outputs = spec.graph.outputs.into_iter().map(ValueId).collect();
        for node in spec.graph.nodes {
            graph.nodes.push(tensors.node(node)?);
        }
        for stored in spec.weights {
            let value = stored.value;
            let weight = tensors.weight(stored)?;
            if graph.weights.insert(ValueId(value), weight).is_some() {
                return Err(Error::format(tensors.file, format!("value {value} has two weights")));
            }
        }
        if let Some(&input) = graph.inputs.iter().find(|id| graph.weights.contains_key(id)) {
            return Err(Error::format(tensors.file, format!("value {} is an input and a weight", input.0)));
        }
        graph.validate()?;
        Ok(Model { graph, manifest: spec.manifest })
    }
}

/// A safetensors file of another program: the graph of a known architecture or weights alone, and its metadata.
fn plain(metadata: BTreeMap<String, String>, tensors: Tensors) -> Result<Model> {
    #[cfg(feature = "full")]
    if metadata.contains_key(crate::formats::delta::MANIFEST) {
        return Err(Error::Usage(format!("{} is a delta, not a model: give it to a model as `--delta`", tensors.file)));
    }
    let mut model = models::from_state_dict(tensors.tensors)?;
    if !metadata.is_empty() {
        model.manifest.extra.insert("safetensors_metadata".into(), serde_json::json!(metadata));
    }
    Ok(model)
}

fn value(spec: ValueSpec) -> Value {
    let dim = |dim| match dim {
        DimSpec::Known(size) => Dim::Known(size),
        DimSpec::Symbol(name) => Dim::Symbol(name),
    };
    match spec {
        ValueSpec::Name(name) => Value { name, dtype: None, dims: None },
        ValueSpec::Typed(TypedSpec { name, dtype, dims }) => {
            Value { name, dtype, dims: dims.map(|d| d.into_iter().map(dim).collect()) }
        }
    }
}

/// The tensors of the file by name. Cloning shares their bytes.
struct Tensors {
    file: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Tensors {
    fn get(&self, name: &str) -> Result<Tensor> {
        let found = self.tensors.get(name).cloned();
        found.ok_or_else(|| Error::format(&self.file, format!("its manifest uses tensor `{name}`, which is missing")))
    }

    fn node(&self, spec: NodeSpec) -> Result<Node> {
        let ids = |numbers: Vec<Option<u32>>| numbers.into_iter().map(|n| n.map(ValueId)).collect();
        let mut attrs = Attrs::default();
        for (key, attr) in spec.attrs {
            let attr = match attr {
                AttrSpec::Int(v) => Attr::Int(v),
                AttrSpec::Float(v) => Attr::Float(v.0),
                AttrSpec::String(v) => Attr::String(v),
                AttrSpec::Ints(v) => Attr::Ints(v),
                AttrSpec::Floats(v) => Attr::Floats(v.into_iter().map(|f| f.0).collect()),
                AttrSpec::Strings(v) => Attr::Strings(v),
                AttrSpec::Tensor(name) => Attr::Tensor(self.get(&name)?),
            };
            attrs.set(&key, attr);
        }
        Ok(Node { name: spec.name, op: spec.op, inputs: ids(spec.inputs), outputs: ids(spec.outputs), attrs })
    }

    fn weight(&self, spec: StoredWeight) -> Result<Weight> {
        let lacks = |what: &str| Error::format(&self.file, format!("weight {} lacks its {what}", spec.value));
        if spec.encoding == "dense" {
            return Ok(Weight::Dense(self.get(&spec.tensor.ok_or_else(|| lacks("tensor"))?)?));
        }
        let mut stored = Stored { fields: spec.fields, words: spec.words, ..Stored::default() };
        for (part, name) in spec.parts {
            stored.parts.insert(part, self.get(&name)?);
        }
        let shape = spec.shape.ok_or_else(|| lacks("shape"))?;
        match Encoded::restore(&spec.encoding, shape, &stored) {
            Some(Ok(encoded)) => Ok(Weight::Encoded(Arc::new(encoded))),
            Some(Err(e)) => Err(Error::format(&self.file, e.to_string())),
            None => {
                Err(Error::Unsupported(format!("{}: encoding `{}`: update this program", self.file, spec.encoding)))
            }
        }
    }
}
