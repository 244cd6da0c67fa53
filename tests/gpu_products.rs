//! The shared product cases on the GPU, weights known beforehand and not.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/case.rs"]
mod case;
#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
mod ops;

use fewbit::graph::Weight;
use ops::Case;

fn check(cases: &[Case]) {
    assert!(!cases.is_empty());
    for case in harness::sampled(cases) {
        // A dense weight may be a constant or come at run time.
        let dense = case.inputs.iter().skip(1).flatten().any(|w| matches!(w, Weight::Dense(_)));
        for &constant in if dense { [false, true].as_slice() } else { &[true] } {
            let how = format!("{}, weights known: {constant}", harness::device().name());
            case.check(&how, &case::run(case, constant));
        }
    }
}

ops::shared_tests!(check);
