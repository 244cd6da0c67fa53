//! Options that every command takes.

use clap::{Args, ValueEnum};

use super::tuned;
use crate::Result;
use crate::runtime::Device;

#[derive(Args)]
pub struct Global {
    /// Where to compute; FEWBIT_ADAPTER=<part of its name> picks among GPUs
    #[arg(long, global = true, value_enum, default_value_t = DeviceKind::Auto)]
    device: DeviceKind,
    /// Threads of the CPU path; 0 = all cores
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub threads: usize,
    /// Take each GPU kernel's default, not what `--tune` found here before
    #[arg(long, global = true)]
    no_tuned: bool,
    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum DeviceKind {
    Auto,
    Cpu,
    Gpu,
}

impl Global {
    /// The device asked for, with what was tuned for it before.
    pub fn device(&self) -> Result<Device> {
        let device = self.open()?;
        if !self.no_tuned {
            tuned::load(&device);
        }
        Ok(device)
    }

    fn open(&self) -> Result<Device> {
        match self.device {
            DeviceKind::Cpu => Device::cpu(self.threads),
            DeviceKind::Auto => Device::auto(self.threads),
            #[cfg(feature = "gpu")]
            DeviceKind::Gpu => Device::gpu(),
            #[cfg(not(feature = "gpu"))]
            DeviceKind::Gpu => {
                Err(crate::Error::Unsupported("this build has no GPU backend; use `--device cpu`".into()))
            }
        }
    }
}
