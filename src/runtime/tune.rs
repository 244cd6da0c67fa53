//! Choice by measurement: each kernel's variants are timed where they will run, inside the model.

use std::collections::HashMap;

use super::Device;
use super::plan::Plan;
use super::session::Session;
use crate::gpu::Choice;
use crate::gpu::choices::MOST;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Runs per variant, of which the fastest counts.
const RUNS: usize = 3;

impl Session {
    /// Times the variants of every GPU kernel on these inputs, some tens of runs, and takes the fastest from then on: in
    /// this session for these sizes, in others of the device from their next plan. Returns how many products had a
    /// choice. `device.choices().to_text()` keeps what was found. Other variants add in another order: results differ in
    /// the last bits. `Error::Unsupported` on a CPU and where the GPU has no timestamps.
    pub async fn tune_async(&mut self, inputs: &[(&str, &Tensor)]) -> Result<usize> {
        let Device::Gpu(gpu, _) = self.device().clone() else {
            return Err(Error::Unsupported("the CPU's kernels have nothing to tune; use `--device gpu`".into()));
        };
        let found = self.trials(inputs, |variant| gpu.choices().set_trial(variant)).await;
        gpu.choices().set_trial(None);
        self.forget_plans();
        let mut best: HashMap<String, (usize, f64)> = HashMap::new();
        for (choice, ms) in found? {
            let entry = best.entry(choice.key).or_insert((choice.variant, ms));
            // Of equals the first variant, whatever the map's order.
            if (ms, choice.variant) < (entry.1, entry.0) {
                *entry = (choice.variant, ms);
            }
        }
        let count = best.len();
        best.into_iter().for_each(|(key, (variant, _))| gpu.choices().make(Choice { key, variant }));
        Ok(count)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub fn tune(&mut self, inputs: &[(&str, &Tensor)]) -> Result<usize> {
        pollster::block_on(self.tune_async(inputs))
    }

    /// The shortest time of every variant.
    async fn trials(
        &mut self,
        inputs: &[(&str, &Tensor)],
        set: impl Fn(Option<usize>),
    ) -> Result<HashMap<Choice, f64>> {
        let mut times = HashMap::new();
        for variant in 0..MOST {
            set(Some(variant));
            self.forget_plans();
            for _ in 0..RUNS {
                for (choice, ms) in self.profiled(inputs, Plan::choices).await? {
                    let least: &mut f64 = times.entry(choice).or_insert(ms);
                    *least = least.min(ms);
                }
            }
        }
        Ok(times)
    }
}
