//! `fewbit convert --soup`: models between models.

use std::path::PathBuf;

use clap::Args;

use super::models;
use crate::deltas::{blend, mean};
use crate::graph::{Graph, Model};
use crate::{Error, Result};

#[derive(Args)]
pub struct Soup {
    /// Another model of the same architecture: write the mean of all; repeat for several
    #[arg(long = "soup", value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// With one --soup: (1 − X) · SOURCE + X · MODEL
    #[arg(long, value_name = "X", requires = "models", allow_negative_numbers = true)]
    alpha: Option<f64>,
}

impl Soup {
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        let others: Vec<Model> = self.models.iter().map(|path| models::open(path)).collect::<Result<_>>()?;
        model.graph = match (others.as_slice(), self.alpha) {
            ([], _) => return Ok(()),
            ([other], Some(alpha)) => blend(&model.graph, &other.graph, alpha)?,
            (_, Some(_)) => return Err(Error::Usage("--alpha is for two models: give one --soup".into())),
            (others, None) => {
                let others = others.iter().map(|other| &other.graph);
                mean(&std::iter::once(&model.graph).chain(others).collect::<Vec<&Graph>>())?
            }
        };
        Ok(())
    }
}
