//! Whisper's marks of time among the tokens (Radford et al. 2022, section 4.5): which may come, and what they say.

/// Seconds from one mark to the next.
const STEP: f64 = 0.02;

/// The latest mark that a window may begin with.
const MOST_FIRST: u32 = 50;

/// The tokens that stand for times.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    /// The mark of 0 s; all ids from it on are marks.
    pub first: u32,
    /// The token that ends a text; those below are text.
    pub end: u32,
}

/// Tokens of text between two times in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub start: f64,
    pub end: f64,
    pub ids: Vec<u32>,
}

impl Marks {
    pub fn is_mark(&self, id: u32) -> bool {
        id >= self.first
    }

    /// Seconds from the beginning of the window.
    pub fn seconds(&self, mark: u32) -> f64 {
        f64::from(mark.saturating_sub(self.first)) * STEP
    }

    /// Takes out of the logits what may not follow the tokens of a window so far: a window begins with a mark; a mark that
    /// ends a text is followed by one that begins the next, or by the end; times do not decrease; and where all marks
    /// together are likelier than any other token, one of them comes.
    pub fn mask(&self, logits: &mut [f32], tokens: &[u32]) {
        let (first, end) = (self.first as usize, self.end as usize);
        if logits.len() <= first {
            return;
        }
        let out = |logits: &mut [f32]| logits.fill(f32::NEG_INFINITY);
        // What lies between are tokens of the prompt.
        out(&mut logits[end + 1..first]);
        match tokens {
            [] => {
                out(&mut logits[..first]);
                let most = (first + MOST_FIRST as usize + 1).min(logits.len());
                return out(&mut logits[most..]);
            }
            [.., last] if !self.is_mark(*last) => {}
            // A text has begun.
            [_] => out(&mut logits[first..]),
            [.., before, _] if self.is_mark(*before) => out(&mut logits[first..]),
            _ => out(&mut logits[..end]),
        }
        if let Some(at) = tokens.iter().rposition(|&id| self.is_mark(id)) {
            // A text ends after it began; the next may begin where it ended.
            let open = at == 0 || self.is_mark(tokens[at - 1]);
            let least = tokens[at] as usize + usize::from(open || at + 1 < tokens.len());
            let least = least.min(logits.len());
            out(&mut logits[first..least]);
        }
        let (others, marks) = logits.split_at_mut(first);
        let best = others.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = marks.iter().map(|&v| f64::from(v - best).exp()).sum();
        if sum > 1.0 {
            out(others);
        }
    }

    /// The texts of a window of `seconds` seconds, and where the next window begins: where the last whole text ends if
    /// another was begun, else at the end.
    pub fn spans(&self, tokens: &[u32], seconds: f64) -> (Vec<Span>, f64) {
        let is_mark = |i: usize| self.is_mark(tokens[i]);
        let mut cuts: Vec<usize> = (1..tokens.len()).filter(|&i| is_mark(i) && is_mark(i - 1)).collect();
        let ends_whole = tokens.len() >= 2 && is_mark(tokens.len() - 1) && !is_mark(tokens.len() - 2);
        let text = |ids: &[u32]| ids.iter().copied().filter(|&id| id < self.end).collect();
        let Some(&last) = cuts.last() else {
            let end = tokens.iter().rev().find(|&&id| id > self.first && self.is_mark(id));
            let end = end.map_or(seconds, |&mark| self.seconds(mark));
            return (vec![Span { start: 0.0, end, ids: text(tokens) }], seconds);
        };
        if ends_whole {
            cuts.push(tokens.len());
        }
        let mut spans = Vec::new();
        let mut from = 0;
        for cut in cuts {
            let ids = &tokens[from..cut];
            if let (Some(&start), Some(&end)) = (ids.first(), ids.last()) {
                spans.push(Span { start: self.seconds(start), end: self.seconds(end), ids: text(ids) });
            }
            from = cut;
        }
        (spans, if ends_whole { seconds } else { self.seconds(tokens[last - 1]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten words, the end, a token of the prompt, and marks from 12 on.
    const MARKS: Marks = Marks { first: 12, end: 10 };

    fn allowed(tokens: &[u32], logits: &[f32]) -> Vec<usize> {
        let mut logits = logits.to_vec();
        MARKS.mask(&mut logits, tokens);
        (0..logits.len()).filter(|&i| logits[i].is_finite()).collect()
    }

    #[test]
    fn marks_come_in_pairs_and_in_order() {
        // Marks so unlikely that they do not outweigh the words.
        let logits: Vec<f32> = (0..20).map(|i| if i < 12 { 0.0 } else { -9.0 }).collect();
        let words: Vec<usize> = (0..=10).collect();
        let with = |marks: std::ops::Range<usize>| words.iter().copied().chain(marks).collect::<Vec<_>>();
        assert_eq!(allowed(&[], &logits), (12..20).collect::<Vec<_>>());
        assert_eq!(allowed(&[13], &logits), words);
        assert_eq!(allowed(&[13, 3], &logits), with(14..20));
        // The next text may begin where this one ended, or there is no more.
        assert_eq!(allowed(&[13, 3, 15], &logits), [10, 15, 16, 17, 18, 19]);
        assert_eq!(allowed(&[13, 3, 15, 15], &logits), words);
        assert_eq!(allowed(&[13, 3, 15, 15, 2], &logits), with(16..20));
        let likely: Vec<f32> = (0..20).map(|i| if i < 12 { 0.0 } else { -1.0 }).collect();
        assert_eq!(allowed(&[13, 3], &likely), (14..20).collect::<Vec<_>>());
    }

    #[test]
    fn windows_begin_early() {
        let logits = vec![0f32; 12 + 1501];
        assert_eq!(allowed(&[], &logits), (12..=62).collect::<Vec<_>>());
    }

    #[test]
    fn texts_and_the_next_window() {
        let span = |start: f64, end: f64, ids: &[u32]| Span { start, end, ids: ids.to_vec() };
        let round = |(spans, next): (Vec<Span>, f64)| {
            let near = |v: f64| (v * 1e6).round() / 1e6;
            let spans = spans.into_iter().map(|s| Span { start: near(s.start), end: near(s.end), ..s });
            (spans.collect::<Vec<_>>(), near(next))
        };
        // The last text was cut off: it comes again.
        let got = round(MARKS.spans(&[12, 1, 2, 22, 22, 3], 30.0));
        assert_eq!(got, (vec![span(0.0, 0.2, &[1, 2])], 0.2));
        let got = round(MARKS.spans(&[12, 1, 22, 23, 3, 32], 30.0));
        assert_eq!(got, (vec![span(0.0, 0.2, &[1]), span(0.22, 0.4, &[3])], 30.0));
        let got = round(MARKS.spans(&[12, 1, 2, 22], 30.0));
        assert_eq!(got, (vec![span(0.0, 0.2, &[1, 2])], 30.0));
        assert_eq!(round(MARKS.spans(&[12, 1, 2], 4.0)), (vec![span(0.0, 4.0, &[1, 2])], 4.0));
        assert_eq!(round(MARKS.spans(&[], 4.0)), (vec![span(0.0, 4.0, &[])], 4.0));
    }
}
