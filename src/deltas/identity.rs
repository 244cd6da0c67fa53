//! What tells one base from another.

use sha2::{Digest, Sha256};

use super::Names;
use crate::graph::{Graph, Weight};
use crate::tensor::Tensor;
use crate::weights::Encoding;

/// SHA-256 in hexadecimal over all weights, sorted by name: names, types, shapes, encodings and bytes. The nodes do not
/// count, so that a converted model is the same base.
pub fn identity(graph: &Graph) -> String {
    let mut sha = Sha256::new();
    for (name, ids) in Names::of(graph).iter() {
        for weight in ids.iter().filter_map(|id| graph.weights.get(id)) {
            match weight {
                Weight::Dense(tensor) => add(&mut sha, name, "dense", tensor),
                Weight::Encoded(encoded) => {
                    let what = format!("{} {:?}", encoded.name(), encoded.shape());
                    for (part, tensor) in encoded.stored_parts() {
                        add(&mut sha, &format!("{name}.{part}"), &what, tensor);
                    }
                }
            }
        }
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(sha: &mut Sha256, name: &str, what: &str, tensor: &Tensor) {
    let (dtype, shape) = (tensor.dtype().name(), tensor.shape());
    sha.update(format!("{} {name} {what} {dtype} {shape:?}\n", name.len()));
    sha.update(tensor.bytes());
}
