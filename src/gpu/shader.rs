//! Shaders as `build.rs` describes them: source, bindings, overrides, uniform struct.

use std::marker::PhantomData;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    Read,
    ReadWrite,
    Uniform,
}

/// One kernel; `P` is its uniform struct, so that a dispatch with another one does not compile.
#[derive(Debug)]
pub struct Shader<P> {
    pub code: Code,
    pub params: PhantomData<P>,
}

/// What of a kernel does not depend on its uniform struct.
#[derive(Debug)]
pub struct Code {
    pub name: &'static str,
    /// Numbers of the declarations that make up its WGSL.
    pub source: &'static [u16],
    pub entry: &'static str,
    /// `(binding number, kind)`, ascending. Operands of a dispatch come in this order, without the uniform.
    pub bindings: &'static [(u8, Binding)],
    /// Invocations along x, y, z with the default overrides.
    pub workgroup_size: [u32; 3],
    /// Names of the pipeline-overridable constants, a space between them.
    pub overrides: &'static str,
}

impl Code {
    /// The kernel's WGSL.
    pub fn text(&self) -> String {
        let declarations = self.source.iter().filter_map(|&i| DECLARATIONS.get(usize::from(i)).copied());
        // Browsers ask for the line, naga does not know it.
        let subgroups = cfg!(target_arch = "wasm32") && self.name.ends_with("_subgroup");
        subgroups.then_some("enable subgroups;\n").into_iter().chain(declarations).collect()
    }
}

include!(concat!(env!("OUT_DIR"), "/shaders.rs"));
