//! `fewbit classify`: labels for images.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::tokens::Flag;
use super::{models, print};
use crate::Result;
use crate::graph::Model;
use crate::runtime::Activations;
#[cfg(not(feature = "full"))]
use crate::tasks::Classifier;
use crate::vision::Photo;
use crate::weights::elastic::Precision;

#[derive(Args)]
pub struct Options {
    /// JPEG, PNG, WebP, BMP or GIF files
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A classifier; without it, the one that ships with fewbit
    #[arg(long)]
    model: Option<PathBuf>,
    #[cfg(feature = "full")]
    #[command(flatten)]
    delta: super::delta::DeltaOption,
    /// Form of elastic weights (default: 8)
    #[arg(long, value_name = "BITS[:sym][:layer]")]
    precision: Option<Precision>,
    /// Activations of few-bit products: f32, or int8 (faster, less exact; f32 where the device has no kernels for it)
    #[arg(long, default_value = "f32", value_name = "f32|int8")]
    activations: Activations,
    #[command(flatten)]
    tokens: Flag,
    #[cfg(feature = "full")]
    #[command(flatten)]
    exit: super::exit::ExitFlag,
    /// How many labels per image
    #[arg(long, default_value_t = 5, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top_k: u32,
}

pub fn run(global: &Global, options: &Options, shipped: &[u8]) -> Result<()> {
    let device = global.device()?;
    #[cfg_attr(not(feature = "full"), allow(unused_mut))]
    let mut model = match &options.model {
        Some(path) => models::open(path)?,
        None => Model::from_bytes("the built-in classifier", shipped)?,
    };
    #[cfg(feature = "full")]
    options.delta.apply(&mut model, &device)?;
    #[cfg(feature = "full")]
    let mut classifier = options.exit.classifier(&model, &device, options.tokens.is_some())?;
    #[cfg(not(feature = "full"))]
    let mut classifier = Classifier::new(&model, &device)?;
    classifier.set_activations(options.activations);
    classifier.set_tokens(options.tokens.tokens(false));
    if let Some(precision) = options.precision {
        classifier.set_precision(precision)?;
    }
    let bar = print::progress("images", options.images.len() as u64);
    for image in &options.images {
        let photo = Photo::open(image)?;
        let start = Instant::now();
        let predictions = classifier.classify(&photo, options.top_k as usize)?;
        let time_ms = start.elapsed().as_secs_f64() * 1e3;
        let name = image.display().to_string();
        bar.inc(1);
        if global.json {
            let device = device.describe();
            #[cfg_attr(not(feature = "full"), allow(unused_mut))]
            let mut result = json!({"image": name, "device": device, "time_ms": time_ms, "predictions": predictions});
            #[cfg(feature = "full")]
            if let Some(exits) = classifier.exits() {
                result["layers"] = exits.ran().into();
            }
            print::json(&result)?;
            continue;
        }
        print::line(&format!("{name}  ({time_ms:.1} ms on {})", device.describe()))?;
        #[cfg(feature = "full")]
        if let Some(exits) = classifier.exits() {
            print::line(&format!("{} of {} layers", exits.ran(), exits.layers()))?;
        }
        let rows: Vec<_> =
            predictions.iter().map(|p| vec![format!("{:.2}", 100.0 * p.score), p.label.clone()]).collect();
        print::table(&["%", "label"], &rows)?;
    }
    bar.finish_and_clear();
    Ok(())
}
