//! Shaders as `build.rs` describes them: source, bindings, overrides, uniform struct.

use std::marker::PhantomData;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    Read,
    ReadWrite,
    Uniform,
}

/// One kernel; `P` is its uniform struct, so that a dispatch with another one does not compile.
#[derive(Clone, Copy, Debug)]
pub struct Shader<P> {
    pub name: &'static str,
    pub source: &'static str,
    pub entry: &'static str,
    /// `(binding number, kind)`, ascending. Operands of a dispatch come in this order, without the uniform.
    pub bindings: &'static [(u32, Binding)],
    /// Invocations along x, y, z with the default overrides.
    pub workgroup_size: [u32; 3],
    /// `(name, default)` of the pipeline-overridable constants.
    pub overrides: &'static [(&'static str, f64)],
    pub params: PhantomData<P>,
}

include!(concat!(env!("OUT_DIR"), "/shaders.rs"));
