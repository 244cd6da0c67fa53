//! Sound files: what they hold, in every format, however it is asked for; damage; features.

#![cfg(feature = "audio")]

use std::f64::consts::PI;
use std::path::{Path, PathBuf};

use fewbit::audio::{LogMel, RATE, Sound};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech").join(name)
}

/// A WAV file; `kind`: 1 integers, 3 floats.
fn wav(rate: u32, channels: u16, bits: u16, kind: u16, samples: &[f64]) -> Vec<u8> {
    let mut data = Vec::new();
    for &v in samples {
        match (kind, bits) {
            (3, 32) => data.extend((v as f32).to_le_bytes()),
            (3, _) => data.extend(v.to_le_bytes()),
            // Eight bits have no sign.
            (_, 8) => data.push((v * 128.0 + 128.0).round() as u8),
            _ => data
                .extend(&((v * 2f64.powi(i32::from(bits) - 1)).round() as i64).to_le_bytes()[..usize::from(bits / 8)]),
        }
    }
    let block = channels * bits / 8;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(kind.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(block)).to_le_bytes());
    file.extend(block.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

fn all(mut sound: Sound) -> fewbit::Result<Vec<f32>> {
    let mut samples = Vec::new();
    sound.fill(&mut samples, usize::MAX)?;
    Ok(samples)
}

fn tone(count: usize) -> Vec<f64> {
    (0..count).map(|i| (2.0 * PI * 440.0 * i as f64 / f64::from(RATE)).sin()).collect()
}

/// Of 0.5 and 0.25 in two channels at 44.1 kHz: the mean is the same tone at 16 kHz.
#[test]
fn files_hold_a_tone() {
    for (name, most) in [("tone.flac", 2e-4), ("tone.ogg", 0.02), ("tone.mp3", 0.02)] {
        let samples = all(Sound::open(data(name)).unwrap()).unwrap();
        assert!(samples.len().abs_diff(8_000) <= 420, "{name}: {} samples", samples.len());
        // Encoders put silence in front; of the phases the best counts.
        let error = |delay: usize| {
            let tone = tone(7_000);
            (400..6_000).map(|i| (f64::from(samples[i + delay]) - 0.375 * tone[i]).abs()).fold(0.0, f64::max)
        };
        let delays = if name == "tone.flac" { 0..1 } else { 0..1_200 };
        let least = delays.map(error).fold(f64::INFINITY, f64::min);
        assert!(least < most, "{name} differs by {least}");
    }
}

#[test]
fn wav_of_every_kind() {
    let want: Vec<f64> = tone(2_000).iter().map(|v| 0.9 * v).collect();
    for (bits, kind) in [(8, 1), (16, 1), (24, 1), (32, 1), (32, 3), (64, 3)] {
        let got = all(Sound::from_bytes("wav", wav(RATE, 1, bits, kind, &want)).unwrap()).unwrap();
        assert_eq!(got.len(), want.len());
        let error = got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).abs()).fold(0.0, f64::max);
        let most = if bits == 8 { 9e-3 } else { 7e-5 };
        assert!(error < most, "{bits} bits of kind {kind} differ by {error}");
    }
    // Channels one after the other, and none of them lost.
    let frames: Vec<f64> = (0..900).flat_map(|i| [0.3, -0.1, f64::from(i) / 900.0]).collect();
    let got = all(Sound::from_bytes("wav", wav(RATE, 3, 32, 3, &frames)).unwrap()).unwrap();
    for (i, v) in got.iter().enumerate() {
        assert!((f64::from(*v) - (0.2 + i as f64 / 900.0) / 3.0).abs() < 1e-6, "{v} at {i}");
    }
}

/// In pieces of any size the same samples come, of files and of samples at hand.
#[test]
fn pieces_do_not_matter() {
    let recorded: Vec<f32> = (0..20_000).map(|i| (i as f32 * 0.03).sin() * (i % 13) as f32 / 13.0).collect();
    let open = |of_file: bool| match of_file {
        true => Sound::open(data("tone.flac")).unwrap(),
        false => Sound::from_samples(recorded.clone(), 44_100).unwrap(),
    };
    assert_eq!(all(open(false)).unwrap().len(), (recorded.len() * RATE as usize).div_ceil(44_100));
    for (of_file, piece) in [(true, 1), (true, 333), (true, 5_000), (false, 1), (false, 333), (false, 5_000)] {
        let want = all(open(of_file)).unwrap();
        let mut sound = open(of_file);
        let mut got = Vec::new();
        loop {
            let before = got.len();
            sound.fill(&mut got, before + piece).unwrap();
            if got.len() < before + piece {
                break;
            }
        }
        assert_eq!(got, want, "{piece}");
    }
}

