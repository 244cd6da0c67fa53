//! The shared product cases on the CPU: every instruction set that this processor has, one thread and several, weights
//! known beforehand and not. Outputs start as 0xff bytes (NaN), so that an element left out shows.
#![allow(clippy::unwrap_used)]

mod ops;

use fewbit::cpu::Threads;
use fewbit::cpu::simd::Level;
use ops::Case;
use ops::direct::{COUNTS, run};

fn check(cases: &[Case]) {
    assert!(!cases.is_empty());
    for level in Level::available() {
        for &count in COUNTS {
            let threads = Threads::new(count).unwrap().with_level(level).unwrap();
            for case in cases {
                for prepared in [false, true] {
                    let how = format!("{}, {count} threads, prepared: {prepared}", level.name());
                    case.check(&how, &run(case, &threads, prepared));
                }
            }
        }
    }
}

ops::shared_tests!(check);

#[test]
fn conv_channels_last() {
    check(&ops::conv::last_cases());
}

#[test]
fn conv_transpose_every_encoding() {
    check(&ops::conv_transpose::encoded_cases());
}

#[test]
fn matmul_integer() {
    check(&ops::integer::matmul_cases());
}

#[test]
fn linear_odd_encodings() {
    check(&ops::linear::odd_cases());
}
