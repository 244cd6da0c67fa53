//! A text as samples that calibrate a language model.

use super::Language;
use super::decoder::{self, INPUTS};
use crate::compress::Sample;
use crate::graph::Model;
use crate::{Error, Result};

/// Tokens of a window, unless the model was made for fewer.
const WINDOW: usize = 512;
/// One of so many tokens gets logits in calibration: they are large, and neighbours tell much the same.
const KEPT: usize = 8;

/// Cuts a text into windows of tokens, the rest left out; a text shorter than one is one. Fails if the model is no decoder
/// with a tokenizer, or if the text is empty.
pub fn windows(model: &Model, text: &str) -> Result<Vec<Sample>> {
    cut(model, text, KEPT)
}

/// The same with logits for every token, to be trained on.
pub fn lessons(model: &Model, text: &str) -> Result<Vec<Sample>> {
    cut(model, text, 1)
}

fn cut(model: &Model, text: &str, kept: usize) -> Result<Vec<Sample>> {
    let names: Vec<&str> = model.graph.inputs.iter().map(|&id| model.graph.value(id).name.as_str()).collect();
    let order: Option<Vec<usize>> = names.iter().map(|name| INPUTS.iter().position(|input| input == name)).collect();
    let order = order.filter(|order| order.len() == INPUTS.len());
    let order = order.ok_or_else(|| Error::Usage("a text calibrates decoders of text only".into()))?;
    let tokenizer = Language::new(&model.manifest)?.tokenizer;
    let tokens = tokenizer.encode(text, false)?;
    let begin = tokenizer.prefix().first().copied();
    let window = WINDOW.min(tokens.len()).min(decoder::context(model));
    if window < 2 {
        return Err(Error::Usage("the text to calibrate with has no two tokens".into()));
    }
    let one = |tokens: &[u32]| -> Result<Sample> {
        let mut tokens = tokens.to_vec();
        tokens[0] = begin.unwrap_or(tokens[0]);
        let inputs = decoder::inputs(&[&tokens], 0, (kept / 2..tokens.len()).step_by(kept))?;
        Ok(order.iter().map(|&i| inputs[i].clone()).collect())
    };
    tokens.chunks_exact(window).map(one).collect()
}
