//! Which of a kernel's variants computes a product: the kernel's own choice, which depends on nothing but the sizes and
//! the kind of adapter, unless measurement has found a faster one on this device.

use std::collections::HashMap;
use std::sync::Mutex;

use super::lock::lock;

/// Most variants of any kernel.
pub const MOST: usize = 6;

#[derive(Default)]
pub struct Choices {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: HashMap<String, usize>,
    trial: Option<usize>,
}

/// A kernel had a choice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Operator, encoding and sizes.
    pub key: String,
    /// Of the kernel's variants, by number.
    pub variant: usize,
}

impl Choices {
    #[cfg(any(feature = "cli", feature = "full"))]
    pub(super) fn pick(&self, key: &str, count: usize, default: usize) -> usize {
        let state = lock(&self.state);
        match state.trial {
            Some(trial) => trial % count,
            None => state.made.get(key).copied().filter(|&variant| variant < count).unwrap_or(default),
        }
    }

    /// While set, every kernel takes its variant of this number (modulo theirs) in programs that are built.
    pub fn set_trial(&self, variant: Option<usize>) {
        lock(&self.state).trial = variant;
    }

    /// From now on.
    pub fn make(&self, choice: Choice) {
        lock(&self.state).made.insert(choice.key, choice.variant);
    }

    /// All choices made, a line each, sorted.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> =
            lock(&self.state).made.iter().map(|(key, variant)| format!("{variant} {key}\n")).collect();
        lines.sort_unstable();
        lines.concat()
    }

    /// Adds the choices of `to_text`. Lines of another form are passed over: they cost speed, nothing else.
    pub fn read(&self, text: &str) {
        for line in text.lines() {
            if let Some((variant, key)) = line.split_once(' ')
                && let Ok(variant) = variant.parse()
            {
                self.make(Choice { key: key.to_string(), variant });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_come_back_and_bad_ones_are_defaults() {
        let choices = Choices::default();
        choices.make(Choice { key: "Linear f32 1×2×3".into(), variant: 4 });
        let read = Choices::default();
        read.read(&format!("nonsense\n{}x y\n99999999999999999999999 z", choices.to_text()));
        assert_eq!(read.to_text(), "4 Linear f32 1×2×3\n");
        assert_eq!(read.pick("Linear f32 1×2×3", 5, 0), 4);
        assert_eq!(read.pick("Linear f32 1×2×3", 3, 1), 1);
        assert_eq!(read.pick("other", 3, 2), 2);
        read.set_trial(Some(4));
        assert_eq!(read.pick("other", 3, 2), 1);
    }
}
