//! Text out of tokens as they come.

use super::pieces::Pieces;
use crate::Result;

/// Holds back the bytes of a character until it is whole. The pieces together are the text that all tokens decode to at
/// once; only a space that encoding puts before the first word stays, since a stream continues a text.
pub struct TextStream<'a> {
    pieces: &'a Pieces,
    pending: Vec<u8>,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(pieces: &'a Pieces) -> Self {
        TextStream { pieces, pending: Vec::new() }
    }

    /// The text that is complete with this token; U+FFFD for bytes that cannot begin or continue a character. Fails for
    /// an id outside the vocabulary.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.pending.extend_from_slice(self.pieces.get(id)?);
        let whole = self.pending.len() - unfinished(&self.pending);
        let rest = self.pending.split_off(whole);
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending = rest;
        Ok(text)
    }

    /// What is left: U+FFFD for a character that was begun and not finished.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// How many bytes at the end begin a character that may still be finished: at most 3.
fn unfinished(bytes: &[u8]) -> usize {
    let is_unfinished = |&n: &usize| {
        let tail = &bytes[bytes.len() - n..];
        std::str::from_utf8(tail).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
    };
    (1..=bytes.len().min(3)).rev().find(is_unfinished).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(chunks: &[&[u8]]) -> (Vec<String>, String) {
        let pieces = Pieces::new(chunks.iter().map(|c| c.to_vec()), false);
        let mut stream = TextStream::new(&pieces);
        let texts = (0..chunks.len()).map(|id| stream.push(id as u32).unwrap()).collect();
        (texts, stream.finish())
    }

    #[test]
    fn characters_wait_until_they_are_whole() {
        let (texts, rest) = streamed(&[b"a\xf0", b"\x9f\x99", b"\x82b", b"\xe2\x82"]);
        assert_eq!(texts, ["a", "", "🙂b", ""]);
        assert_eq!(rest, "\u{fffd}");
    }

    /// However bytes are cut into tokens, the stream's text is the text of all bytes.
    #[test]
    fn cuts_do_not_matter() {
        let bytes = b"x\xff\xf0\x9f\x99\x82\xf0\x9f\x41\xe2\x82\xac\xed\xa0\x80\xc3\xa9\x80\xf4\x90\x80\x80";
        let whole = String::from_utf8_lossy(bytes);
        for cuts in 0u32..1 << 12 {
            let mut chunks: Vec<&[u8]> = Vec::new();
            let mut from = 0;
            for (i, _) in bytes.iter().enumerate().skip(1) {
                if cuts.wrapping_mul(2_654_435_761).rotate_left(i as u32) & 1 == 1 {
                    chunks.push(&bytes[from..i]);
                    from = i;
                }
            }
            chunks.push(&bytes[from..]);
            let (texts, rest) = streamed(&chunks);
            assert_eq!(texts.concat() + &rest, whole, "{chunks:?}");
        }
    }
}
