#![no_main]

use fewbit::audio::{RATE, Sound};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut sound) = Sound::from_bytes("fuzz", bytes.to_vec()) else { return };
    // A second at a time, as far as one minute.
    for _ in 0..60 {
        let mut samples = Vec::new();
        if sound.fill(&mut samples, RATE as usize).is_err() || samples.is_empty() {
            return;
        }
    }
});
