//! How often a classifier is right.

use super::Classifier;
use crate::Result;
use crate::vision::Labelled;

/// Shares of pictures whose class is the best guess, or among the best five.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    pub top1: f64,
    pub top5: f64,
    pub images: usize,
}

/// Classifies every picture; `seen` hears how many are done.
pub fn accuracy(classifier: &mut Classifier, pictures: &Labelled, seen: impl Fn(usize)) -> Result<Accuracy> {
    let (mut first, mut among) = (0, 0);
    for i in 0..pictures.len() {
        let (photo, class) = pictures.get(i)?;
        let best = classifier.classify(&photo, 5)?;
        first += usize::from(best.first().is_some_and(|guess| guess.index == class));
        among += usize::from(best.iter().any(|guess| guess.index == class));
        seen(i + 1);
    }
    let share = |count: usize| count as f64 / pictures.len().max(1) as f64;
    Ok(Accuracy { top1: share(first), top5: share(among), images: pictures.len() })
}
