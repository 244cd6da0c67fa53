//! Key and value pairs: numbers, texts, and arrays, which stay in the file's memory (a vocabulary has 10⁵ words).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::json;

use super::cursor::Cursor;
use crate::Result;

#[derive(Clone, Debug)]
pub enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Array(Array),
}

/// Values of one kind, read when asked for.
#[derive(Clone, Debug)]
pub struct Array {
    kind: u32,
    len: usize,
    bytes: Bytes,
}

/// Arrays without which a model can neither read nor write.
const TOKENIZER: [&str; 4] =
    ["tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.scores", "tokenizer.ggml.merges"];

const I32: u32 = 5;
const F32: u32 = 6;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

impl Array {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn values(&self) -> Result<Vec<Value>> {
        let mut cursor = Cursor::new("array", &self.bytes);
        (0..self.len).map(|_| value(&mut cursor, self.kind)).collect()
    }

    pub fn texts(&self) -> Result<Vec<String>> {
        let mut cursor = Cursor::new("array", &self.bytes);
        match self.kind {
            TEXT => (0..self.len).map(|_| cursor.text()).collect(),
            _ => Err(cursor.error("an array is not of texts")),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Metadata(pub BTreeMap<String, Value>);

impl Metadata {
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is none of the negative ones.
    pub fn size(&self, key: &str) -> Option<usize> {
        match *self.0.get(key)? {
            Value::Unsigned(v) => usize::try_from(v).ok(),
            Value::Signed(v) => usize::try_from(v).ok(),
            _ => None,
        }
    }

    pub fn float(&self, key: &str) -> Option<f64> {
        match *self.0.get(key)? {
            Value::Float(v) => Some(v),
            Value::Unsigned(v) => Some(v as f64),
            Value::Signed(v) => Some(v as f64),
            _ => None,
        }
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        match *self.0.get(key)? {
            Value::Bool(v) => Some(v),
            _ => None,
        }
    }

    pub fn array(&self, key: &str) -> Option<&Array> {
        match self.0.get(key)? {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Numbers, texts, and the arrays of a tokenizer; of other arrays the length.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        let json = |(key, value): (&String, &Value)| {
            let json = match value {
                Value::Array(array) if TOKENIZER.contains(&key.as_str()) => {
                    array.values()?.into_iter().map(Value::into_json).collect()
                }
                other => other.clone().into_json(),
            };
            Ok((key.clone(), json))
        };
        Ok(serde_json::Value::Object(self.0.iter().map(json).collect::<Result<_>>()?))
    }

    /// What `to_json` gave, without arrays of which it kept the length only.
    pub fn from_json(json: &serde_json::Value) -> Self {
        let pairs = json.as_object().into_iter().flatten();
        Metadata(pairs.filter_map(|(key, json)| Some((key.clone(), Value::from_json(json)?))).collect())
    }
}

impl Value {
    fn into_json(self) -> serde_json::Value {
        match self {
            Value::Unsigned(v) => v.into(),
            Value::Signed(v) => v.into(),
            Value::Float(v) => v.into(),
            Value::Bool(v) => v.into(),
            Value::Text(v) => v.into(),
            Value::Array(v) => json!({ "values": v.len }),
        }
    }

    /// `None` for what no metadata holds.
    fn from_json(json: &serde_json::Value) -> Option<Self> {
        Some(match json {
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Bool(v) => Value::Bool(*v),
            serde_json::Value::Number(v) => {
                let whole = v.as_u64().map(Value::Unsigned).or(v.as_i64().map(Value::Signed));
                whole.or(v.as_f64().map(Value::Float))?
            }
            serde_json::Value::Array(list) => Value::Array(Array::from_json(list)?),
            _ => return None,
        })
    }
}

impl Array {
    /// Of texts, of numbers that all fit an i32, or of floats.
    fn from_json(list: &[serde_json::Value]) -> Option<Self> {
        let mut bytes = Vec::new();
        let whole = |v: &serde_json::Value| v.as_i64().and_then(|v| i32::try_from(v).ok());
        let kind = match list.first() {
            Some(serde_json::Value::String(_)) => TEXT,
            _ if list.iter().all(|v| whole(v).is_some()) => I32,
            _ => F32,
        };
        for json in list {
            match kind {
                TEXT => {
                    let text = json.as_str()?;
                    bytes.extend((text.len() as u64).to_le_bytes());
                    bytes.extend(text.as_bytes());
                }
                I32 => bytes.extend(whole(json)?.to_le_bytes()),
                _ => bytes.extend((json.as_f64()? as f32).to_le_bytes()),
            }
        }
        Some(Array { kind, len: list.len(), bytes: bytes.into() })
    }
}

/// Bytes of one value of a kind that has a fixed size.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Reads a value of a kind (`gguf_metadata_value_type`).
pub fn value(cursor: &mut Cursor, kind: u32) -> Result<Value> {
    Ok(match kind {
        0 => Value::Unsigned(u8::from_le_bytes(cursor.array()?).into()),
        1 => Value::Signed(i8::from_le_bytes(cursor.array()?).into()),
        2 => Value::Unsigned(u16::from_le_bytes(cursor.array()?).into()),
        3 => Value::Signed(i16::from_le_bytes(cursor.array()?).into()),
        4 => Value::Unsigned(cursor.u32()?.into()),
        5 => Value::Signed(i32::from_le_bytes(cursor.array()?).into()),
        6 => Value::Float(f32::from_le_bytes(cursor.array()?).into()),
        7 => Value::Bool(cursor.take(1)?[0] != 0),
        TEXT => Value::Text(cursor.text()?),
        ARRAY => Value::Array(array(cursor)?),
        10 => Value::Unsigned(cursor.u64()?),
        11 => Value::Signed(i64::from_le_bytes(cursor.array()?)),
        12 => Value::Float(f64::from_le_bytes(cursor.array()?)),
        other => return Err(cursor.error(format!("a value has the unknown kind {other}"))),
    })
}

fn array(cursor: &mut Cursor) -> Result<Array> {
    let (kind, len) = (cursor.u32()?, cursor.size()?);
    if let Some(width) = width(kind) {
        let bytes = len.checked_mul(width).ok_or_else(|| cursor.error("an array is cut short"))?;
        return Ok(Array { kind, len, bytes: cursor.share(bytes)? });
    }
    if kind != TEXT {
        return Err(cursor.error(format!("an array holds values of kind {kind}")));
    }
    // A look ahead that keeps nothing: how many bytes the texts take.
    let from = cursor.at();
    let mut ahead = cursor.fork();
    for _ in 0..len {
        let bytes = ahead.size()?;
        ahead.take(bytes)?;
    }
    Ok(Array { kind, len, bytes: cursor.share(ahead.at() - from)? })
}
