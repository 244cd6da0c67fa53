//! The generated Rust: per shader file a module with `Params` and one constant per permutation.

use std::fmt::Write;

use super::reflect::Reflected;

pub struct Kernel {
    pub constant: String,
    pub name: String,
    pub source: String,
    pub reflected: Reflected,
}

/// Appends the module of one shader file. Its permutations share one uniform struct.
pub fn module(out: &mut String, stem: &str, kernels: &[Kernel]) -> Result<(), String> {
    let params = &kernels[0].reflected.params;
    if let Some(other) = kernels.iter().find(|k| k.reflected.params != *params) {
        return Err(format!("{}: its uniform struct differs from that of {}", other.name, kernels[0].name));
    }
    let text = render(stem, params, kernels);
    out.push_str(&text.map_err(|e| e.to_string())?);
    Ok(())
}

fn render(stem: &str, params: &[(String, String)], kernels: &[Kernel]) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "/// `shaders/{stem}.wgsl`\npub mod {stem} {{")?;
    writeln!(out, "use super::{{Binding, Shader}};")?;
    writeln!(
        out,
        "/// The uniform struct.\n#[repr(C)]\n#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]"
    )?;
    writeln!(out, "pub struct Params {{")?;
    for (field, ty) in params {
        writeln!(out, "pub {field}: {ty},")?;
    }
    writeln!(out, "}}")?;
    for kernel in kernels {
        let Reflected { entry, workgroup_size, bindings, overrides, .. } = &kernel.reflected;
        writeln!(out, "/// Kernel `{}`.", kernel.name)?;
        writeln!(out, "pub const {}: Shader<Params> = Shader {{", kernel.constant)?;
        writeln!(out, "name: {:?}, entry: {entry:?}, workgroup_size: {workgroup_size:?},", kernel.name)?;
        let bindings: Vec<String> = bindings.iter().map(|(i, kind)| format!("({i}, Binding::{kind})")).collect();
        writeln!(out, "bindings: &[{}],", bindings.join(", "))?;
        let overrides: Vec<String> = overrides.iter().map(|(n, v)| format!("({n:?}, {v:?})")).collect();
        writeln!(out, "overrides: &[{}],", overrides.join(", "))?;
        writeln!(out, "source: {:?},\nparams: std::marker::PhantomData,\n}};", kernel.source)?;
    }
    writeln!(out, "}}")?;
    Ok(out)
}
