//! A photo and a question → text, as JavaScript asks for it.

use js_sys::Function;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::model::JsModel;
use super::text::{How, telling, to_json};
use crate::tasks::Describer;
use crate::vision::Photo;
use crate::{Error, Result};

/// What `www/src/describe.ts` sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    prompt: Option<String>,
    how: How,
}

#[wasm_bindgen(js_class = Model)]
impl JsModel {
    /// Answers a question about a photo; `request` as JSON, `rgba`: `[height, width, 4]`. Calls `piece` with what is new after
    /// each token, and resolves to JSON (`Generated` in `types.ts`).
    #[wasm_bindgen(js_name = describe)]
    pub async fn describe_image(
        &self,
        request: String,
        rgba: &[u8],
        width: usize,
        height: usize,
        piece: Function,
    ) -> Result<String, JsValue> {
        let photo = Photo::from_rgba(width, height, rgba).map_err(to_js)?;
        self.describe_photo(&request, &photo, &piece).await.map_err(to_js)
    }
}

impl JsModel {
    async fn describe_photo(&self, request: &str, photo: &Photo, piece: &Function) -> Result<String> {
        let request: Request = serde_json::from_str(request).map_err(|e| Error::Usage(format!("options: {e}")))?;
        let taken = self.describer.borrow_mut().take();
        let mut describer = taken.map_or_else(|| Describer::new(self.model(), &self.device()?), Ok)?;
        let (question, default) = describer.defaults();
        let prompt = request.prompt.as_deref().unwrap_or(question);
        let how = request.how.options(default.beams.count);
        if let Some(variance) = describer.noise() {
            describer.set_noise(variance, how.sampling.seed)?;
        }
        let result = describer.describe_async(photo, prompt, &how, telling(piece)).await;
        *self.describer.borrow_mut() = Some(describer);
        to_json(&result?)
    }
}
