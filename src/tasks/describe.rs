//! A photo and a question → text, with a vision-language model (`models::vision_language`).
//!
//! The tower looks at the photo once; the ids of the prompt stand for words, or for what the tower made of the photo. From
//! there on it is text generation (`tasks::generate`).

use std::ops::ControlFlow;

use super::beams::Beams;
use super::decoder::Decoder;
use super::generate::{Generated, Generator, Options};
use super::language::Language;
use super::noise;
use crate::graph::{Dim, Graph, Model};
use crate::models::maccap::NOISE;
use crate::models::pictures::{Layout, Pictures};
use crate::models::vision_language::parts;
use crate::runtime::{Activations, Device, Session};
use crate::tensor::Tensor;
use crate::vision::{Glance, Photo};
use crate::{Error, Result};

/// What is asked about a photo unless something else is.
const PROMPT: &str = "Describe this image.";

/// A vision-language model on a device.
pub struct Describer {
    tower: Session,
    generator: Generator,
    pictures: Pictures,
    /// The id of the token that stands for a picture; `None` where its features stand before all words.
    token: Option<u32>,
    /// What the tower adds to what it sees, if it does.
    noise: Option<Noise>,
}

struct Noise {
    shape: [usize; 2],
    variance: f32,
    seed: u64,
}

/// How many texts grow side by side about a picture whose features stand before all words: the authors' number.
const BEAMS: usize = 4;

impl Describer {
    /// The model must see, and have its tokenizer in the manifest.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        let Some((tower, decoder)) = parts(&model.graph) else {
            return Err(Error::Unsupported("the model does not see: it has no input of pictures".into()));
        };
        let pictures = Pictures::of(&model.manifest)?;
        let language = Language::new(&model.manifest)?;
        let missing = || Error::format("manifest", format!("the tokenizer has no `{}`", pictures.token));
        let (token, variance) = match pictures.layout {
            Layout::Prefix { variance, .. } => (None, variance),
            _ => (Some(language.tokenizer.special(&pictures.token).ok_or_else(missing)?), 0.0),
        };
        let noise = noise_shape(&tower).map(|shape| Noise { shape, variance, seed: 0 });
        let part = |graph| Model { graph, manifest: model.manifest.clone() };
        let decoder = Decoder::conditional(&part(decoder), device)?;
        Ok(Describer {
            tower: Session::new(&part(tower), device)?,
            generator: Generator::of(decoder, language),
            pictures,
            token,
            noise,
        })
    }

    /// What is asked, and how it is answered, unless something else is.
    pub fn defaults(&self) -> (&'static str, Options) {
        match self.token {
            Some(_) => (PROMPT, Options::default()),
            None => ("", Options { beams: Beams { count: BEAMS, ..Beams::default() }, ..Options::default() }),
        }
    }

    /// The variance of the noise that is added to what the model sees; `None` for models that add none.
    pub fn noise(&self) -> Option<f32> {
        self.noise.as_ref().map(|noise| noise.variance)
    }

    /// From now on noise of this variance, 0 for none; the same seed gives the same. Fails for models that add none, and
    /// for what is no variance.
    pub fn set_noise(&mut self, variance: f32, seed: u64) -> Result<()> {
        noise::check(variance)?;
        let noise = self.noise.as_mut();
        let noise = noise.ok_or_else(|| Error::Usage("the model adds no noise to what it sees".into()))?;
        (noise.variance, noise.seed) = (variance, seed);
        Ok(())
    }

    /// See `Session::set_activations`.
    pub fn set_activations(&mut self, activations: Activations) {
        self.tower.set_activations(activations);
        self.generator.decoder().set_activations(activations);
    }

    /// The decoder underneath.
    pub fn decoder(&mut self) -> &mut Decoder {
        self.generator.decoder()
    }

    /// The two sessions underneath, the tower's and the decoder's, for their reports.
    pub fn sessions(&mut self) -> [&Session; 2] {
        [&self.tower, self.generator.decoder().session()]
    }

    /// Answers a question about a photo, or describes it. `piece` gets what is new after each token, and ends it with
    /// `Break`. Where features stand before all words the prompt is how the text begins, and may be empty; elsewhere a prompt that contains the model's token for pictures is taken as it is, any other is written into the chat
    /// template. Fails for photos whose sides are too unequal, for prompts that name a picture several times, and if photo
    /// and prompt do not fit the context.
    #[cfg(all(any(feature = "cli", feature = "gpu"), not(target_arch = "wasm32")))]
    pub fn describe(
        &mut self,
        photo: &Photo,
        prompt: &str,
        options: &Options,
        piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        pollster::block_on(self.describe_async(photo, prompt, options, piece))
    }

    /// Like `describe`.
    pub async fn describe_async(
        &mut self,
        photo: &Photo,
        prompt: &str,
        options: &Options,
        piece: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        let ids = self.look_async(photo, prompt).await?;
        self.generator.continue_async(&ids, options, piece).await
    }

    /// Looks at a photo and gives the ids of a prompt about it, which the decoder can be fed with from now on: those of the
    /// photo lie beyond the vocabulary.
    pub async fn look_async(&mut self, photo: &Photo, prompt: &str) -> Result<Vec<u32>> {
        let Describer { tower, generator, pictures, token, noise } = self;
        let glance = Glance::new(photo, pictures)?;
        let context = generator.decoder().context();
        if glance.features() > context {
            let features = glance.features();
            let what =
                format!("the photo takes {features} tokens, the model's context is {context}; use a smaller one");
            return Err(Error::Usage(what));
        }
        let vocabulary = generator.decoder().vocabulary();
        let ids = match *token {
            Some(token) => ids_about(&glance, pictures, token, generator.language(), vocabulary, prompt)?,
            None => {
                let features = (0..glance.features()).map(|i| feature_id(vocabulary, i)).collect::<Result<Vec<_>>>()?;
                [features, generator.language().whole(prompt)?].concat()
            }
        };
        if ids.len() > context {
            let what = format!("photo and prompt have {} tokens, the model's context is {context}", ids.len());
            return Err(Error::Usage(format!("{what}; use a smaller photo or a shorter prompt")));
        }
        let noise = noise.as_ref().map(|noise| noise::normal(noise.shape, noise.variance, noise.seed)).transpose()?;
        let features = look(tower, &glance, noise.as_ref()).await?;
        generator.decoder().set_features(features, glance.grid().into_iter().collect());
        Ok(ids)
    }
}

