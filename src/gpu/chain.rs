//! Runs that follow each other without a way over the host: the output of one is an input of the next, which is submitted
//! before the host has seen it.

use std::sync::Arc;

use super::device::GpuDevice;
use super::program::Program;
use super::readback::{Sent, Staging};
use super::storage::{self, payload_bytes};
use crate::tensor::{Tensor, TensorType};
use crate::{Error, Result};

/// The runs of a program.
#[derive(Default)]
pub struct Chain {
    /// Two runs may be under way.
    staging: [Staging; 2],
    turn: usize,
    /// The input that holds the last one's output.
    holds: Option<usize>,
}

/// A run that is under way.
pub struct Started {
    device: Arc<GpuDevice>,
    sent: Sent,
    ty: TensorType,
}

impl Chain {
    /// Starts a run whose only output becomes input `input` of the next. With `goes_on` it takes that of the last run that
    /// was started, whatever `inputs` has there. `None` if there is no such run, or if the program has no way for it. At
    /// most one other may be under way.
    pub async fn start(
        &mut self,
        program: &mut Program,
        inputs: &[&Tensor],
        input: usize,
        goes_on: bool,
    ) -> Result<Option<Started>> {
        if goes_on && self.holds != Some(input) {
            return Ok(None);
        }
        let Some((output, place, ty)) = program.feedback(input) else { return Ok(None) };
        self.holds = None;
        let (mut encoder, _) = program.encode_all(inputs, goes_on.then_some(input)).await?;
        let bytes = payload_bytes(&ty);
        encoder.copy_buffer_to_buffer(&output, 0, &place, 0, bytes as u64);
        self.turn = (self.turn + 1) % self.staging.len();
        let device = program.device().clone();
        let sent = self.staging[self.turn].send(&device, encoder, &[(output, bytes)])?;
        self.holds = Some(input);
        Ok(Some(Started { device, sent, ty }))
    }
}

impl Started {
    /// Waits for the output.
    pub async fn output(self) -> Result<Tensor> {
        let bytes = self.sent.bytes(&self.device).await?;
        let lost = || Error::Device("the output did not come".into());
        storage::from_gpu(&self.ty, bytes.first().ok_or_else(lost)?)
    }
}