#[test]
fn damage_is_an_error() {
    let opened = |bytes: &[u8]| Sound::from_bytes("sound", bytes.to_vec()).and_then(all);
    let message = |bytes: &[u8]| opened(bytes).map(|all| all.len()).unwrap_err().to_string();
    for bytes in [&b""[..], b"RIFF", b"no sound at all, but text that goes on for a while", &[0; 5_000]] {
        let error = message(bytes);
        assert!(error.contains("expected WAV, MP3, FLAC or Ogg Vorbis"), "{error}");
    }
    let whole = wav(RATE, 1, 16, 1, &tone(20_000));
    let error = message(&whole[..whole.len() / 2]);
    assert!(error.contains("the download is probably incomplete"), "{error}");
    for name in ["tone.flac", "tone.ogg", "tone.mp3", "demo-congrats.ogg"] {
        let whole = std::fs::read(data(name)).unwrap();
        let error = message(&whole[..whole.len() / 2]);
        assert!(error.contains("incomplete"), "{name}: {error}");
    }
    assert!(message(&wav(7, 1, 16, 1, &tone(100))).contains("a sample rate of 7 Hz"));
    let error = message(&wav(RATE, 1, 32, 3, &[0.5, f64::NAN]));
    assert!(error.contains("not a number"), "{error}");
    let error = Sound::from_samples(vec![0.0], 0).err().unwrap().to_string();
    assert!(error.contains("a rate of 0 samples a second"), "{error}");
    let error = Sound::from_samples(vec![0.0, f32::NAN], RATE).err().unwrap().to_string();
    assert!(error.contains("sample 1 of the sound is NaN"), "{error}");
    assert!(opened(&wav(RATE, 1, 16, 1, &[])).is_ok_and(|samples| samples.is_empty()));
    assert!(Sound::open(data("none.wav")).is_err());
    assert!(Sound::open(data("")).err().unwrap().to_string().contains("is a folder"));
}

/// Against the definition, in f64: a direct transform, triangles between mels.
#[test]
fn features_are_the_definitions() {
    let (mels, frames) = (13, 9);
    let samples: Vec<f32> =
        (0..1_200).map(|i| ((i * i) as f64 * 1e-3).sin() as f32 * 0.4 + (i % 7) as f32 * 0.01).collect();
    let got = LogMel::new(mels, frames).window(&samples).unwrap();
    let len = frames * 160;
    let at = |i: i64| {
        let i = if i < 0 { -i } else { i } as usize;
        let i = if i >= len { 2 * (len - 1) - i } else { i };
        samples.get(i).map_or(0.0, |&v| f64::from(v))
    };
    let to_mel = |f: f64| if f < 1e3 { f * 0.015 } else { 15.0 + (f / 1e3).ln() * 27.0 / 6.4f64.ln() };
    let to_hertz = |m: f64| if m < 15.0 { m / 0.015 } else { 1e3 * ((m - 15.0) * 6.4f64.ln() / 27.0).exp() };
    let edge = |i: usize| to_hertz(to_mel(8e3) * i as f64 / (mels + 1) as f64);
    let mut want = vec![0f64; mels * frames];
    for f in 0..frames {
        let windowed: Vec<f64> = (0..400)
            .map(|t| at((f * 160 + t) as i64 - 200) * (0.5 - 0.5 * (2.0 * PI * t as f64 / 400.0).cos()))
            .collect();
        for bin in 0..201u16 {
            let angle = |t: usize| 2.0 * PI * f64::from(bin) * t as f64 / 400.0;
            let re: f64 = windowed.iter().enumerate().map(|(t, v)| v * angle(t).cos()).sum();
            let im: f64 = windowed.iter().enumerate().map(|(t, v)| v * angle(t).sin()).sum();
            for m in 0..mels {
                let (low, centre, high) = (edge(m), edge(m + 1), edge(m + 2));
                let hertz = 40.0 * f64::from(bin);
                let height = ((hertz - low) / (centre - low)).min((high - hertz) / (high - centre)).max(0.0);
                want[m * frames + f] += height * 2.0 / (high - low) * (re * re + im * im);
            }
        }
    }
    want.iter_mut().for_each(|v| *v = v.max(1e-10).log10());
    let top = want.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for (got, want) in got.slice::<f32>().unwrap().iter().zip(want) {
        let want = (want.max(top - 8.0) + 4.0) / 4.0;
        assert!((f64::from(*got) - want).abs() < 1e-4, "{got} instead of {want}");
    }
}
