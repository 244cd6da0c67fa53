#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = fewbit::formats::ct2::read("fuzz", bytes.len() as u64, bytes);
});
