//! A sound file of any length takes as much memory as a window of it. One test: the allocator counts for all of a binary.

#![cfg(feature = "audio")]

#[path = "hostile/heap.rs"]
mod heap;

use std::io::{BufWriter, Write};

use fewbit::audio::{LogMel, RATE, Sound};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const MINUTES: u32 = 10;
const FILE_RATE: u32 = 48_000;

/// Two channels of 16 bits.
fn write(path: &std::path::Path) {
    let bytes = MINUTES * 60 * FILE_RATE * 4;
    let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
    file.write_all(b"RIFF").unwrap();
    file.write_all(&(36 + bytes).to_le_bytes()).unwrap();
    file.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x02\0").unwrap();
    file.write_all(&FILE_RATE.to_le_bytes()).unwrap();
    file.write_all(&(FILE_RATE * 4).to_le_bytes()).unwrap();
    file.write_all(b"\x04\0\x10\0data").unwrap();
    file.write_all(&bytes.to_le_bytes()).unwrap();
    for i in 0..bytes / 2 {
        file.write_all(&((i % 977) as i16).to_le_bytes()).unwrap();
    }
}

#[test]
fn ten_minutes_take_what_a_window_takes() {
    let path = std::env::temp_dir().join(format!("fewbit-long-{}.wav", std::process::id()));
    write(&path);
    let mel = LogMel::new(80, 3_000);
    let (count, peak) = heap::peak(|| {
        let mut sound = Sound::open(&path).unwrap();
        let mut samples = Vec::new();
        let mut count = 0;
        loop {
            sound.fill(&mut samples, mel.samples()).unwrap();
            if samples.is_empty() {
                return count;
            }
            assert_eq!(mel.window(&samples).unwrap().shape(), [1, 80, 3_000]);
            count += samples.len();
            samples.clear();
        }
    });
    std::fs::remove_file(&path).unwrap();
    assert_eq!(count, (MINUTES * 60 * RATE) as usize);
    // Samples, padded samples, two copies of the features: 2 MB each. All samples would be 38 MB.
    assert!(peak < 12 << 20, "{} KiB", peak >> 10);
}
