//! A photo or sound → text: one face for the models that see (`tasks::Describer`) and those that hear
//! (`tasks::Transcriber`).

#[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
use std::ops::ControlFlow;

use super::Describer;
use super::caption::Transcriber;
#[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
use super::{caption, generate};
use crate::graph::Model;
use crate::models::{speech, vision_language};
use crate::runtime::{Activations, Device};
use crate::{Error, Result};
#[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
use crate::{audio::Sound, vision::Photo};

/// A model that writes about photos or writes down speech, on a device.
pub enum Captioner {
    Sees(Box<Describer>),
    Hears(Box<Transcriber>),
}

impl Captioner {
    /// By the manifest's task. Fails for models of other tasks, and as `Describer::new` and `Transcriber::new` do.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        match model.manifest.task.as_deref() {
            Some(vision_language::TASK) => Ok(Captioner::Sees(Box::new(Describer::new(model, device)?))),
            Some(speech::TASK) => Ok(Captioner::Hears(Box::new(Transcriber::new(model, device)?))),
            other => {
                let task = other.map_or_else(|| "the model has no task".into(), |task| format!("its task is `{task}`"));
                Err(Error::Usage(format!("the model does not see and does not hear: {task}")))
            }
        }
    }

    /// See `Session::set_activations`.
    pub fn set_activations(&mut self, activations: Activations) {
        match self {
            Captioner::Sees(describer) => describer.set_activations(activations),
            Captioner::Hears(transcriber) => transcriber.set_activations(activations),
        }
    }

    /// See `Describer::describe`. Fails also for a model that hears.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn describe(
        &mut self,
        photo: &Photo,
        prompt: &str,
        options: &generate::Options,
        piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<generate::Generated> {
        match self {
            Captioner::Sees(describer) => describer.describe(photo, prompt, options, piece),
            Captioner::Hears(_) => Err(Error::Usage("a photo, and the model hears: it takes sound".into())),
        }
    }

    /// See `Transcriber::caption`. Fails also for a model that sees.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn transcribe(
        &mut self,
        sound: &mut Sound,
        options: &caption::Options,
        piece: impl FnMut(&caption::Segment) -> ControlFlow<()>,
    ) -> Result<caption::Caption> {
        match self {
            Captioner::Hears(transcriber) => transcriber.caption(sound, options, piece),
            Captioner::Sees(_) => Err(Error::Usage("sound, and the model sees: it takes a photo".into())),
        }
    }
}
