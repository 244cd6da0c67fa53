//! `fewbit caption` with a model that sees.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::print;
use crate::audio::Sound;
use crate::runtime::Device;
use crate::tasks::beams::Beams;
use crate::tasks::{Describer, generate};
use crate::text::Sampling;
use crate::vision::Photo;
use crate::{Error, Result};

/// Options for photos.
#[derive(Args)]
pub struct Options {
    /// What is asked about a photo; without, to describe it
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Most tokens about a photo [default: 256]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Of a photo; 0, the default: always the likeliest token
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Of a photo: choose among the likeliest tokens that together have this probability [default: 1]
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Of a photo: this many texts at once, of which the likeliest is taken; not with --temperature [default: 1; 4 where no
    /// question is asked (MacCap)]
    #[arg(long, value_name = "N")]
    beams: Option<usize>,
    /// Of a photo: variance of the noise that MacCap adds to what it sees, 0 for none [default: the model's]
    #[arg(long, value_name = "V")]
    noise: Option<f32>,
}

impl Options {
    /// Fails if something was said about photos.
    pub fn check_unused(&self) -> Result<()> {
        let said = self.max_tokens.is_some() || self.temperature.is_some() || self.top_p.is_some();
        match said || self.prompt.is_some() || self.beams.is_some() || self.noise.is_some() {
            false => Ok(()),
            true => {
                let options = "--prompt, --max-tokens, --temperature, --top-p, --beams and --noise";
                let what = format!("{options} are for photos, and the model does not see");
                Err(Error::Usage(what))
            }
        }
    }
}

pub fn run(
    global: &Global,
    options: &Options,
    seed: u64,
    file: &Path,
    describer: &mut Describer,
    device: &Device,
) -> Result<()> {
    let photo = Photo::open(file).map_err(|e| match !is_photo(file) && Sound::open(file).is_ok() {
        true => Error::Usage(format!("{} is sound, and the model sees: it takes a photo", file.display())),
        false => e,
    })?;
    if let Some(variance) = options.noise.or(describer.noise()) {
        describer.set_noise(variance, seed)?;
    }
    let (question, default) = describer.defaults();
    // Beams go with no chance: whoever wants it, wants one text.
    let usual = if options.temperature.is_some() { 1 } else { default.beams.count };
    let how = generate::Options {
        max_tokens: options.max_tokens.unwrap_or(default.max_tokens),
        sampling: Sampling {
            temperature: options.temperature.unwrap_or(default.sampling.temperature),
            top_p: options.top_p.unwrap_or(default.sampling.top_p),
            seed,
            ..default.sampling.clone()
        },
        beams: Beams { count: options.beams.unwrap_or(usual), ..default.beams },
        ..default
    };
    let mut written = Ok(());
    let show = |piece: &str| {
        written = if global.json { Ok(()) } else { print::text(piece) };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let start = Instant::now();
    let generated = describer.describe(&photo, options.prompt.as_deref().unwrap_or(question), &how, show)?;
    let time_ms = start.elapsed().as_secs_f64() * 1e3;
    written?;
    if global.json {
        return print::json(&json!({
            "text": generated.text,
            "tokens": generated.ids.len(),
            "time_ms": time_ms,
            "prompt_tokens": generated.prompt_tokens,
            "prefill_ms": generated.prefill_ms,
            "decode_ms": generated.decode_ms,
            "ids": generated.ids,
            "device": device.describe(),
        }));
    }
    print::line("")?;
    let (tokens, prompt) = (generated.ids.len(), generated.prompt_tokens);
    eprintln!("{tokens} tokens after {prompt} of photo and prompt in {:.1} s on {}", time_ms / 1e3, device.describe());
    Ok(())
}

/// Whether a file begins as PNG, JPEG, GIF, BMP or WebP do.
pub fn is_photo(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(12).read_to_end(&mut first));
    let begins = [&b"\x89PNG"[..], b"\xff\xd8\xff", b"GIF8", b"BM"].iter().any(|magic| first.starts_with(magic));
    read.is_ok() && (begins || first.starts_with(b"RIFF") && first.ends_with(b"WEBP"))
}
