//! Text generation: a prompt or a conversation → text, piece by piece.

use std::ops::ControlFlow;

use super::ahead::{Ahead, Draft};
use super::beams::{Beams, Search};
use super::decoder::Decoder;
use super::language::Language;
use super::stop::Stops;
use crate::clock::{breathe, now_ms};
use crate::graph::Model;
use crate::ops::next_token::Draw;
use crate::runtime::Device;
use crate::text::{Constraint, Sampler, Sampling, Schemas};
use crate::{Error, Result};

/// A language model on a device, ready to continue texts.
pub struct Generator {
    decoder: Decoder,
    language: Language,
    draft: Draft,
    /// Made for the first text under a schema.
    schemas: Option<Schemas>,
}

/// How a text is continued, and where that ends.
#[derive(Clone, Debug)]
pub struct Options {
    pub max_tokens: usize,
    pub sampling: Sampling,
    /// Texts before which the generated one ends, beside the tokens with which the model ends it.
    pub stop: Vec<String>,
    /// A JSON schema that the text must satisfy (`text::Schemas` says which keywords are known). It is kept within
    /// `max_tokens`, unless a stop text cuts it.
    pub schema: Option<serde_json::Value>,
    /// Several texts at once, of which the likeliest is taken, instead of one token after the other. Without chance, stop
    /// texts and schemas; nothing is drafted, and the text comes as one piece.
    pub beams: Beams,
}

impl Default for Options {
    /// Greedy, up to 256 tokens.
    fn default() -> Self {
        let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
        Options { max_tokens: 256, sampling, stop: Vec::new(), schema: None, beams: Beams::default() }
    }
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the model's own token, a stop text, or because a schema admits nothing more.
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
    /// How many tokens had been drafted.
    pub accepted: usize,
    /// Until the prompt was read; then until the end.
    pub prefill_ms: f64,
    pub decode_ms: f64,
    /// Of that what the schema took, for each token: which may come next, and the way to the text's end. Empty without one.
    pub constraint_ms: Vec<f64>,
    pub end: End,
}

