//! ONNX models and tensors. Operators come out in the form of the newest opset, whatever opset the file has.

mod budget;
mod functions;
mod import;
mod order;
mod proto;
#[cfg(feature = "full")]
mod quantized;
mod rank;
mod tensor;
mod upgrade;

use std::path::Path;

use bytes::Bytes;
use prost::Message;

use crate::graph::Model;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Reads a model. `file` names it in messages; `folder` is where its external data lie, `None` if it may have none.
///
/// Control flow (`If`, `Loop`, `Scan`) is imported as a node without its bodies, which no operator table knows.
/// Strings, sequences and sparse tensors are `Error::Unsupported`, and so are integers of less than a byte, except as
/// weights of the operators that are made for them.
pub fn read(file: &str, bytes: Bytes, folder: Option<&Path>) -> Result<Model> {
    // A graph whose weights lie in other files is small beside them, and all messages.
    let free = if folder.is_some() { 64 << 20 } else { 512 << 10 };
    let cost = budget::model_cost(&bytes);
    if cost > 2 * bytes.len() as u64 + free {
        return Err(Error::format(file, format!("its {} bytes would unfold to {cost} bytes of messages", bytes.len())));
    }
    let len = bytes.len();
    let mut proto = proto::ModelProto::decode(bytes).map_err(|e| malformed(file, e))?;
    if let Some(graph) = &mut proto.graph {
        graph.node = functions::inline(file, len, std::mem::take(&mut graph.node), &proto.functions)?;
    }
    let mut reader = tensor::TensorReader::new(file, folder);
    import::import(file, proto, &mut reader)
}

/// Names of a model's operators, in the order of their first use; also of models that `read` does not support.
pub fn operators(file: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let proto = proto::ModelProto::decode(bytes).map_err(|e| malformed(file, e))?;
    let mut names: Vec<String> = Vec::new();
    for node in proto.graph.unwrap_or_default().node {
        let name = import::operator(node.domain.as_deref(), node.op_type.unwrap_or_default());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether bytes look like a model: field 1 (`ir_version`) as a varint, or the graph or opsets first.
pub fn detect(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=0x7f, ..] | [0x3a, ..] | [0x42, ..])
}

/// Reads a `TensorProto` file (`input_0.pb` of the public test layout).
pub fn read_tensor(bytes: &[u8]) -> Result<Tensor> {
    Ok(read_named_tensor(bytes)?.1)
}

/// Like `read_tensor`, with the name that the file gives it; may be empty.
pub fn read_named_tensor(bytes: &[u8]) -> Result<(String, Tensor)> {
    let proto = proto::TensorProto::decode(bytes).map_err(|e| malformed("tensor", e))?;
    let tensor = tensor::TensorReader::new("tensor", None).read(&proto)?;
    Ok((proto.name.unwrap_or_default(), tensor))
}

fn malformed(file: &str, error: prost::DecodeError) -> Error {
    Error::format(file, format!("not a valid ONNX file ({error}); it may be cut short"))
}
