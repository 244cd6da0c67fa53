//! Text generation: a prompt or a conversation → text, piece by piece.

use std::ops::ControlFlow;

use super::decoder::Decoder;
use super::language::Language;
use super::stop::Stops;
use crate::clock::now_ms;
use crate::graph::Model;
use crate::runtime::Device;
use crate::text::{Message, Sampler, Sampling};
use crate::{Error, Result};

/// A language model on a device, ready to continue texts.
pub struct Generator {
    decoder: Decoder,
    language: Language,
}

/// How a text is continued, and where that ends.
#[derive(Clone, Debug)]
pub struct Options {
    pub max_tokens: usize,
    pub sampling: Sampling,
    /// Texts before which the generated one ends, beside the tokens with which the model ends it.
    pub stop: Vec<String>,
}

impl Default for Options {
    /// Greedy, up to 256 tokens.
    fn default() -> Self {
        let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
        Options { max_tokens: 256, sampling, stop: Vec::new() }
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the model's own token or a stop text.
    Stop,
    MaxTokens,
    /// No more tokens fit the model's context.
    Context,
    /// The caller did not want more.
    Cancelled,
}

/// A generated text.
#[derive(Clone, Debug)]
pub struct Generated {
    pub text: String,
    /// Its tokens, with the one that ended it.
    pub ids: Vec<u32>,
    pub prompt_tokens: usize,
    /// Until the prompt was read; then until the end.
    pub prefill_ms: f64,
    pub decode_ms: f64,
    pub end: End,
}

impl Generator {
    /// The model must be a decoder, with its tokenizer in the manifest.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        Ok(Generator { decoder: Decoder::new(model, device)?, language: Language::new(&model.manifest)? })
    }

    /// The decoder underneath.
    pub fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// The tokenizer and the chat template.
    pub fn language(&self) -> &Language {
        &self.language
    }

    /// Continues a text. `piece` gets what is new after each token, and ends it with `Break`. Fails for an empty prompt,
    /// one that does not fit the context, and numbers of sampling that mean nothing.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn generate(
        &mut self,
        prompt: &str,
        options: &Options,
        piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let prompt = self.language.prompt(prompt)?;
        pollster::block_on(self.continue_async(&prompt, options, piece))
    }

    /// Answers the last message of a conversation. Fails as `generate` does, and if the model has no chat template.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn chat(
        &mut self,
        messages: &[Message],
        options: &Options,
        piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let prompt = self.language.chat(messages)?;
        pollster::block_on(self.continue_async(&prompt, options, piece))
    }

    /// Continues tokens.
    pub async fn continue_async(
        &mut self,
        prompt: &[u32],
        options: &Options,
        mut piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let Generator { decoder, language } = self;
        if prompt.len() > decoder.context() {
            let (len, context) = (prompt.len(), decoder.context());
            let what = format!("the prompt has {len} tokens, the model's context {context}; use a shorter one");
            return Err(Error::Usage(what));
        }
        let mut sampler = Sampler::new(options.sampling.clone())?;
        let mut stream = language.tokenizer.stream();
        let mut stops = Stops::new(&options.stop);
        let mut tokens = prompt.to_vec();
        let mut text = String::new();
        let began = now_ms();
        let mut read = began;
        let mut end = End::MaxTokens;
        while tokens.len() < prompt.len() + options.max_tokens {
            if tokens.len() > decoder.context() {
                end = End::Context;
                break;
            }
            let mut logits = decoder.logits_async(&tokens, 1).await?;
            if tokens.len() == prompt.len() {
                read = now_ms();
            }
            // A model may have rows for more than its tokenizer knows.
            logits.truncate(language.tokenizer.vocabulary_size());
            let id = sampler.sample(&mut logits, &tokens)?;
            tokens.push(id);
            if language.tokenizer.stops().contains(&id) {
                end = End::Stop;
                break;
            }
            let new = stops.push(&stream.push(id)?);
            text += &new;
            let wanted = new.is_empty() || piece(&new).is_continue();
            if stops.found() || !wanted {
                end = if wanted { End::Stop } else { End::Cancelled };
                break;
            }
        }
        if end != End::Cancelled {
            let mut rest = stops.push(&stream.finish());
            rest += &stops.finish();
            text += &rest;
            if !rest.is_empty() && piece(&rest).is_break() {
                end = End::Cancelled;
            }
        }
        let ids = tokens.split_off(prompt.len());
        let (prefill_ms, decode_ms) = (read - began, now_ms() - read);
        Ok(Generated { text, ids, prompt_tokens: prompt.len(), prefill_ms, decode_ms, end })
    }
}
