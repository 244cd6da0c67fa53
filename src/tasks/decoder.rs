//! A language model's graph, token by token.

use super::places::places;
use crate::graph::{Dim, Graph, Model};
use crate::models::llama::ROTARY_POSITIONS;
use crate::models::vision_language::{self, FEATURES, Grid};
use crate::runtime::{Device, KvKind, Session};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Most tokens of a run: more would need more memory, not less time.
const CHUNK: usize = 128;

pub const INPUTS: [&str; 3] = ["input_ids", "position_ids", "logits_to_keep"];

/// Values of a decoder's inputs in the order of `INPUTS`: tokens that follow after `first` others, and which of them are to
/// have logits.
pub fn inputs(tokens: &[u32], first: usize, kept: impl Iterator<Item = usize>) -> Result<[Tensor; 3]> {
    let ids: Vec<i64> = tokens.iter().map(|&id| id.into()).collect();
    let positions: Vec<i64> = (first..first + tokens.len()).map(|p| p as i64).collect();
    let kept: Vec<i64> = kept.map(|i| i as i64).collect();
    Ok([
        Tensor::new([1, ids.len()], &ids)?,
        Tensor::new([1, ids.len()], &positions)?,
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
    fed: Vec<u32>,
    /// Inputs beside the tokens, by name.
    condition: Vec<(String, Tensor)>,
    /// Rows of features that ids from the vocabulary's size on stand for, and how those of each picture lie.
    features: usize,
    grids: Vec<Grid>,
    /// Tokens have places in pictures too.
    has_places: bool,
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
        if tokens.is_empty() {
            return Err(Error::Usage("there are no tokens to go on from".into()));
        }
        if tokens.len() > self.context {
            let (len, context) = (tokens.len(), self.context);
            return Err(Error::Usage(format!("{len} tokens exceed the model's context of {context}")));
        }
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= self.vocabulary + self.features) {
            return Err(Error::Usage(format!("token {id} is outside the model's vocabulary of {}", self.vocabulary)));
        }
        match self.feed(tokens, kept.min(tokens.len())).await {
            // With a lost device went what it kept.
            Err(Error::Device(_)) => {
                self.fed.clear();
                self.feed(tokens, kept.min(tokens.len())).await
            }
            other => other,
        }
    }

    async fn feed(&mut self, tokens: &[u32], kept: usize) -> Result<Vec<f32>> {
        let common = self.fed.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        self.fed.truncate(common.min(tokens.len() - kept));
        let places = if self.has_places { places(tokens, self.vocabulary, &self.grids) } else { Vec::new() };
        let mut logits = Vec::new();
        while self.fed.len() < tokens.len() {
            let from = self.fed.len();
            // Powers of two, the largest first: there is a plan for each.
            let count = CHUNK.min(1 << (tokens.len() - from).ilog2());
            let chunk = &tokens[from..from + count];
            let places = places.get(from..from + count).map(rows_of).transpose()?;
            logits.extend(self.run(chunk, places, (tokens.len() - kept).saturating_sub(from)).await?);
            self.fed.extend_from_slice(chunk);
        }
        if let Some(i) = logits.iter().position(|v| !v.is_finite()) {
            return Err(Error::Unsupported(format!(
                "logit {i} is {}: the model's numbers went out of range",
                logits[i]
            )));
        }
        Ok(logits)
    }

    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn logits(&mut self, tokens: &[u32], kept: usize) -> Result<Vec<f32>> {
        pollster::block_on(self.logits_async(tokens, kept))
    }

    /// Feeds a chunk after what was fed before; logits from its token number `keep` on.
    async fn run(&mut self, chunk: &[u32], places: Option<Tensor>, keep: usize) -> Result<Vec<f32>> {
        let first = self.fed.len();
        let inputs = inputs(chunk, first, keep..chunk.len())?;
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
