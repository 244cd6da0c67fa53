//! Speech to text with Whisper (Radford et al. 2022): windows of 30 s, read as they are needed.
//!
//! Sound that fits one window is written down without times, as that gives the best text. Longer sound is written with
//! marks of time, and the next window begins where the last whole text ended, so that no word is cut in two. A text that
//! repeats itself or that the model holds unlikely is tried again with more chance in it.

use std::io::Write;
use std::ops::ControlFlow;

use super::decoder::Decoder;
use super::language::Language;
use super::whisper_tokens::Tokens;
use crate::audio::{LogMel, RATE, Sound};
use crate::clock::breathe;
use crate::graph::{Dim, Graph, Model};
use crate::models::speech::Rules;
use crate::models::whisper::FEATURES;
use crate::runtime::{Activations, Device, Session};
use crate::tensor::Tensor;
use crate::text::{Sampler, Sampling};
use crate::{Error, Result};

/// Temperatures that are tried one after the other.
const TEMPERATURES: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
/// A text that shrinks by more when compressed repeats itself.
const MOST_COMPRESSION: f64 = 2.4;
/// A text whose tokens are less likely in the mean (natural log) is tried again…
const LEAST_LIKELY: f64 = -1.0;
/// …or is taken for silence if that has more than this probability.
const SILENCE: f64 = 0.6;
/// Less sound after the last window is no word: 0.1 s.
const LEAST_SAMPLES: usize = RATE as usize / 10;

/// A model of speech on a device.
pub struct Transcriber {
    encoder: Session,
    decoder: Decoder,
    language: Language,
    mel: LogMel,
    rules: Rules,
    tokens: Tokens,
}

/// How speech is written down.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Marks of time also where one window is enough.
    pub timestamps: bool,
    /// The code of the language that is spoken, such as `de`; without, the model finds out. Of models of several languages.
    pub language: Option<String>,
    /// To English instead of the language spoken.
    pub translate: bool,
    /// The same seed gives the same text.
    pub seed: u64,
}

/// A part of the text, and from when to when it is spoken, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub start: f64,
    pub end: f64,
    pub text: String,
}

/// What was said.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    pub text: String,
    /// Its tokens, without marks of time.
    pub ids: Vec<u32>,
    pub segments: Vec<Segment>,
    /// Seconds of sound that were read.
    pub seconds: f64,
}

/// What the decoder made of a window.
struct Heard {
    /// Without the token that ended it.
    ids: Vec<u32>,
    /// Mean natural log of the tokens' probabilities.
    likelihood: f64,
    /// Probability that nobody speaks.
    silence: f64,
}

impl Heard {
    /// Whether nobody speaks, and what was made of it is noise.
    fn is_silence(&self) -> bool {
        self.silence > SILENCE && self.likelihood < LEAST_LIKELY
    }
}

