//! Sound as samples that calibrate a model of speech.

use super::caption::{Options, Transcriber};
use super::decoder::{self, INPUTS};
use crate::audio::Sound;
use crate::compress::Sample;
use crate::graph::Model;
use crate::models::whisper::FEATURES;
use crate::{Error, Result};

/// A sample for each window of the sound in which somebody speaks: its features, and as the decoder's tokens those that
/// the model itself writes down greedily. `transcriber` is of the same model.
pub fn sound_windows(model: &Model, transcriber: &mut Transcriber, sound: &mut Sound) -> Result<Vec<Sample>> {
    let names: Vec<&str> = model.graph.inputs.iter().map(|&id| model.graph.value(id).name.as_str()).collect();
    let windows = transcriber.windows(sound, &Options::default())?;
    windows
        .into_iter()
        .map(|(features, tokens)| {
            let inputs = decoder::inputs(&[&tokens], 0, 0..tokens.len())?;
            let known: Vec<_> = INPUTS.into_iter().zip(inputs).chain([(FEATURES, features)]).collect();
            let value = |name: &&str| {
                let found = known.iter().find(|(known, _)| known == name);
                found.map(|(_, tensor)| tensor.clone())
            };
            let sample: Option<Sample> = names.iter().map(value).collect();
            sample.ok_or_else(|| {
                Error::Usage(format!("sound calibrates models of speech only; this one reads {names:?}"))
            })
        })
        .collect()
}
