//! `fewbit convert`: any model file → container, nothing lost; or what lies between models, or one with deltas.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::{models, print};
use crate::Result;

#[derive(Args)]
pub struct Options {
    /// The model to read
    source: PathBuf,
    /// The .fewbit file to write
    #[arg(long, value_name = "OUT.fewbit")]
    output: PathBuf,
    #[cfg(feature = "full")]
    #[command(flatten)]
    delta: super::delta::DeltaOption,
    #[cfg(feature = "full")]
    #[command(flatten)]
    soup: super::soup::Soup,
    #[command(flatten)]
    manifest: models::ManifestOption,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let mut model = models::open(&options.source)?;
    #[cfg(feature = "full")]
    {
        options.soup.apply(&mut model)?;
        options.delta.apply(&mut model, &crate::runtime::Device::cpu(global.threads)?)?;
    }
    options.manifest.apply(&mut model)?;
    let bytes = models::save(&model, &options.output)?;
    let (tensors, parameters) = (model.graph.weights.len(), models::parameters(&model));
    if global.json {
        return print::json(&json!({"bytes": bytes, "tensors": tensors, "parameters": parameters}));
    }
    print::line(&format!("{}: {tensors} tensors, {parameters} parameters, {bytes} bytes", options.output.display()))
}
