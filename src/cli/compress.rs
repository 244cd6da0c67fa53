//! `fewbit compress`: fewer bits per weight.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::global::Global;
use super::{models, print};
use crate::compress::narrow::{Cuts, Kind, Removed};
use crate::compress::{self, Progress, Rules, Sample, TensorReport};
use crate::graph::{ImageInput, Model, Weight};
use crate::runtime::Device;
use crate::tensor::Tensor;
use crate::vision::{Photo, image_tensor};
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// The model to read
    source: PathBuf,
    /// The .fewbit file to write
    #[arg(long, value_name = "OUT.fewbit")]
    output: PathBuf,
    /// How to store weights: ENCODING for all, or REGEX=ENCODING; the first match wins
    #[arg(long, required_unless_present = "cut", value_name = "[REGEX=]ENCODING")]
    weights: Vec<String>,
    /// Leave out a share of the hidden channels of feed-forward layers, of heads, or of convolutions' channels, before weights
    /// are stored; repeat for each
    #[arg(long, value_name = "ffn=SHARE|heads=SHARE|channels=SHARE")]
    cut: Vec<String>,
    /// What numbers of channels are rounded to multiples of (default: 16 in layers of 64 channels or more)
    #[arg(long, requires = "cut", value_name = "N")]
    cut_multiple: Option<usize>,
    /// What the model is like in use, so that rounding suits it: a folder of photos or of .npy files of the model's input;
    /// for a language model a file of text; for a model of speech a sound file or a folder of them
    #[arg(long, value_name = "DIR|FILE")]
    calibrate: Option<PathBuf>,
    /// Then train tables, scales, norms and biases, PASSES times over the text to calibrate with, until the model says what
    /// the source says. Language models only; palettes are the encodings with something to train
    #[arg(long, requires = "calibrate", value_name = "PASSES", default_value_t = 0)]
    train: usize,
    /// Only weights whose name matches
    #[arg(long, value_name = "REGEX")]
    include: Option<String>,
    /// No weights whose name matches
    #[arg(long, value_name = "REGEX")]
    exclude: Option<String>,
    #[command(flatten)]
    manifest: models::ManifestOption,
}

/// Views of each calibration photo: the whole, then crops of growing zoom, half of them mirrored.
const VIEWS: usize = 24;

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let rules = Rules::parse(&options.weights, options.include.as_deref(), options.exclude.as_deref())?;
    let cuts = Cuts::parse(&options.cut, options.cut_multiple)?;
    let device = global.device()?;
    let mut model = models::open(&options.source)?;
    options.manifest.apply(&mut model)?;
    let source = (options.train > 0).then(|| model.clone());
    let samples = match &options.calibrate {
        Some(path) => calibration(path, &model, &device)?,
        None => Vec::new(),
    };
    let before = weight_bytes(&model);
    let watched = print::progress("samples to choose channels by", (options.cut.len() * samples.len()) as u64);
    let removed = compress::narrow(&mut model, &cuts, |name| rules.allows(name), &samples, &device, || watched.inc(1))?;
    watched.finish_and_clear();
    let reports = if options.weights.is_empty() { Vec::new() } else { encode(&mut model, &rules, &samples, &device)? };
    let divergences = match &source {
        Some(source) => train(&mut model, source, options, &device)?,
        None => Vec::new(),
    };
    let bytes = models::save(&model, &options.output)?;
    let bits = models::bits_per_weight(&model);
    let ratio = before as f64 / bytes.max(1) as f64;
    if global.json {
        let mut result = json!({"bytes": bytes, "bits_per_weight": bits, "ratio": ratio, "tensors": reports});
        if !removed.is_empty() {
            result["cut"] = removed.iter().map(Cut::of).map(|cut| json!(cut)).collect();
        }
        if source.is_some() {
            result["divergence"] = json!(divergences);
        }
        return print::json(&result);
    }
    if !removed.is_empty() {
        print_cuts(&removed)?;
    }
    if !reports.is_empty() {
        print_tensors(&reports)?;
    }
    for (pass, divergence) in divergences.iter().enumerate() {
        print::line(&format!("pass {}: {divergence:.4} nats from what the source says", pass + 1))?;
    }
    let name = options.output.display();
    print::line(&format!("{name}: {bytes} bytes, {ratio:.2} times smaller, {bits:.3} bits per weight"))
}

fn encode(model: &mut Model, rules: &Rules, samples: &[Sample], device: &Device) -> Result<Vec<TensorReport>> {
    let calibration = print::progress("calibration samples", samples.len() as u64);
    let measured = print::progress("weights measured", 0);
    let weights = print::progress("weights", 0);
    let reports = compress::compress(model, rules, samples, device, |progress| match progress {
        Progress::Calibrated => calibration.inc(1),
        Progress::Measured(all) => {
            calibration.finish_and_clear();
            measured.set_length(all as u64);
            measured.inc(1);
        }
        Progress::Encoded(all) => {
            calibration.finish_and_clear();
            measured.finish_and_clear();
            weights.set_length(all as u64);
            weights.inc(1);
        }
    })?;
    weights.finish_and_clear();
    Ok(reports)
}

