//! Decoding on a GPU: the next token becomes the next run's input on the device, and that run is submitted before the
//! host has seen the token.

use super::Device;
use super::goal::Goal;
use super::session::Session;
use crate::Result;
use crate::gpu;
use crate::ops::next_token::Draw;
use crate::tensor::Tensor;

/// A run that is under way; its output are ids i64, −1 where a logit was no finite number.
pub use gpu::Started;

impl Session {
    /// Starts a run and does not wait for it. Of its first output, logits `[…, vocabulary]`, it finds the greatest of each
    /// row, the lowest id of equals, or draws one as `draw` says, and they become the input `input` of the next run that is started. With `goes_on` this
    /// run takes those of the last one, whatever is given for the input. At most one other may be under way.
    ///
    /// `None` where this cannot be: on a CPU, for shapes that do not fit, and with `goes_on` when no run was started before,
    /// or plans were built anew since. A lost device is an error, and is not opened anew here.
    pub async fn start_async(
        &mut self,
        inputs: &[(&str, &Tensor)],
        input: &str,
        goes_on: bool,
        draw: Option<Draw>,
    ) -> Result<Option<Started>> {
        if let Device::Cpu(_) = self.device() {
            return Ok(None);
        }
        let graph = self.graph();
        let Some(index) = graph.inputs.iter().position(|&id| graph.value(id).name == input) else { return Ok(None) };
        let mut inputs = self.order(inputs)?;
        self.make_room([1, self.kept_tokens(&inputs)?])?;
        let drawn = draw.map(|draw| draw.tensor()).transpose()?;
        inputs.extend(&drawn);
        let goal = if drawn.is_some() { Goal::DrawnToken } else { Goal::NextToken };
        self.proved(&inputs, goal).await?.start(&inputs, index, goes_on).await
    }
}
