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
    /// Layers that ran for a picture, in the mean, where there are early exits.
    pub layers: Option<f64>,
    /// Multiplications for a picture, in the mean.
    pub macs: f64,
}

/// Classifies every picture; `seen` hears how many are done.
pub fn accuracy(classifier: &mut Classifier, pictures: &Labelled, seen: impl Fn(usize)) -> Result<Accuracy> {
    let (mut first, mut among, mut layers, mut macs) = (0, 0, 0, 0);
    for i in 0..pictures.len() {
        let (photo, class) = pictures.get(i)?;
        let best = classifier.classify(&photo, 5)?;
        first += usize::from(best.first().is_some_and(|guess| guess.index == class));
        among += usize::from(best.iter().any(|guess| guess.index == class));
        macs += match classifier.exits() {
            Some(exits) => exits.macs(),
            None => classifier.session().report().map_or(0, |report| report.macs),
        };
        layers += classifier.exits().map_or(0, |exits| exits.ran());
        seen(i + 1);
    }
    let share = |count: usize| count as f64 / pictures.len().max(1) as f64;
    let mean = |sum: u64| sum as f64 / pictures.len().max(1) as f64;
    Ok(Accuracy {
        top1: share(first),
        top5: share(among),
        images: pictures.len(),
        layers: classifier.exits().map(|_| share(layers)),
        macs: mean(macs),
    })
}