/// The ids of a prompt with a photo's where the token is that stands for it.
fn ids_about(
    glance: &Glance,
    pictures: &Pictures,
    token: u32,
    language: &Language,
    vocabulary: usize,
    prompt: &str,
) -> Result<Vec<u32>> {
    let text = language.picture_prompt(prompt, &pictures.token)?;
    let mut ids = language.whole(&text.replacen(&pictures.token, &glance.prompt(), 1))?;
    let mut seen = 0;
    for id in ids.iter_mut().filter(|id| **id == token) {
        *id = feature_id(vocabulary, seen)?;
        seen += 1;
    }
    if seen != glance.features() {
        let (token, features) = (&pictures.token, glance.features());
        let what = format!("the tokenizer makes {seen} tokens of {features} times `{token}`");
        return Err(Error::Unsupported(what));
    }
    Ok(ids)
}

/// What a decoder knows row `i` of the features by.
fn feature_id(vocabulary: usize, i: usize) -> Result<u32> {
    u32::try_from(vocabulary + i).map_err(|_| Error::Usage("the vocabulary is too large".into()))
}

/// The sizes of the noise that a tower wants.
fn noise_shape(tower: &Graph) -> Option<[usize; 2]> {
    let input = tower.inputs.iter().map(|&id| tower.value(id)).find(|value| value.name == NOISE)?;
    match input.dims.as_deref()? {
        &[Dim::Known(rows), Dim::Known(columns)] => Some([rows, columns]),
        _ => None,
    }
}

/// What the tower makes of a photo: f32 `[features, width]`.
async fn look(tower: &mut Session, glance: &Glance<'_>, noise: Option<&Tensor>) -> Result<Tensor> {
    let (mut values, mut count) = (Vec::new(), 0);
    for inputs in glance.inputs()? {
        let noise = noise.map(|noise| (NOISE, noise));
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (*name, tensor)).chain(noise).collect();
        let outputs = tower.run_async(&inputs).await?;
        let Some((_, features)) = outputs.first() else {
            return Err(Error::Unsupported("the model has no output".into()));
        };
        count += features.shape().first().copied().unwrap_or(0);
        values.extend(features.to_f32()?);
    }
    if count != glance.features() || count == 0 {
        let expected = glance.features();
        return Err(Error::Unsupported(format!("the model makes {count} features of a photo, not {expected}")));
    }
    Tensor::new([count, values.len() / count], &values)
}
