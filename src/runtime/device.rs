//! Where a session computes.

use crate::Result;
use crate::cpu::Threads;
#[cfg(feature = "gpu")]
use crate::gpu::GpuDevice;

/// A CPU with a number of threads, or a GPU. Cloning shares it.
#[derive(Clone)]
pub enum Device {
    Cpu(Threads),
    #[cfg(feature = "gpu")]
    Gpu(std::sync::Arc<GpuDevice>, Threads),
}

impl Device {
    /// The CPU with `threads` threads; 0 = all cores.
    pub fn cpu(threads: usize) -> Result<Self> {
        Ok(Device::Cpu(Threads::new(threads)?))
    }

    /// The best GPU (`FEWBIT_ADAPTER` picks by a part of its name). Operators without a GPU kernel run on the CPU.
    #[cfg(feature = "gpu")]
    pub async fn gpu_async() -> Result<Self> {
        Ok(Device::Gpu(std::sync::Arc::new(GpuDevice::new().await?), Threads::new(0)?))
    }

    #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
    pub fn gpu() -> Result<Self> {
        pollster::block_on(Self::gpu_async())
    }

    /// A hardware GPU if there is one, else the CPU: a software adapter computes on the CPU too, only slower.
    pub async fn auto_async(threads: usize) -> Result<Self> {
        #[cfg(feature = "gpu")]
        if let Ok(gpu) = GpuDevice::new().await
            && !gpu.is_software()
        {
            return Ok(Device::Gpu(std::sync::Arc::new(gpu), Threads::new(threads)?));
        }
        Self::cpu(threads)
    }

    #[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
    pub fn auto(threads: usize) -> Result<Self> {
        pollster::block_on(Self::auto_async(threads))
    }

    #[cfg(not(feature = "gpu"))]
    pub fn auto(threads: usize) -> Result<Self> {
        Self::cpu(threads)
    }

    pub fn threads(&self) -> &Threads {
        match self {
            Device::Cpu(threads) => threads,
            #[cfg(feature = "gpu")]
            Device::Gpu(_, threads) => threads,
        }
    }

    /// The GPU is gone: driver reset, unplugged, or destroyed.
    pub fn is_lost(&self) -> bool {
        match self {
            Device::Cpu(_) => false,
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => gpu.is_lost(),
        }
    }

    /// How fast the device copies and computes, measured in about a second.
    #[cfg(feature = "cli")]
    pub fn ceilings(&self) -> Result<crate::cpu::ceilings::Ceilings> {
        match self {
            Device::Cpu(threads) => Ok(crate::cpu::ceilings::measure(threads)),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => pollster::block_on(crate::gpu::ceilings::measure(gpu)),
        }
    }

    /// The same kind of device, opened anew.
    pub async fn reopen(&self) -> Result<Self> {
        match self {
            Device::Cpu(threads) => Ok(Device::Cpu(threads.clone())),
            #[cfg(feature = "gpu")]
            Device::Gpu(old, threads) => {
                let mut gpu = GpuDevice::new().await?;
                gpu.take_over(old);
                Ok(Device::Gpu(std::sync::Arc::new(gpu), threads.clone()))
            }
        }
    }

    /// The CPU, which computes what a GPU leaves.
    #[cfg(feature = "cli")]
    pub fn host(&self) -> Device {
        match self {
            Device::Cpu(threads) => Device::Cpu(threads.clone()),
            #[cfg(feature = "gpu")]
            Device::Gpu(_, threads) => Device::Cpu(threads.clone()),
        }
    }

    /// What the JSON's `device` says: `cpu`, or `gpu: NAME`.
    pub fn describe(&self) -> String {
        match self {
            Device::Cpu(threads) => {
                format!("cpu ({} thread{})", threads.count(), if threads.count() == 1 { "" } else { "s" })
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => format!("gpu: {}", gpu.name()),
        }
    }
}