/// Trains what the codes leave; the mean divergence of each pass.
fn train(model: &mut Model, source: &Model, options: &Options, device: &Device) -> Result<Vec<f64>> {
    let hears = model.manifest.task.as_deref() == Some(crate::models::speech::TASK);
    let file = options.calibrate.as_deref().filter(|path| path.is_file() && !hears);
    let file =
        file.ok_or_else(|| Error::Usage("--train trains language models, with --calibrate FILE of text".into()))?;
    let samples = lessons(file, source)?;
    let steps = print::progress("training steps", ((options.train + 1) * samples.len()) as u64);
    let divergences = compress::train(model, source, &samples, options.train, device, || steps.inc(1))?;
    steps.finish_and_clear();
    Ok(divergences)
}

/// What was left out of a layer, as JSON has it.
#[derive(Serialize)]
struct Cut<'a> {
    kind: Kind,
    name: &'a str,
    channels: usize,
    kept: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    angle: Option<f64>,
}

impl<'a> Cut<'a> {
    fn of(removed: &'a Removed) -> Self {
        let Removed { kind, name, channels, kept, angle } = removed;
        Cut { kind: *kind, name, channels: *channels, kept: kept.len(), angle: *angle }
    }
}

fn print_cuts(removed: &[Removed]) -> Result<()> {
    let rows: Vec<_> = removed
        .iter()
        .map(|r| {
            let angle = r.angle.map_or_else(String::new, |angle| format!("{angle:.4}"));
            vec![r.name.clone(), r.channels.to_string(), r.kept.len().to_string(), angle]
        })
        .collect();
    print::table(&["cut behind", "channels", "kept", "angle"], &rows)?;
    print::line("")
}

fn print_tensors(reports: &[TensorReport]) -> Result<()> {
    let rows: Vec<_> = reports
        .iter()
        .map(|r| {
            let output = r.output_error.map_or_else(String::new, |e| format!("{e:.5}"));
            let numbers = [format!("{:.3}", r.bits_per_weight), format!("{:.5}", r.error), output];
            [r.name.clone(), r.encoding.clone()].into_iter().chain(numbers).collect()
        })
        .collect();
    print::table(&["tensor", "encoding", "bits", "error", "output error"], &rows)
}

/// Bytes of all constants of a model, as they are.
fn weight_bytes(model: &Model) -> usize {
    model.graph.weights.values().map(Weight::bytes).sum()
}

/// What the path holds, as the model takes it.
#[cfg_attr(not(feature = "audio"), expect(unused_variables))]
fn calibration(path: &Path, model: &Model, device: &Device) -> Result<Vec<Sample>> {
    #[cfg(feature = "audio")]
    if model.manifest.task.as_deref() == Some(crate::models::speech::TASK) {
        return heard(path, model, device);
    }
    if path.is_file() { windows(path, model) } else { samples(path, model) }
}

#[cfg(not(feature = "text"))]
fn windows(_: &Path, _: &Model) -> Result<Vec<Sample>> {
    Err(Error::Unsupported("this program is built without `text`, which calibrating with a text needs".into()))
}

#[cfg(feature = "text")]
fn windows(file: &Path, model: &Model) -> Result<Vec<Sample>> {
    crate::tasks::windows(model, &text(file)?)
}

#[cfg(not(feature = "text"))]
fn lessons(file: &Path, model: &Model) -> Result<Vec<Sample>> {
    windows(file, model)
}

#[cfg(feature = "text")]
fn lessons(file: &Path, model: &Model) -> Result<Vec<Sample>> {
    crate::tasks::lessons(model, &text(file)?)
}

#[cfg(feature = "text")]
fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| Error::io(file.display().to_string(), e))
}

/// A sound file, or every one of a folder.
#[cfg(feature = "audio")]
fn heard(path: &Path, model: &Model, device: &Device) -> Result<Vec<Sample>> {
    let files = if path.is_file() { vec![path.to_path_buf()] } else { models::files(path)? };
    let mut transcriber = crate::tasks::Transcriber::new(model, device)?;
    let progress = print::progress("sound files", files.len() as u64);
    let mut samples = Vec::new();
    for file in &files {
        let mut sound = crate::audio::Sound::open(file)?;
        samples.extend(crate::tasks::sound_windows(model, &mut transcriber, &mut sound)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if samples.is_empty() {
        return Err(Error::Usage(format!("{}: nobody speaks to calibrate with", path.display())));
    }
    Ok(samples)
}

/// Every photo or .npy file of a folder.
fn samples(folder: &Path, model: &Model) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for file in &models::files(folder)? {
        if file.extension().is_some_and(|e| e == "npy") {
            samples.push(vec![crate::formats::npy::open(file)?]);
            continue;
        }
        samples.extend(views(&Photo::open(file)?, models::photo_input(model)?)?.into_iter().map(|view| vec![view]));
    }
    if samples.is_empty() {
        return Err(Error::Usage(format!("{}: nothing to calibrate with", folder.display())));
    }
    Ok(samples)
}

fn views(photo: &Photo, image: &ImageInput) -> Result<Vec<Tensor>> {
    let mut random = models::Random(photo.width() as u64);
    let mut place = |room: usize| (f64::from(random.float() + 1.0) / 2.0 * room as f64) as usize;
    let shorter = photo.width().min(photo.height());
    let mut views = vec![image_tensor(photo, image)?];
    for i in 1..VIEWS {
        let side = (shorter as f64 * (1.0 - 0.65 * i as f64 / VIEWS as f64)).max(1.0) as usize;
        let crop = photo.crop(place(photo.width() - side), place(photo.height() - side), side, side)?;
        let crop = if i % 2 == 0 { crop } else { crop.mirrored() };
        views.push(image_tensor(&crop, &ImageInput { crop: 1.0, resize: None, ..image.clone() })?);
    }
    Ok(views)
}
