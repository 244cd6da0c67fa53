//! Deltas. The hash is of no concern to a malicious author, so the fuzzer's input is the manifest.
#![no_main]

use std::collections::BTreeMap;

use fewbit::formats::{delta, safetensors};
use fewbit::tensor::Tensor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    let parts = [("0".to_string(), Tensor::new([8], &[0x5au8; 8])), ("1".to_string(), Tensor::new([1], &[0.5f32]))];
    let tensors = parts.into_iter().filter_map(|(name, tensor)| Some((name, tensor.ok()?))).collect::<Vec<_>>();
    let types: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.ty().clone())).collect();
    let hash = (format!("{}_sha256", delta::MANIFEST), delta::digest(json, &tensors));
    let metadata = BTreeMap::from([(delta::MANIFEST.to_string(), json.to_string()), hash]);
    let Ok(mut file) = safetensors::write_header(&types, &metadata) else { return };
    tensors.iter().for_each(|(_, tensor)| file.extend(tensor.bytes()));
    let _ = delta::read("fuzz", file.len() as u64, &mut file.as_slice());
});
