//! `fewbit bench`: how long a model takes on random inputs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::stats::Times;
use super::tokens::Flag;
use super::{bench_matmul, models, print, tuned};
use crate::runtime::{Activations, Session};
use crate::tensor::Tensor;
use crate::weights::elastic::Precision;
use crate::{Error, Result};

#[derive(Args)]
pub struct Options {
    /// A model file, or `matmul`
    #[arg(value_name = "MODEL|matmul")]
    target: PathBuf,
    /// Runs after the warm-up
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// A named size of the inputs (default: a batch of 1, images of 224×224, sequences of 128); repeat for each
    #[arg(long = "dim", value_name = "NAME=VALUE", value_parser = models::parse_dim)]
    dims: Vec<(String, usize)>,
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
    /// First time the variants of each GPU kernel, and keep the fastest for later runs on this device
    #[arg(long)]
    tune: bool,
    /// List the time of each operator
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    matmul: bench_matmul::Matmul,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    if options.target.as_os_str() == "matmul" {
        if options.precision.is_some() {
            return Err(Error::Usage("--precision is for a MODEL with elastic weights".into()));
        }
        let how = bench_matmul::How { tune: options.tune, activations: options.activations };
        return bench_matmul::run(global, &options.matmul, options.repeat as usize, how);
    }
    options.matmul.refuse()?;
    let device = global.device()?;
    let model = models::open(&options.target)?;
    let inputs = models::random_inputs(&model, &options.dims)?;
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut session = Session::new(&model, &device)?;
    session.set_activations(options.activations);
    session.set_tokens(options.tokens.tokens(false));
    if let Some(precision) = options.precision {
        session.set_precision(precision)?;
    }
    if options.tune {
        tuned::tune(&mut session, &inputs)?;
    }
    #[cfg(feature = "full")]
    let swaps = options.delta.swaps(&model, &mut session, &inputs)?;
    let bar = print::progress("runs", u64::from(options.repeat) + 1);
    let times = Times::measure(options.repeat as usize, || {
        session.run(&inputs)?;
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();

    let report = if options.profile { session.profile(&inputs)? } else { session.report().unwrap_or_default() };
    let mut by_operator: BTreeMap<(&str, &str), (usize, f64)> = BTreeMap::new();
    for node in &report.nodes {
        let entry = by_operator.entry((&node.op, &node.place)).or_default();
        entry.0 += 1;
        entry.1 += node.ms;
    }
    let mut operators: Vec<_> = by_operator.into_iter().collect();
    operators.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    if global.json {
        let shapes: BTreeMap<&str, &[usize]> = inputs.iter().map(|(name, t)| (*name, t.shape())).collect();
        let mut result = json!({
            "median_ms": times.median(),
            "min_ms": times.min(),
            "device": device.describe(),
            "inputs": shapes,
            "arena_bytes": report.arena_bytes,
            "weight_bytes": report.weight_bytes,
            "macs": report.macs,
        });
        #[cfg(feature = "full")]
        if let Some(swaps) = &swaps {
            result["swap_ms"] = swaps.median().into();
        }
        if options.profile {
            let list = operators
                .iter()
                .map(|((op, place), (count, ms))| json!({"operator": op, "place": place, "nodes": count, "ms": ms}));
            result["operators"] = list.collect();
            let list = report.nodes.iter().map(|n| json!({"name": n.name, "operator": n.op, "ms": n.ms}));
            result["layers"] = list.collect();
        }
        return print::json(&result);
    }
    if options.profile {
        let rows: Vec<_> = operators
            .iter()
            .map(|((op, place), (count, ms))| {
                vec![op.to_string(), place.to_string(), count.to_string(), format!("{ms:.3}")]
            })
            .collect();
        print::table(&["operator", "place", "nodes", "ms"], &rows)?;
        print::line("")?;
    }
    let (median, min, name) = (times.median(), times.min(), device.describe());
    print::line(&format!("median {median:.3} ms, min {min:.3} ms over {} runs on {name}", options.repeat))?;
    #[cfg(feature = "full")]
    if let Some(swaps) = &swaps {
        let (median, min) = (swaps.median(), swaps.min());
        print::line(&format!("deltas put on the loaded model in {median:.3} ms, min {min:.3} ms"))?;
    }
    let (arena, weights, macs) = (report.arena_bytes, report.weight_bytes, report.macs as f64 / 1e9);
    print::line(&format!("activations {arena} bytes, weights {weights} bytes, {macs:.3} G multiplications"))
}
