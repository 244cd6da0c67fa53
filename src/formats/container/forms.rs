//! Reading the parts of a spec that have several forms. Written by hand: what serde derives for them first copies every
//! value into a tree, and is much code in a browser.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::object::from_object;
use super::spec::{DimSpec, Float, GraphSpec, NodeSpec, Spec, StoredWeight, TypedSpec, ValueSpec};

from_object!(Spec, others = true, [version graph weights sha256 manifest] []);
from_object!(GraphSpec, others = true, [name values inputs outputs nodes] []);
from_object!(TypedSpec, others = true, [name] [dtype dims]);
from_object!(NodeSpec, others = true, [name op inputs outputs] [attrs]);

impl<'de> Deserialize<'de> for ValueSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = ValueSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value's name, or its name and type")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<ValueSpec, E> {
                Ok(ValueSpec::Name(name.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ValueSpec, A::Error> {
                TypedSpec::deserialize(MapAccessDeserializer::new(map)).map(ValueSpec::Typed)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for DimSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = DimSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a dimension's size or name")
            }
            fn visit_u64<E: Error>(self, size: u64) -> Result<DimSpec, E> {
                usize::try_from(size).map(DimSpec::Known).map_err(|_| E::custom("a dimension is too large"))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<DimSpec, E> {
                Ok(DimSpec::Symbol(name.into()))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Visitor<'_> for Form {
            type Value = Float;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, or the bits of one")
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Float, E> {
                Ok(Float(value as f32))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Float, E> {
                Ok(Float(value as f64 as f32))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Float, E> {
                Ok(Float(value as f64 as f32))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Float, E> {
                let bits = text.strip_prefix("0x").and_then(|t| u32::from_str_radix(t, 16).ok());
                bits.map(|b| Float(f32::from_bits(b))).ok_or_else(|| E::custom("a number that is neither"))
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for StoredWeight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = StoredWeight;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a stored weight")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StoredWeight, A::Error> {
                let mut weight = StoredWeight::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "value" => weight.value = map.next_value()?,
                        "encoding" => weight.encoding = map.next_value()?,
                        "tensor" => weight.tensor = Some(map.next_value()?),
                        "shape" => weight.shape = Some(map.next_value()?),
                        "words" => weight.words = map.next_value()?,
                        "parts" => weight.parts = map.next_value()?,
                        _ => {
                            let number = map.next_value()?;
                            weight.fields.push((key, number));
                        }
                    }
                }
                Ok(weight)
            }
        }
        deserializer.deserialize_map(Form)
    }
}
