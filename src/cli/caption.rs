//! `fewbit caption`: what is said in a sound file, or what is to be seen in a photo; the model decides which.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::{describe, models, print};
use crate::audio::Sound;
use crate::runtime::{Activations, Device};
use crate::tasks::caption::{self, Segment};
use crate::tasks::{Captioner, Transcriber};
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// A model that sees (Qwen2-VL, SmolVLM, Idefics 3, LLaVA, MacCap), or a Whisper model
    model: PathBuf,
    /// A photo, or a WAV, MP3, FLAC or Ogg Vorbis file
    #[arg(value_name = "IMAGE|AUDIO")]
    file: PathBuf,
    #[command(flatten)]
    describe: describe::Options,
    /// Say from when to when each part of the text is spoken
    #[arg(long)]
    timestamps: bool,
    /// The language that is spoken, such as `de`; without, models of several languages find out
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// Write down in English what is said in another language
    #[arg(long)]
    translate: bool,
    /// The same seed gives the same text
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Activations of few-bit products: f32, or int8 (faster, less exact; f32 where the device has no kernels for it)
    #[arg(long, default_value = "f32", value_name = "f32|int8")]
    activations: Activations,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let model = models::open(&options.model)?;
    let device = global.device()?;
    let mut captioner = Captioner::new(&model, &device)?;
    captioner.set_activations(options.activations);
    match &mut captioner {
        Captioner::Sees(describer) => {
            if options.timestamps || options.translate || options.language.is_some() {
                let what = "--timestamps, --language and --translate are for sound, and the model sees";
                return Err(Error::Usage(what.into()));
            }
            describe::run(global, &options.describe, options.seed, &options.file, describer, &device)
        }
        Captioner::Hears(transcriber) => {
            options.describe.check_unused()?;
            hear(global, options, transcriber, &device)
        }
    }
}

fn hear(global: &Global, options: &Options, transcriber: &mut Transcriber, device: &Device) -> Result<()> {
    let mut sound = Sound::open(&options.file).map_err(|e| match describe::is_photo(&options.file) {
        true => Error::Usage(format!("{} is a photo, and the model hears: it takes sound", options.file.display())),
        false => e,
    })?;
    let how = caption::Options {
        timestamps: options.timestamps,
        language: options.language.clone(),
        translate: options.translate,
        seed: options.seed,
    };
    let mut written = Ok(());
    let mut first = true;
    let show = |segment: &Segment| {
        let text = if first { segment.text.trim_start() } else { &segment.text };
        first = false;
        written = match (global.json, options.timestamps) {
            (true, _) => Ok(()),
            (false, true) => {
                print::line(&format!("[{} → {}] {}", clock(segment.start), clock(segment.end), segment.text.trim()))
            }
            (false, false) => print::text(text),
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let start = Instant::now();
    let caption = transcriber.caption(&mut sound, &how, show)?;
    let time_ms = start.elapsed().as_secs_f64() * 1e3;
    written?;
    if global.json {
        let segments = caption.segments.iter().map(|s| json!({"start": s.start, "end": s.end, "text": s.text}));
        let mut line = json!({
            "text": caption.text,
            "tokens": caption.ids.len(),
            "time_ms": time_ms,
            "audio_ms": 1e3 * caption.seconds,
            "ids": caption.ids,
            "device": device.describe(),
        });
        if options.timestamps {
            line["segments"] = segments.collect();
        }
        return print::json(&line);
    }
    if !options.timestamps {
        print::line("")?;
    }
    let (spoken, took) = (caption.seconds, time_ms / 1e3);
    eprintln!("{spoken:.1} s of sound in {took:.1} s on {}", device.describe());
    Ok(())
}

/// Minutes, seconds and hundredths.
fn clock(seconds: f64) -> String {
    let hundredths = (seconds * 100.0).round() as u64;
    format!("{:02}:{:02}.{:02}", hundredths / 6_000, hundredths / 100 % 60, hundredths % 100)
}
