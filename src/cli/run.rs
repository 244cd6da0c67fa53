//! `fewbit run`: a model on .npy files.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Map, Value, json};

use super::global::Global;
use super::tokens::Flag;
use super::{models, print, tuned};
use crate::formats::npy;
use crate::graph::Model;
use crate::runtime::{Activations, Device, Session};
#[cfg(feature = "full")]
use crate::tasks::EarlyExit;
use crate::tensor::Tensor;
use crate::weights::elastic::Precision;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// The model file
    model: PathBuf,
    /// An input of the model; repeat for each
    #[arg(long = "input", value_name = "NAME=FILE.npy", value_parser = parse_input)]
    inputs: Vec<(String, PathBuf)>,
    /// Form of elastic weights (default: 8)
    #[arg(long, value_name = "BITS[:sym][:layer]")]
    precision: Option<Precision>,
    /// Activations of few-bit products: f32, or int8 (faster, less exact; f32 where the device has no kernels for it)
    #[arg(long, default_value = "f32", value_name = "f32|int8")]
    activations: Activations,
    #[command(flatten)]
    tokens: Flag,
    /// First time the variants of each GPU kernel, and keep the fastest for later runs on this device
    #[arg(long)]
    tune: bool,
    #[cfg(feature = "full")]
    #[command(flatten)]
    delta: super::delta::DeltaOption,
    #[cfg(feature = "full")]
    #[command(flatten)]
    exit: super::exit::ExitFlag,
    /// Folder for the outputs, written as NAME.npy
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

impl Options {
    /// That of early exit.
    #[cfg(feature = "full")]
    fn threshold(&self) -> Option<f32> {
        self.exit.threshold()
    }

    #[cfg(not(feature = "full"))]
    fn threshold(&self) -> Option<f32> {
        None
    }
}

fn parse_input(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("expected NAME=FILE.npy")?;
    Ok((name.to_string(), file.into()))
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let device = global.device()?;
    #[cfg_attr(not(feature = "full"), allow(unused_mut))]
    let mut model = models::open(&options.model)?;
    #[cfg(feature = "full")]
    options.delta.apply(&mut model, &device)?;
    let read = |(name, file): &(String, PathBuf)| Ok((name.clone(), npy::open(file)?));
    let inputs: Vec<(String, Tensor)> = options.inputs.iter().map(read).collect::<Result<_>>()?;
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();

    let Ran { outputs, time_ms, layers } = match options.threshold() {
        #[cfg(feature = "full")]
        Some(threshold) => until_sure(&model, &device, options, threshold, &inputs)?,
        _ => whole(&model, &device, options, &inputs)?,
    };
    let folder = &options.output;
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
    let mut listed = Map::new();
    for (name, tensor) in &outputs {
        npy::save(folder.join(file_name(name)), tensor)?;
        listed.insert(name.clone(), json!({"shape": tensor.shape(), "dtype": tensor.dtype().name()}));
    }
    if global.json {
        let mut result = json!({"device": device.describe(), "time_ms": time_ms, "outputs": Value::Object(listed)});
        if let Some([ran, _]) = layers {
            result["layers"] = ran.into();
        }
        return print::json(&result);
    }
    let rows: Vec<_> = outputs
        .iter()
        .map(|(name, t)| vec![name.clone(), t.dtype().name().to_string(), format!("{:?}", t.shape())])
        .collect();
    print::table(&["output", "type", "shape"], &rows)?;
    if let Some([ran, all]) = layers {
        print::line(&format!("{ran} of {all} layers"))?;
    }
    print::line(&format!("{time_ms:.1} ms on {}", device.describe()))
}

struct Ran {
    outputs: Vec<(String, Tensor)>,
    time_ms: f64,
    /// With early exits: those that ran, and all.
    layers: Option<[usize; 2]>,
}

fn whole(model: &Model, device: &Device, options: &Options, inputs: &[(&str, &Tensor)]) -> Result<Ran> {
    let mut session = Session::new(model, device)?;
    session.set_activations(options.activations);
    session.set_tokens(options.tokens.tokens(true));
    if let Some(precision) = options.precision {
        session.set_precision(precision)?;
    }
    if options.tune {
        tuned::tune(&mut session, inputs)?;
    }
    session.prepare(inputs)?;
    let start = Instant::now();
    let outputs = session.run(inputs)?;
    Ok(Ran { outputs, time_ms: start.elapsed().as_secs_f64() * 1e3, layers: None })
}

#[cfg(feature = "full")]
fn until_sure(
    model: &Model,
    device: &Device,
    options: &Options,
    threshold: f32,
    inputs: &[(&str, &Tensor)],
) -> Result<Ran> {
    if options.tune {
        return Err(Error::Usage("--tune and --exit cannot be combined; tune without --exit first".into()));
    }
    super::exit::refuse_tokens(options.tokens.is_some())?;
    let mut exits = EarlyExit::new(model, device, threshold)?;
    exits.set_activations(options.activations);
    if let Some(precision) = options.precision {
        exits.set_precision(precision)?;
    }
    // The first run makes plans.
    exits.run(inputs)?;
    let start = Instant::now();
    let left = exits.run(inputs)?;
    let time_ms = start.elapsed().as_secs_f64() * 1e3;
    Ok(Ran { outputs: left.outputs, time_ms, layers: Some([left.layers, exits.layers()]) })
}

/// An output's name comes from the model file: it must not lead out of the folder.
fn file_name(output: &str) -> String {
    let tame: String = output.chars().map(|c| if matches!(c, '/' | '\\' | ':' | '\0') { '_' } else { c }).collect();
    format!("{tame}.npy")
}
