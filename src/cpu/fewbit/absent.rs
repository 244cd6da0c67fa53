//! Processors without kernels: no weight is a source for them.

use super::activations::Activations;
use crate::cpu::Threads;
use crate::cpu::gemm::PanelSpan;
use crate::cpu::gemm::epilogue::Epilogue;
use crate::cpu::simd::Level;
use crate::weights::Encoded;

pub enum Source {}

impl Source {
    pub fn new(_: Level, _: &Encoded) -> Option<Self> {
        None
    }
}

pub fn product(_: &Threads, _: &[f32], _: usize, source: &Source, _: Activations, _: &Epilogue, _: &mut [f32]) -> bool {
    match *source {}
}

pub fn panel(_: Level, source: &Source, _: usize, _: PanelSpan, _: &mut [f32]) -> bool {
    match *source {}
}
