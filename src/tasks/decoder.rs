//! A language model's graph, token by token.

use super::places::places;
use crate::graph::{Dim, Graph, Model};
use crate::models::llama::ROTARY_POSITIONS;
use crate::models::vision_language::{self, FEATURES, Grid};
#[cfg(feature = "gpu")]
use crate::ops::next_token::Draw;
#[cfg(feature = "gpu")]
use crate::runtime::chain::Started;
use crate::runtime::{Device, KvKind, Session};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Most tokens of a run: more would need more memory, not less time.
const CHUNK: usize = 128;

pub const INPUTS: [&str; 3] = ["input_ids", "position_ids", "logits_to_keep"];

/// Values of a decoder's inputs in the order of `INPUTS`: tokens of each sequence, as many of each, that follow after
/// `first` others, and which of them are to have logits.
pub fn inputs(sequences: &[&[u32]], first: usize, kept: impl Iterator<Item = usize>) -> Result<[Tensor; 3]> {
    let count = sequences.first().map_or(0, |tokens| tokens.len());
    let ids: Vec<i64> = sequences.iter().copied().flatten().map(|&id| id.into()).collect();
    let positions: Vec<i64> = (first..first + count).map(|p| p as i64).collect();
    let kept: Vec<i64> = kept.map(|i| i as i64).collect();
    Ok([
        Tensor::new([sequences.len(), count], &ids)?,
        Tensor::new([1, count], &positions)?,
        Tensor::new([kept.len()], &kept)?,
    ])
}

/// Tokens that a model was made for at most.
pub fn context(model: &Model) -> usize {
    let length = model.manifest.extra.get("context").and_then(serde_json::Value::as_u64);
    length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX)
}

/// A decoder on a device. Its session keeps the keys and values of the tokens it was fed, so that each is computed once.
pub struct Decoder {
    session: Session,
    context: usize,
    vocabulary: usize,
    /// The tokens of each sequence, all of one length.
    fed: Vec<Vec<u32>>,
    /// Inputs beside the tokens, by name.
    condition: Vec<(String, Tensor)>,
    /// Rows of features that ids from the vocabulary's size on stand for, and how those of each picture lie.
    features: usize,
    grids: Vec<Grid>,
    /// Tokens have places in pictures too.
    has_places: bool,
    #[cfg(feature = "gpu")]
    chain: Chain,
}

/// Decoding without waiting for each token: see `next_async`.
#[cfg(feature = "gpu")]
#[derive(Default)]
struct Chain {
    /// The run that finds the token after those that were fed and the one that was told last, and how it draws.
    under_way: Option<(Started, Option<Draw>)>,
    told: u32,
    /// The device has no way for it, or refused it.
    is_off: bool,
}

