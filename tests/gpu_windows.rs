//! Weights split into windows of their rows, as where one binding does not hold them. `gpu_large.rs` has a real one.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

#[path = "gpu/case.rs"]
mod case;
#[path = "gpu/harness.rs"]
#[allow(dead_code)]
mod harness;
mod ops;

use ops::Case;

/// Some rows of the shared cases. Those with many outputs would take minutes for nothing new.
const NARROW: u64 = 3000;

fn check(cases: &[Case]) {
    harness::device().limit_bindings(NARROW);
    for case in harness::sampled(cases).filter(|case| case.expected.len() < 700) {
        case.check(&format!("{} of {NARROW} bytes a binding", harness::device().name()), &case::run(case, true));
    }
}

#[test]
fn windows_of_dense_weights() {
    check(&ops::linear::dense_cases());
}

#[test]
fn windows_of_few_bit_weights() {
    check(&ops::linear::encoded_cases());
}

#[test]
fn windows_with_epilogues() {
    check(&ops::linear::fused_cases());
}

#[test]
fn windows_of_tables() {
    check(&ops::embed::cases());
}
