//! `fewbit delta make`: what fine-tuning changed, as a file; and `--delta`, which puts such files on a model.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::global::Global;
use super::stats::Times;
use super::{models, print};
use crate::Result;
use crate::deltas::{Base, Delta, Kind, make};
use crate::formats::{delta, peft};
use crate::graph::Model;
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Write what turns a base into its fine-tuned model
    Make(MakeOptions),
}

#[derive(Args)]
struct MakeOptions {
    /// The model before
    base: PathBuf,
    /// The model after
    tuned: PathBuf,
    /// What is kept: the signs of this fraction of the values, the largest (with a size of A standard deviations, or of least
    /// error); their values; or so many rows of each matrix
    #[arg(long, value_name = "compeft:FRACTION[:alpha=A]|sparse:FRACTION|rows:N")]
    kind: Kind,
    /// The file to write
    #[arg(long, value_name = "OUT.fewbit-delta")]
    output: PathBuf,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let What::Make(options) = &options.what;
    let (base, tuned) = (models::open(&options.base)?, models::open(&options.tuned)?);
    let made = make(&base.graph, &tuned.graph, options.kind)?;
    let bytes = delta::save(&options.output, &made.delta)?;
    let tensors = made.delta.changes.len();
    let changed: usize = made.delta.changes.values().map(|change| change.count()).sum();
    if global.json {
        return print::json(&json!({
            "bytes": bytes,
            "base": made.delta.base,
            "tensors": tensors,
            "changed": changed,
            "values": made.values,
            "explained": made.explained,
        }));
    }
    print::line(&format!(
        "{}: {changed} of {} values in {tensors} tensors, {:.1} % of the difference, {bytes} bytes",
        options.output.display(),
        made.values,
        100.0 * made.explained
    ))
}

/// Times that `bench` puts deltas on its model.
const SWAPS: usize = 10;

/// Deltas that a command puts on its model.
#[derive(Args)]
pub struct DeltaOption {
    /// Put a delta on the model: a .fewbit-delta file, or the folder of a PEFT adapter; repeat for several
    #[arg(long = "delta", value_name = "FILE")]
    deltas: Vec<PathBuf>,
}

impl DeltaOption {
    pub fn apply(&self, model: &mut Model, device: &Device) -> Result<()> {
        if self.deltas.is_empty() {
            return Ok(());
        }
        let deltas = self.open(model)?;
        model.graph = Base::new(&model.graph).apply(&deltas.iter().collect::<Vec<_>>(), device.threads())?;
        Ok(())
    }

    /// Puts the deltas on a session that runs the model, and leaves them there: how long that took, with all that the next
    /// run needs. `None` without deltas.
    pub fn swaps(&self, model: &Model, session: &mut Session, inputs: &[(&str, &Tensor)]) -> Result<Option<Times>> {
        if self.deltas.is_empty() {
            return Ok(None);
        }
        let (deltas, base) = (self.open(model)?, Base::new(&model.graph));
        let deltas: Vec<&Delta> = deltas.iter().collect();
        // The base's hash is computed once, with the first delta.
        base.identity();
        session.run(inputs)?;
        let threads = session.device().threads().clone();
        let times = Times::measure(SWAPS, || {
            session.swap(&base.apply(&deltas, &threads)?)?;
            session.prepare(inputs)
        })?;
        Ok(Some(times))
    }

    fn open(&self, model: &Model) -> Result<Vec<Delta>> {
        let open = |path: &PathBuf| match path.is_dir() {
            true => peft::open(path, &model.graph),
            false => delta::open(path),
        };
        self.deltas.iter().map(open).collect()
    }
}