impl Transcriber {
    /// The model must be a Whisper with its tokenizer in the manifest.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        let graph = &model.graph;
        let features = graph.inputs.iter().copied().find(|&id| graph.value(id).name == FEATURES);
        let (Some(features), Some([_, mels, frames])) = (features, features.and_then(|id| sizes(graph, id))) else {
            return Err(Error::Unsupported("the model does not hear: it has no input of sound".into()));
        };
        let (encoder, decoder) = graph.split(&[features]);
        let part = |graph: Graph| Model { graph, manifest: model.manifest.clone() };
        let language = Language::new(&model.manifest)?;
        Ok(Transcriber {
            encoder: Session::new(&part(encoder), device)?,
            decoder: Decoder::conditional(&part(decoder), device)?,
            tokens: Tokens::of(&language.tokenizer)?,
            language,
            mel: LogMel::new(mels, frames),
            rules: Rules::of(&model.manifest),
        })
    }

    /// See `Session::set_activations`.
    pub fn set_activations(&mut self, activations: Activations) {
        self.encoder.set_activations(activations);
        self.decoder.set_activations(activations);
    }

    /// The two sessions underneath, encoder and decoder, for their reports.
    pub fn sessions(&self) -> [&Session; 2] {
        [&self.encoder, self.decoder.session()]
    }

    /// Writes down what is said. `piece` gets each part of the text when it is final, and ends it with `Break`. Fails for
    /// sound without samples, and for languages that the model does not know.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn caption(
        &mut self,
        sound: &mut Sound,
        options: &Options,
        piece: impl FnMut(&Segment) -> ControlFlow<()>,
    ) -> Result<Caption> {
        pollster::block_on(self.caption_async(sound, options, piece))
    }

    /// Like `caption`.
    pub async fn caption_async(
        &mut self,
        sound: &mut Sound,
        options: &Options,
        mut piece: impl FnMut(&Segment) -> ControlFlow<()>,
    ) -> Result<Caption> {
        self.walk(sound, options, &mut |_, _| (), &mut piece).await
    }

    /// The windows that `caption` hears, without those in which nobody speaks: features, and the tokens that the decoder
    /// was given and gave, from the prompt to the end of the text.
    #[cfg(feature = "cli")]
    pub fn windows(&mut self, sound: &mut Sound, options: &Options) -> Result<Vec<(Tensor, Vec<u32>)>> {
        let end = self.tokens.marks.end;
        let mut windows = Vec::new();
        let mut keep =
            |features: Tensor, tokens: &[&[u32]]| windows.push((features, [tokens.concat(), vec![end]].concat()));
        pollster::block_on(self.walk(sound, options, &mut keep, &mut |_| ControlFlow::Continue(())))?;
        Ok(windows)
    }

    /// `each` gets the features of every window in which somebody speaks, and prompt and text. Compiled once for all callers.
    async fn walk(
        &mut self,
        sound: &mut Sound,
        options: &Options,
        each: &mut dyn FnMut(Tensor, &[&[u32]]),
        piece: &mut dyn FnMut(&Segment) -> ControlFlow<()>,
    ) -> Result<Caption> {
        let window = self.mel.samples();
        let mut samples = Vec::new();
        sound.fill(&mut samples, window + 1)?;
        if samples.is_empty() {
            return Err(Error::Usage("the sound has no samples".into()));
        }
        let timed = options.timestamps || samples.len() > window;
        let mut prompt = Vec::new();
        let mut caption = Caption::default();
        let mut begin = 0;
        while samples.len() >= LEAST_SAMPLES {
            let count = samples.len().min(window);
            let features = self.listen(&samples[..count]).await?;
            if prompt.is_empty() {
                prompt = self.prompt(options, timed).await?;
            }
            let heard = self.heard(&prompt, timed, options.seed).await?;
            let seconds = seconds_of(count);
            let (spans, next) = match timed {
                true => self.tokens.marks.spans(&heard.ids, seconds),
                false => (self.tokens.marks.spans(&heard.ids, seconds).0, seconds),
            };
            let silent = heard.is_silence();
            if !silent {
                each(features, &[&prompt, &heard.ids]);
            }
            for span in spans.into_iter().filter(|span| !silent && !span.ids.is_empty()) {
                let at = |within: f64| seconds_of(begin) + within.min(seconds);
                let text = self.language.tokenizer.decode(&span.ids)?;
                let segment = Segment { start: at(span.start), end: at(span.end), text };
                caption.text += &segment.text;
                caption.ids.extend(span.ids);
                let wanted = piece(&segment);
                caption.segments.push(segment);
                if wanted.is_break() {
                    caption.seconds = at(span.end);
                    return Ok(caption);
                }
            }
            // At least a mark, or it would go on for ever.
            let used = (next * f64::from(RATE)).round() as usize;
            let used = if used == 0 || silent { count } else { used.min(count) };
            samples.drain(..used);
            begin += used;
            sound.fill(&mut samples, window)?;
        }
        caption.seconds = seconds_of(begin + samples.len());
        Ok(caption)
    }

    /// Gives the decoder what the encoder makes of a window; returns the window's features.
    async fn listen(&mut self, samples: &[f32]) -> Result<Tensor> {
        let features = self.mel.window(samples)?;
        let heard = self.encoder.run_async(&[(FEATURES, &features)]).await?;
        self.decoder.set_condition(heard);
        Ok(features)
    }

    /// The tokens before a text.
    async fn prompt(&mut self, options: &Options, timed: bool) -> Result<Vec<u32>> {
        let mut prompt = vec![self.tokens.start];
        match (&self.tokens.many, &options.language) {
            (Some(many), language) => {
                let task = if options.translate { many.translate } else { many.transcribe };
                let language = match language {
                    Some(code) => self.language_token(code)?,
                    None => self.spoken(many.ids.clone()).await?,
                };
                prompt.extend([language, task]);
            }
            (None, Some(code)) if code != "en" => {
                return Err(Error::Usage(format!("the model knows English alone, not `{code}`")));
            }
            (None, _) => {}
        }
        prompt.extend((!timed).then_some(self.tokens.no_times));
        Ok(prompt)
    }

    fn language_token(&self, code: &str) -> Result<u32> {
        let id = self.language.tokenizer.special(&format!("<|{code}|>"));
        let known = |id: &u32| self.tokens.many.as_ref().is_some_and(|many| many.ids.contains(id));
        id.filter(known).ok_or_else(|| Error::Usage(format!("the model does not know the language `{code}`")))
    }

    /// The likeliest of the languages.
    async fn spoken(&mut self, languages: std::ops::Range<u32>) -> Result<u32> {
        let logits = self.decoder.logits_async(&[self.tokens.start], 1).await?;
        let known = languages.filter(|&id| (id as usize) < logits.len());
        let best = known.max_by(|&a, &b| logits[a as usize].total_cmp(&logits[b as usize]));
        best.ok_or_else(|| Error::Unsupported("the model has no tokens of languages".into()))
    }

    /// The text of the window: the first that is neither repetitive nor unlikely, or else the last.
    async fn heard(&mut self, prompt: &[u32], timed: bool, seed: u64) -> Result<Heard> {
        let mut heard = self.attempt(prompt, timed, Sampling { temperature: 0.0, ..Sampling::default() }).await?;
        for &temperature in &TEMPERATURES[1..] {
            if heard.is_silence() || (heard.likelihood >= LEAST_LIKELY && !self.repeats(&heard.ids)?) {
                break;
            }
            let sampling = Sampling { temperature, seed, ..Sampling::default() };
            heard = self.attempt(prompt, timed, sampling).await?;
        }
        Ok(heard)
    }

    async fn attempt(&mut self, prompt: &[u32], timed: bool, sampling: Sampling) -> Result<Heard> {
        let mut sampler = Sampler::new(sampling)?;
        let mut tokens = prompt.to_vec();
        let (mut likelihood, mut silence, mut chosen) = (0.0, 0.0, 0);
        // As many for the text as the reference gives.
        let most = self.decoder.context().min(prompt.len() + self.decoder.context() / 2);
        while tokens.len() < most {
            // Fast devices take less time for a token than a run computes before it looks for an abort.
            breathe().await?;
            let first = tokens.len() == prompt.len();
            let mut logits = self.decoder.logits_async(&tokens, if first { prompt.len() } else { 1 }).await?;
            let words = self.decoder.vocabulary();
            if first {
                let at = self.tokens.silence.map(|id| id as usize).filter(|&id| id < words);
                silence = at.map_or(0.0, |id| log_probability(&logits[..words], id).exp());
                logits.drain(..logits.len() - words);
            }
            self.mask(&mut logits, &tokens[prompt.len()..], timed);
            let unchanged = logits.clone();
            let id = sampler.sample(&mut logits, &tokens)?;
            likelihood += log_probability(&unchanged, id as usize);
            chosen += 1;
            if id == self.tokens.marks.end {
                break;
            }
            tokens.push(id);
        }
        let ids = tokens.split_off(prompt.len());
        Ok(Heard { ids, likelihood: likelihood / f64::from(chosen.max(1)), silence })
    }

    /// Takes out of the logits what may not come after the tokens of a text so far.
    fn mask(&self, logits: &mut [f32], text: &[u32], timed: bool) {
        let begin = if text.is_empty() { &self.rules.suppress_begin[..] } else { &[] };
        for &id in self.rules.suppress.iter().chain(begin) {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if timed {
            self.tokens.marks.mask(logits, text);
        }
    }

    fn repeats(&self, ids: &[u32]) -> Result<bool> {
        let text: Vec<u32> = ids.iter().copied().filter(|&id| id < self.tokens.marks.end).collect();
        let text = self.language.tokenizer.decode(&text)?;
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        let packed = packed.write_all(text.as_bytes()).and_then(|()| packed.finish());
        let packed = packed.map_err(|e| Error::io("text", e))?;
        Ok(text.len() as f64 > MOST_COMPRESSION * packed.len() as f64)
    }
}

fn seconds_of(samples: usize) -> f64 {
    samples as f64 / f64::from(RATE)
}

fn sizes(graph: &Graph, id: crate::graph::ValueId) -> Option<[usize; 3]> {
    let dims = graph.value(id).dims.as_ref()?.iter();
    let sizes = dims.map(|dim| if let Dim::Known(size) = dim { Some(*size) } else { None });
    sizes.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// Log of the softmax.
fn log_probability(logits: &[f32], id: usize) -> f64 {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&v| (f64::from(v) - top).exp()).sum();
    f64::from(logits[id]) - top - sum.ln()
}
