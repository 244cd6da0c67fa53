//! Floor 9: the command line. Each command is a thin face over the floors below and prints JSON or a table.

mod bench;
mod bench_matmul;
#[cfg(feature = "audio")]
mod caption;
mod classify;
mod compress;
mod conformance;
mod convert;
#[cfg(feature = "full")]
mod delta;
#[cfg(feature = "audio")]
mod describe;
mod devices;
#[cfg(feature = "text")]
mod eval;
#[cfg(feature = "full")]
mod exit;
#[cfg(feature = "text")]
mod generate;
mod global;
mod inspect;
#[cfg(feature = "full")]
mod inspect_delta;
mod models;
mod print;
mod roofline;
mod run;
mod schedule;
#[cfg(feature = "full")]
mod soup;
mod stats;
mod tokens;
mod tuned;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use global::Global;

use crate::{Error, Result};

/// Run and compress neural networks on the GPU that is there, or fast on the CPU.
#[derive(Parser)]
#[command(name = "fewbit", version)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Label images
    Classify(classify::Options),
    /// Run a model on .npy inputs
    Run(run::Options),
    /// Convert a model to the .fewbit container, nothing lost
    Convert(convert::Options),
    /// Store a model's weights in fewer bits
    Compress(compress::Options),
    /// Write what fine-tuning changed, to put it on the base with `--delta`
    #[cfg(feature = "full")]
    Delta(delta::Options),
    /// Show what is inside a model file
    Inspect(inspect::Options),
    /// Continue a text, or answer in a chat
    #[cfg(feature = "text")]
    Generate(generate::Options),
    /// Write down what is said in a sound file, or describe a photo
    #[cfg(feature = "audio")]
    Caption(caption::Options),
    /// Measure how well a model does
    #[cfg(feature = "text")]
    Eval(eval::Options),
    /// Time a model, or a matrix product (`bench matmul`)
    Bench(bench::Options),
    /// Find how many tokens each layer of a vision transformer can do without
    Schedule(schedule::Options),
    /// Run test cases in the public ONNX layout
    Conformance(conformance::Options),
    /// List the devices
    Devices,
}

/// Parses the arguments, runs the command, and turns a failure into a message and an exit status: 2 for bad usage,
/// 1 for anything else. `classifier`: the model file that `classify` uses when none is given.
pub fn main(classifier: &[u8]) -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli, classifier) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn dispatch(cli: &Cli, classifier: &[u8]) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Classify(options) => classify::run(global, options, classifier),
        Command::Convert(options) => convert::run(global, options),
        Command::Compress(options) => compress::run(global, options),
        #[cfg(feature = "full")]
        Command::Delta(options) => delta::run(global, options),
        Command::Run(options) => run::run(global, options),
        Command::Inspect(options) => inspect::run(global, options),
        #[cfg(feature = "text")]
        Command::Generate(options) => generate::run(global, options),
        #[cfg(feature = "audio")]
        Command::Caption(options) => caption::run(global, options),
        #[cfg(feature = "text")]
        Command::Eval(options) => eval::run(global, options),
        Command::Bench(options) => bench::run(global, options),
        Command::Schedule(options) => schedule::run(global, options),
        Command::Conformance(options) => conformance::run(global, options),
        Command::Devices => devices::run(global),
    }
}
