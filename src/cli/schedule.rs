//! `fewbit schedule`: how many tokens each layer of a vision transformer can do without.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::{models, print};
use crate::formats::npy;
use crate::graph::Model;
use crate::runtime::Session;
use crate::tasks::token_schedule::{Goal, search};
use crate::tensor::Tensor;
use crate::vision::{Labelled, Part, Photo, image_tensor};
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// A vision transformer
    model: PathBuf,
    /// Folder with photos or .npy files of its input, or with a training set in MNIST's idx files
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// How many of them to look at
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// Share of the multiplications that may be left
    #[arg(long, default_value_t = 0.6, value_name = "SHARE")]
    share: f64,
    /// Rounds of changes to the first schedule
    #[arg(long, default_value_t = 1, value_name = "N")]
    rounds: u32,
    /// The schedule, for `--tokens diffrate:FILE`
    #[arg(long, value_name = "FILE.json")]
    output: PathBuf,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let device = global.device()?;
    let model = models::open(&options.model)?;
    let samples = samples(&model, &options.images, options.samples as usize)?;
    let mut session = Session::new(&model, &device)?;
    let bar = print::progress("schedules", 1);
    let goal = Goal { share: options.share, rounds: options.rounds as usize };
    let found = search(&mut session, &samples, goal, |done, most| {
        bar.set_length(most as u64);
        bar.set_position(done as u64);
        Ok(())
    })?;
    bar.finish_and_clear();
    let file = options.output.display().to_string();
    let text = format!("{}\n", found.schedule.to_json());
    std::fs::write(&options.output, text).map_err(|e| Error::io(file, e))?;
    if global.json {
        let schedule = found.schedule.to_json();
        let (macs, dense, error) = (found.macs, found.dense, found.error);
        return print::json(&json!({"schedule": schedule, "macs": macs, "dense_macs": dense, "error": error}));
    }
    let left = 100.0 * found.macs as f64 / found.dense as f64;
    print::line(&format!("{left:.1} % of the multiplications left, relative error {:.5}", found.error))?;
    print::line(&format!("{}", found.schedule.to_json()))
}

/// Up to `most` inputs from all over the folder.
fn samples(model: &Model, folder: &Path, most: usize) -> Result<Vec<Vec<(String, Tensor)>>> {
    let &[input] = model.graph.inputs.as_slice() else {
        return Err(Error::Usage("a schedule is searched for models with one input: a picture".into()));
    };
    let name = model.graph.value(input).name.clone();
    let as_input = |photo: &Photo| image_tensor(photo, models::photo_input(model)?);
    let set = Labelled::idx(folder, Part::Train)?;
    let files = if set.is_some() { Vec::new() } else { models::files(folder)? };
    let count = set.as_ref().map_or(files.len(), Labelled::len);
    if count == 0 {
        return Err(Error::Usage(format!("{}: no pictures to search with", folder.display())));
    }
    let taken = most.min(count);
    let one = |i: usize| {
        let at = i * count / taken;
        let tensor = match &set {
            Some(set) => as_input(&set.get(at)?.0)?,
            None if files[at].extension().is_some_and(|end| end == "npy") => npy::open(&files[at])?,
            None => as_input(&Photo::open(&files[at])?)?,
        };
        Ok(vec![(name.clone(), tensor)])
    };
    (0..taken).map(one).collect()
}
