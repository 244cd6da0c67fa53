//! Processors without kernels: no weight is a source for them.

use std::convert::Infallible;

use super::activations::Activations;
use crate::cpu::Threads;
use crate::cpu::gemm::PanelSpan;
use crate::cpu::gemm::epilogue::Epilogue;
use crate::cpu::simd::Level;
use crate::weights::Encoded;

/// Never built.
pub enum Source<'a> {
    Never(Infallible, &'a Encoded),
}

impl<'a> Source<'a> {
    pub fn new(_: Level, _: &'a Encoded) -> Option<Self> {
        None
    }
}

pub fn product(_: &Threads, _: &[f32], _: usize, source: &Source, _: Activations, _: &Epilogue, _: &mut [f32]) -> bool {
    let Source::Never(never, _) = source;
    match *never {}
}

pub fn panel(_: Level, source: &Source, _: usize, _: PanelSpan, _: &mut [f32]) -> bool {
    let Source::Never(never, _) = source;
    match *never {}
}
