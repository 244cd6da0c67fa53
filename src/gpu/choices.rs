//! Which of a kernel's variants computes a product: the kernel's own choice, which depends on nothing but the sizes and
//! the kind of adapter, unless measurement has found a faster one on this device.

use std::fmt;
use std::sync::Mutex;

use super::lock::lock;

/// Most variants of any kernel.
pub const MOST: usize = 10;

#[derive(Default)]
pub struct Choices {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One of a key.
    made: Vec<Choice>,
    #[cfg(any(feature = "cli", feature = "full"))]
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

/// As a line of `to_text`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.variant, self.key)
    }
}

impl Choices {
    pub(super) fn pick(&self, key: &str, count: usize, default: usize) -> usize {
        let state = lock(&self.state);
        #[cfg(any(feature = "cli", feature = "full"))]
        if let Some(trial) = state.trial {
            return trial.min(count - 1);
        }
        let made = state.made.iter().find(|choice| choice.key == key);
        made.map(|choice| choice.variant).filter(|&variant| variant < count).unwrap_or(default)
    }

    /// While set, every kernel takes its variant of this number, or its last, in programs that are built.
    #[cfg(any(feature = "cli", feature = "full"))]
    pub fn set_trial(&self, variant: Option<usize>) {
        lock(&self.state).trial = variant;
    }

    /// From now on.
    pub fn make(&self, choice: Choice) {
        let made = &mut lock(&self.state).made;
        made.retain(|other| other.key != choice.key);
        made.push(choice);
    }

    /// All choices made, a line each, sorted.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> = lock(&self.state).made.iter().map(|choice| format!("{choice}\n")).collect();
        lines.sort_unstable();
        lines.concat()
    }

    /// Adds the choices of `to_text`. Lines of another form are passed over: they cost speed, nothing else.
    pub fn read(&self, text: &str) {
        for line in text.lines() {
            // Variants are ten at most.
            if let Some((digit, key)) = line.split_at_checked(2)
                && let &[digit @ b'0'..=b'9', b' '] = digit.as_bytes()
            {
                self.make(Choice { key: key.to_string(), variant: usize::from(digit - b'0') });
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
        read.set_trial(Some(1));
        assert_eq!(read.pick("other", 3, 2), 1);
        read.set_trial(Some(4));
        assert_eq!(read.pick("other", 3, 0), 2);
    }
}
