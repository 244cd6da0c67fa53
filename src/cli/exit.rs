//! The flag `--exit`: a model with early exits stops when it is sure enough.

use clap::Args;

use crate::graph::Model;
use crate::runtime::Device;
use crate::tasks::Classifier;
use crate::{Error, Result};

#[derive(Args)]
pub struct ExitFlag {
    /// Stop behind the first layer whose head is less unsure; 0 runs all layers. For models with early exits
    #[arg(long, value_name = "THRESHOLD")]
    exit: Option<f32>,
}

impl ExitFlag {
    pub fn threshold(&self) -> Option<f32> {
        self.exit
    }

    /// A classifier that stops as the flag says; `reduced` if its tokens are to be reduced.
    pub fn classifier(&self, model: &Model, device: &Device, reduced: bool) -> Result<Classifier> {
        match self.exit {
            Some(threshold) => {
                refuse_tokens(reduced)?;
                Classifier::with_exits(model, device, threshold)
            }
            None => Classifier::new(model, device),
        }
    }
}

/// Parts of a model are reduced each for itself, which no head was trained for.
pub fn refuse_tokens(reduced: bool) -> Result<()> {
    match reduced {
        true => Err(Error::Usage("--tokens and --exit cannot be combined".into())),
        false => Ok(()),
    }
}
