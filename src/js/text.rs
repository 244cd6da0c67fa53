//! Text from a language model, as JavaScript asks for it.

use std::ops::ControlFlow;

use js_sys::Function;
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::model::JsModel;
use crate::tasks::Generator;
use crate::tasks::beams::Beams;
use crate::tasks::generate::{End, Generated, Options};
use crate::text::{Message, Sampling};
use crate::{Error, Result};

/// What `www/src/text.ts` sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    prompt: Prompt,
    how: How,
}

/// Fields as `Options` has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    max_tokens: usize,
    sampling: Sampling,
    stop: Vec<String>,
    schema: Option<serde_json::Value>,
    beams: Option<usize>,
    length_penalty: f32,
}

impl How {
    /// With so many beams unless it says how many, or asks for what goes without beams only.
    pub(super) fn options(self, usual: usize) -> Options {
        let How { max_tokens, sampling, stop, schema, beams, length_penalty } = self;
        let plain = sampling.temperature == 0.0 && stop.is_empty() && schema.is_none();
        let count = beams.unwrap_or(if plain { usual } else { 1 });
        Options { max_tokens, sampling, stop, schema, beams: Beams { count, length_penalty } }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Chat(Vec<Message>),
}

#[wasm_bindgen(js_class = Model)]
impl JsModel {
    /// Continues a text or a conversation; `request` as JSON. Calls `piece` with what is new after each token, and resolves
    /// to JSON (`Generated` in `types.ts`).
    pub async fn generate(&self, request: String, piece: Function) -> Result<String, JsValue> {
        self.generate_text(&request, &piece).await.map_err(to_js)
    }
}

impl JsModel {
    async fn generate_text(&self, request: &str, piece: &Function) -> Result<String> {
        let request: Request = serde_json::from_str(request).map_err(|e| Error::Usage(format!("options: {e}")))?;
        let taken = self.generator.borrow_mut().take();
        let mut generator = taken.map_or_else(|| Generator::new(self.model(), &self.device()?), Ok)?;
        let result = continued(&mut generator, request, piece).await;
        *self.generator.borrow_mut() = Some(generator);
        result
    }
}

async fn continued(generator: &mut Generator, request: Request, piece: &Function) -> Result<String> {
    let prompt = match request.prompt {
        Prompt::Text(text) => generator.language().prompt(&text)?,
        Prompt::Chat(messages) => generator.language().chat(&messages)?,
    };
    let generated = generator.continue_async(&prompt, &request.how.options(1), telling(piece)).await?;
    to_json(&generated)
}

/// Passes pieces on until JavaScript throws.
pub(super) fn telling(piece: &Function) -> impl FnMut(&str) -> ControlFlow<()> {
    |text| match piece.call1(&JsValue::UNDEFINED, &text.into()) {
        Ok(_) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// As `Generated` in `types.ts`.
pub(super) fn to_json(generated: &Generated) -> Result<String> {
    let end = match generated.end {
        End::Stop => "stop",
        End::MaxTokens => "max-tokens",
        End::Context => "context",
        End::Cancelled => return Err(Error::Aborted),
    };
    let json = json!({
        "text": generated.text,
        "tokens": generated.ids.len(),
        "ids": generated.ids,
        "promptTokens": generated.prompt_tokens,
        "prefillMs": generated.prefill_ms,
        "decodeMs": generated.decode_ms,
        "constraintMs": generated.constraint_ms.iter().sum::<f64>(),
        "end": end,
    });
    Ok(json.to_string())
}
