//! The tokens by which Whisper is told what to do.

use super::timestamps::Marks;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Tokens that steer the model.
pub struct Tokens {
    pub start: u32,
    pub no_times: u32,
    pub silence: Option<u32>,
    pub marks: Marks,
    /// Only of models of several languages.
    pub many: Option<Languages>,
}

pub struct Languages {
    pub transcribe: u32,
    pub translate: u32,
    /// Of each language.
    pub ids: std::ops::Range<u32>,
}

impl Tokens {
    /// Fails for tokenizers of other models.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self> {
        let need = |text: &str| {
            let what = || Error::Unsupported(format!("the model's tokenizer has no token {text}: it is no Whisper's"));
            tokenizer.special(text).ok_or_else(what)
        };
        let (start, end, no_times) =
            (need("<|startoftranscript|>")?, need("<|endoftext|>")?, need("<|notimestamps|>")?);
        let (transcribe, translate) = (need("<|transcribe|>")?, need("<|translate|>")?);
        if !(end < start && start < no_times) {
            return Err(Error::Unsupported("the tokens of the model's tokenizer are not in Whisper's order".into()));
        }
        // Marks have the ids after all others; most tokenizers do not list them.
        let marks = Marks { first: no_times + 1, end };
        // Texts of models of English have one token less.
        let many = (end > ENGLISH_END).then_some(Languages {
            transcribe,
            translate,
            ids: start + 1..translate.min(transcribe),
        });
        let silence = tokenizer.special("<|nospeech|>").or_else(|| tokenizer.special("<|nocaptions|>"));
        Ok(Tokens { start, no_times, silence, marks, many })
    }
}

/// The token that ends texts of models of English.
const ENGLISH_END: u32 = 50_256;