impl Generator {
    /// The model must be a decoder, with its tokenizer in the manifest.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        Ok(Self::of(Decoder::new(model, device)?, Language::new(&model.manifest)?))
    }

    /// A generator of a decoder that may have further inputs.
    pub fn of(decoder: Decoder, language: Language) -> Self {
        Generator { decoder, language, draft: Draft::None, schemas: None }
    }

    /// Tokens are drafted from now on, which saves time where drafts come true and changes no text. Fails for a model
    /// with another vocabulary.
    pub fn set_draft(&mut self, draft: Draft) -> Result<()> {
        if let Draft::Model(model) = &draft
            && model.vocabulary() != self.decoder.vocabulary()
        {
            let (own, other) = (self.decoder.vocabulary(), model.vocabulary());
            let what = format!("the draft model has a vocabulary of {other} tokens, the model one of {own}");
            return Err(Error::Usage(what));
        }
        self.draft = draft;
        Ok(())
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
    /// one that does not fit the context, numbers of sampling that mean nothing, and schemas that cannot be kept.
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
        messages: &[crate::text::Message],
        options: &Options,
        piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let prompt = self.language.chat(messages)?;
        pollster::block_on(self.continue_async(&prompt, options, piece))
    }

    fn constraint(&mut self, schema: &serde_json::Value) -> Result<Constraint> {
        let schemas = match self.schemas.take() {
            Some(schemas) => schemas,
            None => Schemas::new(&self.language.tokenizer)?,
        };
        self.schemas.insert(schemas).constraint(schema)
    }

    /// Continues tokens.
    pub async fn continue_async(
        &mut self,
        prompt: &[u32],
        options: &Options,
        mut piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        self.decode_async(prompt, options, &mut piece).await
    }

    /// `continue_async`, compiled once for all callers.
    async fn decode_async(
        &mut self,
        prompt: &[u32],
        options: &Options,
        piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        if prompt.len() > self.decoder.context() {
            let (len, context) = (prompt.len(), self.decoder.context());
            let what = format!("the prompt has {len} tokens, the model's context {context}; use a shorter one");
            return Err(Error::Usage(what));
        }
        if options.beams.count != 1 {
            return self.search_async(prompt, options, piece).await;
        }
        let constraint = options.schema.as_ref().map(|schema| self.constraint(schema)).transpose()?;
        let Generator { decoder, language, draft, .. } = self;
        let (sampler, ends) = (Sampler::new(options.sampling.clone())?, language.tokenizer.stops());
        let mut chooser = Chooser { sampler, constraint, ends, constraint_ms: Vec::new() };
        let known = language.tokenizer.vocabulary_size();
        let is_plain = options.schema.is_none() && matches!(draft, Draft::None) && decoder.vocabulary() <= known;
        let mut ahead = Ahead::new(draft);
        let mut stream = language.tokenizer.stream();
        let mut stops = Stops::new(&options.stop);
        let mut tokens = prompt.to_vec();
        let mut text = String::new();
        let began = now_ms();
        let mut read = began;
        let mut end = End::MaxTokens;
        // The last token need not be fed.
        let room = (prompt.len() + options.max_tokens).min(decoder.context().saturating_add(1));
        while tokens.len() < prompt.len() + options.max_tokens {
            if tokens.len() > decoder.context() {
                end = End::Context;
                break;
            }
            // Fast devices take less time for a token than a run computes before it looks for an abort.
            breathe().await?;
            let left = room - tokens.len();
            let draws = chooser.sampler.ahead().filter(|_| is_plain);
            let found = match draws {
                Some(draws) => next(decoder, &tokens, draws, left == 1).await?,
                None => None,
            };
            let logits = if found.is_none() { Some(ahead.logits_async(decoder, &tokens).await?) } else { None };
            if tokens.len() == prompt.len() {
                read = now_ms();
            }
            let id = match logits {
                None => {
                    chooser.sampler.skip();
                    found
                }
                Some(mut logits) => {
                    // A model may have rows for more than its tokenizer knows.
                    logits.truncate(known);
                    chooser.choose(&mut logits, &tokens, left)?
                }
            };
            tokens.extend(id);
            let Some(id) = id.filter(|id| !ends.contains(id)) else {
                end = End::Stop;
                break;
            };
            let new = stops.push(&stream.push(id)?);
            text += &new;
            let wanted = new.is_empty() || piece(&new).is_continue();
            let whole = chooser.constraint.as_ref().is_some_and(Constraint::is_finished);
            if stops.found() || whole || !wanted {
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
        let (accepted, constraint_ms) = (ahead.accepted(), chooser.constraint_ms);
        Ok(Generated { text, ids, prompt_tokens: prompt.len(), accepted, prefill_ms, decode_ms, constraint_ms, end })
    }
}

/// See `Decoder::next_async`.
#[cfg(feature = "gpu")]
async fn next(decoder: &mut Decoder, tokens: &[u32], draws: [Option<Draw>; 2], last: bool) -> Result<Option<u32>> {
    decoder.next_async(tokens, draws, last).await
}

#[cfg(not(feature = "gpu"))]
async fn next(_: &mut Decoder, _: &[u32], _: [Option<Draw>; 2], _: bool) -> Result<Option<u32>> {
    Ok(None)
}

impl Generator {
    /// The likeliest text that beam search finds.
    async fn search_async(
        &mut self,
        prompt: &[u32],
        options: &Options,
        piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let Options { sampling, stop, schema, beams, .. } = options;
        if sampling.temperature > 0.0 || !stop.is_empty() || schema.is_some() {
            return Err(Error::Usage("beams go with no temperature, stop text or schema".into()));
        }
        let Generator { decoder, language, .. } = self;
        let (sampler, ends) = (Sampler::new(sampling.clone())?, language.tokenizer.stops());
        // The last token need not be fed.
        let room = decoder.context().saturating_add(1) - prompt.len();
        let mut search = Search::new(*beams, prompt, ends, options.max_tokens.min(room))?;
        let began = now_ms();
        let mut read = began;
        loop {
            let running = search.running();
            let Some(first) = running.first() else { break };
            breathe().await?;
            let is_first = first.len() == prompt.len();
            let mut logits = decoder.batch_logits_async(&running, 1).await?;
            if is_first {
                read = now_ms();
            }
            // A model may have rows for more than its tokenizer knows.
            let (words, known) = (decoder.vocabulary(), language.tokenizer.vocabulary_size());
            logits.chunks_exact_mut(words).for_each(|row| row[known.min(words)..].fill(f32::NEG_INFINITY));
            search.advance(&mut logits, |row, tokens| sampler.penalize(row, tokens));
        }
        let ids = search.best();
        let ids = match options.max_tokens {
            0 => Vec::new(),
            _ => ids.ok_or_else(|| Error::Usage("no token may come next".into()))?,
        };
        let mut stream = language.tokenizer.stream();
        let mut text = String::new();
        for &id in ids.iter().filter(|id| !ends.contains(id)) {
            text += &stream.push(id)?;
        }
        text += &stream.finish();
        let wanted = text.is_empty() || piece(&text).is_continue();
        let end = match ids.last() {
            _ if !wanted => End::Cancelled,
            Some(id) if ends.contains(id) => End::Stop,
            _ if ids.len() < options.max_tokens => End::Context,
            _ => End::MaxTokens,
        };
        let (prefill_ms, decode_ms, constraint_ms) = (read - began, now_ms() - read, Vec::new());
        let prompt_tokens = prompt.len();
        Ok(Generated { text, ids, prompt_tokens, accepted: 0, prefill_ms, decode_ms, constraint_ms, end })
    }
}

/// What decides on the next token.
struct Chooser<'a> {
    sampler: Sampler,
    constraint: Option<Constraint>,
    ends: &'a [u32],
    constraint_ms: Vec<f64>,
}

impl Chooser<'_> {
    /// The token after `tokens`, of which `left` more may come; `None` where a schema ends the text.
    fn choose(&mut self, logits: &mut [f32], tokens: &[u32], left: usize) -> Result<Option<u32>> {
        let Some(constraint) = &mut self.constraint else { return self.sampler.sample(logits, tokens).map(Some) };
        let begun = now_ms();
        constraint.mask(logits)?;
        let masked = now_ms();
        let id = self.sampler.sample(logits, tokens)?;
        let sampled = now_ms();
        let taken = if self.ends.contains(&id) { Some(id) } else { constraint.take(id, left)? };
        self.constraint_ms.push(masked - begun + now_ms() - sampled);
        Ok(taken)
    }
}
