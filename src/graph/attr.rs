//! Node attributes with typed, defaulted access.

use std::collections::BTreeMap;

use crate::tensor::Tensor;

#[derive(Clone, Debug)]
pub enum Attr {
    Int(i64),
    Float(f32),
    String(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<String>),
    Tensor(Tensor),
}

#[derive(Clone, Debug, Default)]
pub struct Attrs(pub BTreeMap<String, Attr>);

impl<const N: usize> From<[(&str, Attr); N]> for Attrs {
    fn from(list: [(&str, Attr); N]) -> Self {
        Attrs(list.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }
}

impl Attrs {
    pub fn set(&mut self, name: &str, value: Attr) {
        self.0.insert(name.to_string(), value);
    }

    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.0.get(name)
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Attr::Int(v)) => Some(*v),
            _ => None,
        }
    }

    pub fn int_or(&self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    /// A 0/1 attribute.
    pub fn flag(&self, name: &str) -> bool {
        self.int_or(name, 0) != 0
    }

    pub fn float(&self, name: &str) -> Option<f32> {
        match self.get(name) {
            Some(Attr::Float(v)) => Some(*v),
            _ => None,
        }
    }

    pub fn float_or(&self, name: &str, default: f32) -> f32 {
        self.float(name).unwrap_or(default)
    }

    pub fn string(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Attr::String(v)) => Some(v),
            _ => None,
        }
    }

    pub fn string_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.string(name).unwrap_or(default)
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.get(name) {
            Some(Attr::Ints(v)) => Some(v),
            _ => None,
        }
    }

    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.get(name) {
            Some(Attr::Floats(v)) => Some(v),
            _ => None,
        }
    }

    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        match self.get(name) {
            Some(Attr::Tensor(v)) => Some(v),
            _ => None,
        }
    }
}
