//! `fewbit eval`: how well a model does.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::json;

use super::delta::DeltaOption;
use super::exit::ExitFlag;
use super::global::Global;
use super::tokens::Flag;
use super::{models, print};
use crate::runtime::{Activations, KvKind};
use crate::tasks::accuracy::{Accuracy, accuracy};
use crate::tasks::perplexity::perplexity;
use crate::tasks::{Decoder, Language};
use crate::vision::Labelled;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// How well a language model predicts a text
    Perplexity(TextOptions),
    /// How often a classifier is right
    Accuracy(ImageOptions),
}

#[derive(Args)]
struct ImageOptions {
    /// A classifier
    model: PathBuf,
    /// FOLDER/LABEL/PICTURE, or a folder with a test set in MNIST's idx files
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Activations of few-bit products: f32, or int8 (faster, less exact; f32 where the device has no kernels for it)
    #[arg(long, default_value = "f32", value_name = "f32|int8")]
    activations: Activations,
    #[command(flatten)]
    tokens: Flag,
    #[command(flatten)]
    exit: ExitFlag,
}

#[derive(Args)]
struct TextOptions {
    /// A language model
    model: PathBuf,
    /// The text, UTF-8
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Tokens of a window, of which the second half is scored
    #[arg(long, value_name = "N", default_value_t = 512)]
    context: usize,
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
    match &options.what {
        What::Perplexity(options) => run_perplexity(global, options),
        What::Accuracy(options) => run_accuracy(global, options),
    }
}

fn run_accuracy(global: &Global, options: &ImageOptions) -> Result<()> {
    let device = global.device()?;
    let model = models::open(&options.model)?;
    let pictures = Labelled::open(&options.images, &model.manifest.labels)?;
    let mut classifier = options.exit.classifier(&model, &device, options.tokens.is_some())?;
    classifier.set_activations(options.activations);
    classifier.set_tokens(options.tokens.tokens(false));
    let bar = print::progress("images", pictures.len() as u64);
    let start = Instant::now();
    let found = accuracy(&mut classifier, &pictures, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let speed = found.images as f64 / start.elapsed().as_secs_f64();
    if global.json {
        let Accuracy { top1, top5, images, layers, macs } = found;
        let mut result =
            json!({"top1": top1, "top5": top5, "images": images, "images_per_second": speed, "macs": macs.round()});
        if let Some(layers) = layers {
            result["layers"] = layers.into();
        }
        return print::json(&result);
    }
    let (first, among) = (100.0 * found.top1, 100.0 * found.top5);
    print::line(&format!("top-1 {first:.2} %, top-5 {among:.2} % of {} images, {speed:.0} a second", found.images))?;
    if let (Some(layers), Some(exits)) = (found.layers, classifier.exits()) {
        print::line(&format!("{layers:.2} of {} layers an image", exits.layers()))?;
    }
    print::line(&format!("{:.4} G multiplications an image", found.macs / 1e9))
}

fn run_perplexity(global: &Global, options: &TextOptions) -> Result<()> {
    let name = options.text.display().to_string();
    let text = std::fs::read_to_string(&options.text).map_err(|e| Error::io(name, e))?;
    let device = global.device()?;
    let mut model = models::open(&options.model)?;
    options.delta.apply(&mut model, &device)?;
    let mut decoder = Decoder::new(&model, &device)?;
    decoder.set_activations(options.activations);
    decoder.set_kv(options.kv);
    let tokenizer = Language::new(&model.manifest)?.tokenizer;
    let tokens = tokenizer.encode(&text, false)?;
    let bar = print::progress("windows", (tokens.len() / options.context.max(1)) as u64);
    let begin = tokenizer.prefix().first().copied();
    let found = perplexity(&mut decoder, &tokens, options.context, begin, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    if global.json {
        return print::json(&json!({"perplexity": found.perplexity, "tokens": found.tokens}));
    }
    print::line(&format!("perplexity {:.4} over {} tokens", found.perplexity, found.tokens))
}
