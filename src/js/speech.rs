//! Speech to text, as JavaScript asks for it.

use std::ops::ControlFlow;

use js_sys::{Float32Array, Function, Uint8Array};
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::model::JsModel;
use crate::audio::Sound;
use crate::tasks::Transcriber;
use crate::tasks::caption::{Options, Segment};
use crate::{Error, Result};

/// What `www/src/speech.ts` sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    timestamps: bool,
    language: Option<String>,
    translate: bool,
    seed: u64,
}

#[wasm_bindgen(js_class = Model)]
impl JsModel {
    /// Writes down what is said in the bytes of a file, which `name` names in messages; `request` as JSON. Calls `piece` with
    /// start and end in seconds and the text of each part, and resolves to JSON (`Transcript` in `types.ts`).
    #[wasm_bindgen(js_name = hearFile)]
    pub async fn hear_file(
        &self,
        request: String,
        name: String,
        bytes: Uint8Array,
        piece: Function,
    ) -> Result<String, JsValue> {
        let sound = || {
            let mut copy = room::<u8>(bytes.length())?;
            copy.resize(bytes.length() as usize, 0);
            bytes.copy_to(&mut copy);
            Sound::from_bytes(&name, copy)
        };
        self.hear(&request, sound, &piece).await.map_err(|e| to_js(of_sound(e)))
    }

    /// The same of samples of one channel at a rate in Hz.
    #[wasm_bindgen(js_name = hearSamples)]
    pub async fn hear_samples(
        &self,
        request: String,
        samples: Float32Array,
        rate: u32,
        piece: Function,
    ) -> Result<String, JsValue> {
        let sound = || {
            let mut copy = room::<f32>(samples.length())?;
            copy.resize(samples.length() as usize, 0.0);
            samples.copy_to(&mut copy);
            Sound::from_samples(copy, rate)
        };
        self.hear(&request, sound, &piece).await.map_err(to_js)
    }
}

impl JsModel {
    async fn hear(&self, request: &str, sound: impl FnOnce() -> Result<Sound>, piece: &Function) -> Result<String> {
        let request: Request = serde_json::from_str(request).map_err(|e| Error::Usage(format!("options: {e}")))?;
        let Request { timestamps, language, translate, seed } = request;
        let options = Options { timestamps, language, translate, seed };
        let mut sound = sound()?;
        let taken = self.transcriber.borrow_mut().take();
        let mut transcriber = taken.map_or_else(|| Transcriber::new(self.model(), &self.device()?), Ok)?;
        let result = heard(&mut transcriber, &mut sound, &options, piece).await;
        *self.transcriber.borrow_mut() = Some(transcriber);
        result
    }
}

async fn heard(
    transcriber: &mut Transcriber,
    sound: &mut Sound,
    options: &Options,
    piece: &Function,
) -> Result<String> {
    let mut wanted = true;
    let tell = |segment: &Segment| {
        let told =
            piece.call3(&JsValue::UNDEFINED, &segment.start.into(), &segment.end.into(), &segment.text.as_str().into());
        wanted = told.is_ok();
        if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let caption = transcriber.caption_async(sound, options, tell).await?;
    if !wanted {
        return Err(Error::Aborted);
    }
    let segments = caption.segments.iter().map(|s| json!({"start": s.start, "end": s.end, "text": s.text}));
    let json = json!({
        "text": caption.text,
        "segments": segments.collect::<Vec<_>>(),
        "ids": caption.ids,
        "seconds": caption.seconds,
    });
    Ok(json.to_string())
}

/// Memory for what JavaScript holds.
fn room<T>(len: u32) -> Result<Vec<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(len as usize).map_err(|_| {
        let mib = (len as usize).saturating_mul(size_of::<T>()) >> 20;
        Error::OutOfMemory(format!("no room for {mib} MiB of sound; use a shorter one"))
    })?;
    Ok(room)
}

/// A sound file that cannot be read says nothing about the model.
fn of_sound(error: Error) -> Error {
    match error {
        Error::Format { file, what } => Error::Unsupported(format!("{file}: {what}")),
        other => other,
    }
}
