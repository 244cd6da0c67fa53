#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = fewbit::formats::gguf::read("fuzz", &bytes.to_vec().into());
});
