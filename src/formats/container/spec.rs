//! The JSON inside a `.fewbit` file. Values are numbered; nodes, inputs, outputs and weights name them by number,
//! because names need not be unique. Tensors are named as in the safetensors header.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::graph::Manifest;
use crate::tensor::{DType, Shape};

/// Newest form that this code reads and the one it writes.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
pub struct Spec {
    pub version: u32,
    pub graph: GraphSpec,
    pub weights: Vec<StoredWeight>,
    /// SHA-256 of each tensor's bytes, in hexadecimal, by tensor name.
    pub sha256: BTreeMap<String, String>,
    pub manifest: Manifest,
}

#[derive(Serialize)]
pub struct GraphSpec {
    pub name: String,
    pub values: Vec<ValueSpec>,
    pub inputs: Vec<u32>,
    pub outputs: Vec<u32>,
    pub nodes: Vec<NodeSpec>,
}

/// A value of which only the name is known is just that.
#[derive(Serialize)]
#[serde(untagged)]
pub enum ValueSpec {
    Name(String),
    Typed(TypedSpec),
}

#[derive(Serialize)]
pub struct TypedSpec {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<DType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dims: Option<Vec<DimSpec>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum DimSpec {
    Known(usize),
    Symbol(String),
}

#[derive(Serialize)]
pub struct NodeSpec {
    pub name: String,
    pub op: String,
    pub inputs: Vec<Option<u32>>,
    pub outputs: Vec<Option<u32>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attrs: BTreeMap<String, AttrSpec>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttrSpec {
    Int(i64),
    Float(Float),
    String(String),
    Ints(Vec<i64>),
    Floats(Vec<Float>),
    Strings(Vec<String>),
    /// Name of a tensor of the file.
    Tensor(String),
}

/// An f32 that survives JSON: as the f64 of the same value, or its bits (`"0x7fc00000"`) where JSON has no number.
#[derive(Clone, Copy)]
pub struct Float(pub f32);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f64(self.0.into()),
            false => serializer.serialize_str(&format!("{:#010x}", self.0.to_bits())),
        }
    }
}

/// How a weight is stored: a tensor, or the fields and parts of an encoding.
#[derive(Default, Serialize)]
pub struct StoredWeight {
    pub value: u32,
    /// `dense`, or the word of an encoding.
    pub encoding: String,
    /// Of a dense weight: the name of its tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The encoding's numbers: `bits`, `group`, …
    #[serde(flatten, serialize_with = "as_map")]
    pub fields: Vec<(String, usize)>,
    /// Its words, by name: the kind of an encoding inside.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// The tensor of each part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
}

fn as_map<S: Serializer>(fields: &[(String, usize)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, number)| (name, number)))
}
