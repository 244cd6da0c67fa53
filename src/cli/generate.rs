//! `fewbit generate`: text from a language model.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::delta::DeltaOption;
use super::global::Global;
use super::{models, print};
use crate::runtime::{Activations, KvKind};
use crate::tasks::ahead::Draft;
use crate::tasks::beams::Beams;
use crate::tasks::{Decoder, Generator, generate};
use crate::text::{Message, Sampling};
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// A language model
    model: PathBuf,
    /// The text to continue; with --chat, what the user says
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Write the prompt into the model's chat template
    #[arg(long)]
    chat: bool,
    /// What the model is told first; with --chat
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_tokens: usize,
    /// 0: always the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,
    /// Choose among the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Choose among so many of the likeliest tokens; 0: all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Choose among tokens with this share of the likeliest one's probability
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Make tokens that occurred less likely; 1: not
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// The same seed gives the same text
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// End before this text; may be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// The text is JSON that satisfies the schema in this file; `constraint_ms` in the JSON is what that took of `decode_ms`
    #[arg(long, value_name = "FILE", conflicts_with = "stop")]
    json_schema: Option<PathBuf>,
    /// A smaller model with the same vocabulary that drafts tokens: faster where it is right, the same text
    #[arg(long, value_name = "MODEL")]
    draft: Option<PathBuf>,
    /// Draft tokens from what stands in the text already: faster where it repeats itself, the same text
    #[arg(long, conflicts_with = "draft")]
    lookup: bool,
    /// Beam search: so many texts grow side by side, and the likeliest is taken; the text comes at the end. 1: none
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["draft", "lookup", "json_schema", "stop"])]
    beams: usize,
    /// With --beams: log-probabilities are divided by the number of tokens to this power; above 0 longer texts gain
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    length_penalty: f32,
    #[command(flatten)]
    delta: DeltaOption,
    /// How keys and values are kept: f16, or in less memory q8 (the last 160 tokens in f16 too) or q4
    #[arg(long, default_value = "f16", value_name = "f16|q8|q4")]
    kv: KvKind,
    /// Activations of few-bit products: f32, or int8 (faster, less exact; f32 where the device has no kernels for it)
    #[arg(long, default_value = "f32", value_name = "f32|int8")]
    activations: Activations,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let device = global.device()?;
    let mut model = models::open(&options.model)?;
    options.delta.apply(&mut model, &device)?;
    let mut generator = Generator::new(&model, &device)?;
    generator.decoder().set_activations(options.activations);
    generator.decoder().set_kv(options.kv);
    if let Some(file) = &options.draft {
        generator.set_draft(Draft::Model(Box::new(Decoder::new(&models::open(file)?, &device)?)))?;
    } else if options.lookup {
        generator.set_draft(Draft::Lookup)?;
    }
    let how = generate::Options {
        max_tokens: options.max_tokens,
        sampling: Sampling {
            repetition_penalty: options.repetition_penalty,
            temperature: options.temperature,
            top_k: options.top_k,
            top_p: options.top_p,
            min_p: options.min_p,
            seed: options.seed,
            ..Sampling::default()
        },
        stop: options.stop.clone(),
        schema: options.json_schema.as_deref().map(schema).transpose()?,
        beams: Beams { count: options.beams, length_penalty: options.length_penalty },
    };
    let mut written = Ok(());
    let show = |piece: &str| {
        written = if global.json { Ok(()) } else { print::text(piece) };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let generated = match options.chat {
        true => generator.chat(&messages(options), &how, show)?,
        false => generator.generate(&options.prompt, &how, show)?,
    };
    written?;
    if global.json {
        return print::json(&json!({
            "text": generated.text,
            "tokens": generated.ids.len(),
            "prompt_tokens": generated.prompt_tokens,
            "prefill_ms": generated.prefill_ms,
            "decode_ms": generated.decode_ms,
            "accepted": generated.accepted,
            "constraint_ms": generated.constraint_ms.iter().sum::<f64>(),
            "ids": generated.ids,
            "device": device.describe(),
        }));
    }
    print::line("")?;
    let rate = |tokens: usize, ms: f64| 1e3 * tokens as f64 / ms.max(1e-3);
    eprintln!(
        "{} tokens at {:.1}/s after {} read at {:.1}/s on {}",
        generated.ids.len(),
        rate(generated.ids.len().saturating_sub(1), generated.decode_ms),
        generated.prompt_tokens,
        rate(generated.prompt_tokens, generated.prefill_ms),
        device.describe()
    );
    Ok(())
}

fn schema(file: &Path) -> Result<serde_json::Value> {
    let name = || file.display().to_string();
    let bytes = std::fs::read(file).map_err(|e| Error::io(name(), e))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::format(name(), format!("no JSON schema: {e}")))
}

fn messages(options: &Options) -> Vec<Message> {
    let message = |role: &str, content: &String| Message { role: role.into(), content: content.clone() };
    let system = options.system.iter().map(|text| message("system", text));
    system.chain([message("user", &options.prompt)]).collect()
}