impl Decoder {
    /// The model must be a decoder as `models::llama` builds it. Of a model that sees it is the part for text.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        if let Some((_, graph)) = vision_language::parts(&model.graph) {
            let mut decoder = Self::conditional(&Model { graph, manifest: model.manifest.clone() }, device)?;
            decoder.see_nothing()?;
            return Ok(decoder);
        }
        match model.graph.inputs.len() > INPUTS.len() {
            true => Err(no_decoder()),
            false => Self::conditional(model, device),
        }
    }

    /// A decoder that has further inputs, which `set_condition` gives.
    pub fn conditional(model: &Model, device: &Device) -> Result<Self> {
        let graph = &model.graph;
        let known = |name: &str| input(graph, name).is_some();
        let last = graph.outputs.first().and_then(|&id| graph.value(id).dims.as_ref()?.last());
        let (true, Some(&Dim::Known(vocabulary))) = (INPUTS.iter().all(|name| known(name)), last) else {
            return Err(no_decoder());
        };
        let session = Session::new(model, device)?;
        Ok(Decoder {
            session,
            context: context(model),
            vocabulary,
            fed: Vec::new(),
            condition: Vec::new(),
            features: 0,
            grids: Vec::new(),
            has_places: known(ROTARY_POSITIONS),
            #[cfg(feature = "gpu")]
            chain: Chain { is_off: known(ROTARY_POSITIONS), ..Chain::default() },
        })
    }

    /// Tokens that the model was made for at most.
    pub fn context(&self) -> usize {
        self.context
    }

    /// How many logits there are for a token.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The session underneath, for its report.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// See `Session::set_activations`.
    pub fn set_activations(&mut self, activations: crate::runtime::Activations) {
        self.session.set_activations(activations);
    }

    /// See `Session::set_kv`.
    pub fn set_kv(&mut self, kind: KvKind) {
        self.session.set_kv(kind);
        self.fed.clear();
    }

    /// The values of further inputs from now on. What was fed is forgotten, since it came under others.
    pub fn set_condition(&mut self, condition: Vec<(String, Tensor)>) {
        self.condition = condition;
        self.fed.clear();
    }

    /// Shows pictures to a decoder that sees: from now on ids from the vocabulary's size on stand for the rows of `features`
    /// `[features, width]`, of which the first picture has as many as its grid, and so on.
    pub fn set_features(&mut self, features: Tensor, grids: Vec<Grid>) {
        self.features = features.shape().first().copied().unwrap_or(0);
        self.grids = grids;
        self.set_condition(vec![(FEATURES.into(), features)]);
    }

    /// Takes pictures away: a row that no id stands for is in their place.
    fn see_nothing(&mut self) -> Result<()> {
        let graph = self.session.graph();
        let width = input(graph, FEATURES).and_then(|dims| dims.last());
        let Some(&Dim::Known(width)) = width else { return Err(no_decoder()) };
        self.set_features(Tensor::new([1, width], &vec![0f32; width])?, Vec::new());
        self.features = 0;
        Ok(())
    }

    /// Brings the session to `tokens` and gives the logits after each of the last `kept`: `kept` rows of a number for
    /// every word of the vocabulary. What the tokens have in common with those before is not computed again. Fails for no
    /// tokens and for more than the context.
    pub async fn logits_async(&mut self, tokens: &[u32], kept: usize) -> Result<Vec<f32>> {
        self.batch_logits_async(&[tokens], kept).await
    }

    /// The same of several sequences of one length, side by side: `[sequences, kept]` rows. Each may go on from any of
    /// those of the last call.
    pub async fn batch_logits_async(&mut self, sequences: &[&[u32]], kept: usize) -> Result<Vec<f32>> {
        self.check(sequences)?;
        match self.feed(sequences, kept).await {
            // With a lost device went what it kept.
            Err(Error::Device(_)) => {
                self.fed.clear();
                self.feed(sequences, kept).await
            }
            other => other,
        }
    }

    fn check(&self, sequences: &[&[u32]]) -> Result<()> {
        let len = sequences.first().map_or(0, |tokens| tokens.len());
        if len == 0 || sequences.iter().any(|tokens| tokens.len() != len) {
            return Err(Error::Usage("there are no tokens to go on from, or not as many of each sequence".into()));
        }
        if len > self.context {
            return Err(Error::Usage(format!("{len} tokens exceed the model's context of {}", self.context)));
        }
        if let Some(id) =
            sequences.iter().copied().flatten().find(|&&id| id as usize >= self.vocabulary + self.features)
        {
            return Err(Error::Usage(format!("token {id} is outside the model's vocabulary of {}", self.vocabulary)));
        }
        let graph = self.session.graph();
        let ids = graph.inputs.iter().map(|&id| graph.value(id)).find(|value| value.name == INPUTS[0]);
        let batch = ids.and_then(|ids| ids.dims.as_ref()?.first());
        match batch {
            Some(&Dim::Known(batch)) if batch != sequences.len() => Err(Error::Unsupported(format!(
                "the model's file is for {batch} sequence at a time, not {}; convert its source anew",
                sequences.len()
            ))),
            _ => Ok(()),
        }
    }

    /// The token after `tokens`, if they go on from those of the last call by one token: the one with the greatest logit, the
    /// lowest of equals, or drawn by the first of `draws`. On a GPU the run after it, which draws by the second, is submitted
    /// before the token has come, unless it is the `last`: what that computes is thrown away if `tokens` go on otherwise. `None`
    /// where the logits are to be asked for.
    #[cfg(feature = "gpu")]
    pub async fn next_async(&mut self, tokens: &[u32], draws: [Option<Draw>; 2], last: bool) -> Result<Option<u32>> {
        if self.chain.is_off {
            return Ok(None);
        }
        match self.next_of_chain(tokens, draws, last).await {
            Err(Error::Device(_)) => {
                // Tokens are fed again, to a device opened anew if it was lost.
                self.fed.clear();
                self.chain = Chain { is_off: !self.session.device().is_lost(), ..Chain::default() };
                Ok(None)
            }
            other => other,
        }
    }

    #[cfg(feature = "gpu")]
    async fn next_of_chain(&mut self, tokens: &[u32], draws: [Option<Draw>; 2], last: bool) -> Result<Option<u32>> {
        let under_way = self.chain.under_way.take();
        let (Some((&id, before)), [fed]) = (tokens.split_last(), self.fed.as_slice()) else { return Ok(None) };
        if fed != before || tokens.len() > self.context || id as usize >= self.vocabulary {
            return Ok(None);
        }
        let run = match under_way.filter(|(_, draw)| self.chain.told == id && *draw == draws[0]) {
            Some((run, _)) => run,
            None => match self.start(id, before.len(), false, draws[0]).await? {
                Some(run) => run,
                None => {
                    self.chain.is_off = true;
                    return Ok(None);
                }
            },
        };
        if !last && tokens.len() < self.context {
            let next = self.start(0, tokens.len(), true, draws[1]).await?;
            self.chain.under_way = next.map(|run| (run, draws[1]));
        }
        let found = run.output().await?.to_i64()?;
        let found = found.first().and_then(|&id| u32::try_from(id).ok());
        let out_of_range = || Error::Unsupported("a logit is no finite number: the model's went out of range".into());
        self.chain.told = found.ok_or_else(out_of_range)?;
        self.fed.iter_mut().for_each(|fed| fed.push(id));
        Ok(Some(self.chain.told))
    }

    /// Starts a run with a token at a position; with `goes_on` with the one that the last run finds.
    #[cfg(feature = "gpu")]
    async fn start(&mut self, id: u32, position: usize, goes_on: bool, draw: Option<Draw>) -> Result<Option<Started>> {
        let inputs = inputs(&[&[id]], position, 0..1)?;
        let further = self.condition.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let named: Vec<(&str, &Tensor)> = INPUTS.into_iter().zip(&inputs).chain(further).collect();
        self.session.start_async(&named, INPUTS[0], goes_on, draw).await
    }

    async fn feed(&mut self, sequences: &[&[u32]], kept: usize) -> Result<Vec<f32>> {
        #[cfg(feature = "gpu")]
        {
            self.chain.under_way = None;
        }
        let len = sequences.first().map_or(0, |tokens| tokens.len());
        let kept = kept.min(len);
        self.go_on(sequences, len - kept)?;
        // Sequences differ in words alone, so all tokens have the places of the first one's.
        let places = match sequences {
            [first, ..] if self.has_places => places(first, self.vocabulary, &self.grids),
            _ => Vec::new(),
        };
        let mut rows = vec![Vec::new(); sequences.len()];
        loop {
            let from = self.fed.first().map_or(0, Vec::len);
            if from == len {
                break;
            }
            // Powers of two, the largest first: there is a plan for each.
            let count = CHUNK.min(1 << (len - from).ilog2());
            let chunks: Vec<&[u32]> = sequences.iter().map(|tokens| &tokens[from..from + count]).collect();
            let places = places.get(from..from + count).map(rows_of).transpose()?;
            let logits = self.run(&chunks, from, places, (len - kept).saturating_sub(from)).await?;
            let of_each = (logits.len() / sequences.len()).max(1);
            rows.iter_mut().zip(logits.chunks_exact(of_each)).for_each(|(rows, new)| rows.extend_from_slice(new));
            self.fed.iter_mut().zip(chunks).for_each(|(fed, chunk)| fed.extend_from_slice(chunk));
        }
        let logits = rows.concat();
        if let Some(i) = logits.iter().position(|v| !v.is_finite()) {
            let what = format!("logit {i} is {}: the model's numbers went out of range", logits[i]);
            return Err(Error::Unsupported(what));
        }
        Ok(logits)
    }

    /// Brings the session to what the sequences have in common with those that were fed, at most `most` tokens of each.
    fn go_on(&mut self, sequences: &[&[u32]], most: usize) -> Result<()> {
        let common = |fed: &[u32], tokens: &[u32]| fed.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let mut order = Vec::with_capacity(sequences.len());
        let mut least = most;
        for (i, tokens) in sequences.iter().enumerate() {
            // Its own place if that is as good.
            let best = (0..self.fed.len()).max_by_key(|&j| (common(&self.fed[j], tokens), j == i));
            least = least.min(best.map_or(0, |j| common(&self.fed[j], tokens)));
            order.extend(best);
        }
        if least == 0 {
            // Runs that begin at 0 begin anew.
            self.fed = vec![Vec::new(); sequences.len()];
            return Ok(());
        }
        if !order.iter().copied().eq(0..self.fed.len()) {
            self.session.reorder_caches(&order)?;
            self.fed = order.iter().map(|&j| self.fed[j].clone()).collect();
        }
        self.fed.iter_mut().for_each(|fed| fed.truncate(least));
        Ok(())
    }

    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn logits(&mut self, tokens: &[u32], kept: usize) -> Result<Vec<f32>> {
        pollster::block_on(self.logits_async(tokens, kept))
    }

    /// Feeds a chunk of each sequence after `first` tokens that were fed before; logits from its token number `keep` on.
    async fn run(&mut self, chunks: &[&[u32]], first: usize, places: Option<Tensor>, keep: usize) -> Result<Vec<f32>> {
        let count = chunks.first().map_or(0, |chunk| chunk.len());
        let inputs = inputs(chunks, first, keep..count)?;
        let further = self.condition.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let places = places.iter().map(|places| (ROTARY_POSITIONS, places));
        let named: Vec<(&str, &Tensor)> = INPUTS.into_iter().zip(&inputs).chain(further).chain(places).collect();
        let outputs = self.session.run_async(&named).await?;
        let (_, logits) = outputs.first().ok_or_else(|| Error::Unsupported("the model has no output".into()))?;
        logits.to_f32()
    }
}

/// The declared sizes of an input, if there is one of this name.
fn input<'a>(graph: &'a Graph, name: &str) -> Option<&'a [Dim]> {
    let value = graph.inputs.iter().map(|&id| graph.value(id)).find(|value| value.name == name)?;
    value.dims.as_deref()
}

/// `[3, tokens]`.
fn rows_of(places: &[[i64; 3]]) -> Result<Tensor> {
    let rows: Vec<i64> = (0..3).flat_map(|row| places.iter().map(move |place| place[row])).collect();
    Tensor::new([3, places.len()], &rows)
}

fn no_decoder() -> Error {
    Error::Unsupported("the model has no decoder that could generate text".into())
}
