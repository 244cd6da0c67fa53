#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The length of the configuration, the configuration, the weights.
    let Some((len, rest)) = bytes.split_first_chunk() else { return };
    let (config, weights) = rest.split_at((u32::from_le_bytes(*len) as usize).min(rest.len()));
    let _ = fewbit::formats::hf::from_bytes("fuzz", config, weights);
});
