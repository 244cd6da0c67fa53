//! Floor 9: the command line. Each command is a thin face over the floors below and prints JSON or a table.

mod conformance;
mod devices;
mod models;
mod print;
mod run;
mod stats;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::runtime::Device;
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

#[derive(Args)]
struct Global {
    /// Where to compute; FEWBIT_ADAPTER=<part of its name> picks among GPUs
    #[arg(long, global = true, value_enum, default_value_t = DeviceKind::Auto)]
    device: DeviceKind,
    /// Threads of the CPU path; 0 = all cores
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum DeviceKind {
    Auto,
    Cpu,
    Gpu,
}

impl Global {
    fn device(&self) -> Result<Device> {
        match self.device {
            DeviceKind::Cpu => Device::cpu(self.threads),
            DeviceKind::Auto => Device::auto(self.threads),
            #[cfg(feature = "gpu")]
            DeviceKind::Gpu => Device::gpu(),
            #[cfg(not(feature = "gpu"))]
            DeviceKind::Gpu => Err(Error::Unsupported("this build has no GPU backend; use `--device cpu`".into())),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run a model on .npy inputs
    Run(run::Options),
    /// Run test cases in the public ONNX layout
    Conformance(conformance::Options),
    /// List the devices
    Devices,
}

/// Parses the arguments, runs the command, and turns a failure into a message and an exit status: 2 for bad usage,
/// 1 for anything else.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn dispatch(cli: &Cli) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(options) => run::run(global, options),
        Command::Conformance(options) => conformance::run(global, options),
        Command::Devices => devices::run(global),
    }
}
