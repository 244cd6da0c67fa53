//! `.fewbit` files. The hashes are of no concern to a malicious author, so the fuzzer's input is the manifest.
#![no_main]

use std::collections::BTreeMap;

use fewbit::formats::{container, safetensors};
use fewbit::graph::Model;
use fewbit::tensor::{DType, TensorType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    let types = [("codes".to_string(), TensorType::new(DType::U8, [4, 8]))];
    let digest = container::digest(json, types.iter().map(|(name, ty)| (name.as_str(), ty)));
    let metadata = BTreeMap::from([("fewbit".to_string(), json.to_string()), ("fewbit_sha256".to_string(), digest)]);
    let Ok(mut file) = safetensors::write_header(&types, &metadata) else { return };
    file.extend([0; 32]);
    let _ = Model::from_bytes("fuzz", &file);
});
