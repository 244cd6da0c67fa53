//! How much memory the messages of a file will take, found without building them: a message of two bytes becomes a
//! struct of hundreds, so a hostile file of megabytes could ask for gigabytes.

use std::mem::size_of;

use super::proto::*;

/// Vectors double as they grow.
const GROWTH: usize = 2;

/// The messages in which others, or long lists, lie.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// Nothing inside is counted.
    Leaf,
}

/// What a length-delimited field becomes.
enum Field {
    Message(Kind, usize),
    Text,
    /// Packed numbers of at least one byte each on the wire, of this many in memory.
    Numbers(usize),
    Other,
}

fn field(kind: Kind, number: u64) -> Field {
    use Field::*;
    match (kind, number) {
        (Kind::Model, 7) => Message(Kind::Graph, size_of::<GraphProto>()),
        (Kind::Model, 8) | (Kind::Function, 9) => Message(Kind::Leaf, size_of::<OperatorSetId>()),
        (Kind::Model, 14) | (Kind::Tensor, 13) => Message(Kind::Leaf, size_of::<StringStringEntry>()),
        (Kind::Model, 25) => Message(Kind::Function, size_of::<FunctionProto>()),
        (Kind::Graph, 1) | (Kind::Function, 7) => Message(Kind::Node, size_of::<NodeProto>()),
        (Kind::Graph, 5) | (Kind::Attribute, 5) => Message(Kind::Tensor, size_of::<TensorProto>()),
        (Kind::Graph, 11..=13) => Message(Kind::ValueInfo, size_of::<ValueInfoProto>()),
        (Kind::Function, 11) | (Kind::Node, 5) => Message(Kind::Attribute, size_of::<AttributeProto>()),
        (Kind::Function, 4 | 5) | (Kind::Node, 1..=4 | 7 | 8) => Text,
        (Kind::Attribute, 1 | 4 | 9 | 21) | (Kind::Tensor, 8) | (Kind::ValueInfo, 1) => Text,
        (Kind::Attribute, 8) | (Kind::Tensor, 1 | 7 | 11) => Numbers(8),
        (Kind::Tensor, 5) => Numbers(4),
        (Kind::Attribute, 7) | (Kind::Tensor, 4 | 10) => Numbers(1),
        (Kind::ValueInfo, 2) => Message(Kind::Type, size_of::<TypeProto>()),
        (Kind::Type, 1) => Message(Kind::TensorType, size_of::<TensorTypeProto>()),
        (Kind::TensorType, 2) => Message(Kind::Shape, size_of::<TensorShapeProto>()),
        (Kind::Shape, 1) => Message(Kind::Leaf, size_of::<DimensionProto>()),
        _ => Other,
    }
}

/// Bytes that decoding a `ModelProto` will take beside the raw data of its tensors, about.
pub fn model_cost(bytes: &[u8]) -> u64 {
    cost(Kind::Model, bytes)
}

/// Stops at the first malformed field: the real decoder reports it. Depth is bounded by the kinds.
fn cost(kind: Kind, mut bytes: &[u8]) -> u64 {
    let mut total = 0;
    while let Some(tag) = varint(&mut bytes) {
        let number = tag >> 3;
        let skip = match tag & 7 {
            0 => {
                varint(&mut bytes);
                // Numbers that are not packed.
                total += (GROWTH * 8) as u64;
                0
            }
            1 => 8,
            5 => 4,
            2 => match varint(&mut bytes).and_then(|len| usize::try_from(len).ok()) {
                Some(len) if len <= bytes.len() => {
                    total += match field(kind, number) {
                        Field::Message(Kind::Leaf, size) => (GROWTH * size + len) as u64,
                        Field::Message(inner, size) => (GROWTH * size) as u64 + cost(inner, &bytes[..len]),
                        Field::Text => (GROWTH * size_of::<String>() + len) as u64,
                        Field::Numbers(size) => (GROWTH * size) as u64 * len as u64,
                        Field::Other => 0,
                    };
                    len
                }
                _ => return total,
            },
            _ => return total,
        };
        match bytes.get(skip..) {
            Some(rest) => bytes = rest,
            None => return total,
        }
    }
    total
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
