//! Byte-pair encoding over an alphabet of 256 characters that stand for bytes (Radford et al. 2019).

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::vocabulary::Vocabulary;
use crate::{Error, Result};

/// The expression of GPT-2.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// The expression of Llama 3: any case, up to three digits, line ends with what is before them.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with every digit for itself.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";

/// Expressions that cut text into words, one after the other (names and rules as llama.cpp has them).
const WORDS: &[(&[&str], &[&str])] = &[
    (&["gpt-2"], &[GPT2]),
    (&["smollm", "starcoder", "refact", "command-r", "codeshell"], &[DIGIT, GPT2]),
    (&["llama-bpe", "llama3", "llama-v3"], &[LLAMA3]),
    (&["qwen2"], &[QWEN2]),
];

/// A tokenizer of words without special tokens. Fails for an unknown rule of words and for merges of tokens that are not
/// there.
pub fn tokenizer(vocabulary: &Vocabulary) -> Result<Tokenizer> {
    let bad = |e: tokenizers::Error| Error::format("vocabulary", e.to_string());
    let name = vocabulary.words.as_str();
    let rule = WORDS.iter().find(|(names, _)| names.contains(&name));
    let (_, expressions) =
        rule.ok_or_else(|| Error::Unsupported(format!("the pre-tokenizer `{name}` of a GGUF file")))?;
    let ids = vocabulary.tokens.iter().cloned().zip(0u32..);
    let merges = vocabulary.merges.iter().map(|merge| pair(merge)).collect::<Result<Vec<_>>>()?;
    let model = BPE::builder()
        .vocab_and_merges(ids.collect::<std::collections::HashMap<_, _, _>>(), merges)
        // A word that is a token is this token, whichever way the merges lead.
        .ignore_merges(name.starts_with("llama"))
        .build()
        .map_err(bad)?;
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for expression in *expressions {
        let pattern = SplitPattern::Regex(expression.to_string());
        steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(bad)?.into());
    }
    steps.push(ByteLevel::new(false, false, false).into());
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    Ok(tokenizer)
}

/// `left right`; a token itself may begin with a space.
fn pair(merge: &str) -> Result<(String, String)> {
    let bad = || Error::format("vocabulary", format!("the merge `{merge}` is not two tokens"));
    let space = merge.char_indices().skip(1).find(|&(_, c)| c == ' ').ok_or_else(bad)?.0;
    Ok((merge[..space].into(), merge[space + 1..].into()))
}

/// The bytes that a token stands for; a token with characters outside the alphabet stands for itself.
pub fn bytes(token: &str) -> Vec<u8> {
    token.chars().map(byte).collect::<Option<_>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Printable Latin-1 characters stand for themselves, the other 68 bytes, in order, for U+0100 and on.
fn byte(character: char) -> Option<u8> {
    match character as u32 {
        c if is_printable(c) => Some(c as u8),
        c => OTHERS.get(c.checked_sub(0x100)? as usize).copied(),
    }
}

const fn is_printable(c: u32) -> bool {
    matches!(c, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

const OTHERS: [u8; 68] = {
    let (mut bytes, mut count, mut byte) = ([0; 68], 0, 0);
    while byte < 0x100 {
        if !is_printable(byte) {
            bytes[count] = byte as u8;
            count += 1;
        }
        byte += 1;
    }
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_the_one_of_gpt2() {
        let alphabet = ByteLevel::alphabet();
        let mut seen: Vec<u8> = alphabet.iter().map(|&c| byte(c).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
        assert_eq!((byte('Ġ'), byte('Ċ'), byte('€'), byte('\u{144}')), (Some(b' '), Some(b'\n'), None, None));
        assert_eq!((bytes("Ġa"), bytes("a€Ġ")), (b" a".to_vec(), "a€Ġ".as_bytes().to_vec()));
    }
}
