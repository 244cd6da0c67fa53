//! The generated Rust: the decode stages, per shader file a module with `Params` and one constant per permutation, and
//! the declarations that their sources are made of. Each declaration is stored once, however many kernels have it.

use std::collections::HashMap;
use std::fmt::Write;

use super::minify::minify;
use super::permute::{Permutation, Stage};
use super::reflect::{Reflected, reflect};

pub struct Kernel {
    pub permutation: Permutation,
    pub name: String,
    pub declarations: Vec<String>,
    pub reflected: Reflected,
}

pub struct File {
    out: String,
    /// How many decode stages there are.
    stages: usize,
    /// Where each declaration is in `ordered`.
    known: HashMap<String, usize>,
    ordered: Vec<String>,
    /// Each kernel's name and the numbers of its declarations.
    kernels: Vec<(String, Vec<usize>)>,
}

impl File {
    pub fn new(stages: &[Stage]) -> Self {
        let variants: Vec<String> = stages.iter().map(|s| format!("{},", variant(&s.name))).collect();
        let holders: Vec<String> = stages.iter().filter(|s| s.held.is_some()).map(|s| variant(&s.name)).collect();
        let holders: Vec<String> = holders.iter().map(|name| format!("Stage::{name}")).collect();
        let holds =
            if holders.is_empty() { "false".into() } else { format!("matches!(self, {})", holders.join(" | ")) };
        let out = format!(
            "/// Decode stages: the files of `shaders/decode/`, those that hold another with each other.\n#[derive(Clone, Copy, Debug, PartialEq, Eq)]\n\
             pub enum Stage {{\n{}\n}}\n\
             impl Stage {{\n/// Whether it is built around another stage.\npub fn holds_another(self) -> bool {{ {holds} }}\n}}\n",
            variants.join("\n")
        );
        File { out, stages: stages.len(), known: HashMap::new(), ordered: Vec::new(), kernels: Vec::new() }
    }

    /// Appends the module of one shader file. Its permutations share one uniform struct.
    pub fn module(&mut self, stem: &str, kernels: &[Kernel]) -> Result<(), String> {
        let params = &kernels[0].reflected.params;
        if let Some(other) = kernels.iter().find(|k| k.reflected.params != *params) {
            return Err(format!("{}: its uniform struct differs from that of {}", other.name, kernels[0].name));
        }
        self.render(stem, params, kernels).map_err(|e| e.to_string())
    }

    /// The text of the file. With `short` names every kernel is checked again.
    pub fn finish(mut self, short: bool) -> Result<String, String> {
        if short {
            self.ordered = minify(&self.ordered);
            for (name, parts) in &self.kernels {
                let text: String = parts.iter().map(|&part| self.ordered[part].as_str()).collect();
                reflect(name, &text)?;
            }
        }
        let count = self.ordered.len();
        self.out
            .push_str(&format!("/// What the kernels' sources are made of.\nstatic DECLARATIONS: [&str; {count}] = ["));
        for declaration in &self.ordered {
            self.out.push_str(&format!("{declaration:?},\n"));
        }
        self.out.push_str("];\n");
        Ok(self.out)
    }

    fn render(&mut self, stem: &str, params: &[(String, String)], kernels: &[Kernel]) -> std::fmt::Result {
        let mut out = String::new();
        writeln!(out, "/// `shaders/{stem}.wgsl`\npub mod {stem} {{")?;
        writeln!(out, "use super::{{Binding, Code, Shader}};")?;
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
            writeln!(out, "pub static {}: Shader<Params> = Shader {{ code: Code {{", kernel.permutation.constant())?;
            writeln!(out, "name: {:?}, entry: {entry:?}, workgroup_size: {workgroup_size:?},", kernel.name)?;
            let bindings: Vec<String> = bindings.iter().map(|(i, kind)| format!("({i}, Binding::{kind})")).collect();
            writeln!(out, "bindings: &[{}],", bindings.join(", "))?;
            writeln!(out, "overrides: {:?},", overrides.join(" "))?;
            let parts: Vec<usize> = kernel.declarations.iter().map(|d| self.number(d)).collect();
            writeln!(out, "source: &{parts:?},\n}}, params: std::marker::PhantomData }};")?;
            self.kernels.push((kernel.name.clone(), parts));
        }
        for others in variations(kernels) {
            let name = std::iter::once("decoding").chain(others.iter().copied()).collect::<Vec<_>>().join("_");
            let staged = kernels.iter().filter(|k| k.permutation.beside_stage() == others);
            let pairs: Vec<(&str, &Kernel)> =
                staged.filter_map(|k| Some((k.permutation.stage.as_ref()?.name.as_str(), k))).collect();
            let all = pairs.len() == self.stages;
            let (some, end, result) = match all {
                true => ("", "", "&'static Shader<Params>"),
                false => ("Some(", ")", "Option<&'static Shader<Params>>"),
            };
            writeln!(out, "/// The kernel with this decode stage{}.", if all { "" } else { ", if there is one" })?;
            writeln!(out, "pub fn {name}(stage: super::Stage) -> {result} {{\nmatch stage {{")?;
            for (stage, kernel) in pairs {
                writeln!(out, "super::Stage::{} => {some}&{}{end},", variant(stage), kernel.permutation.constant())?;
            }
            writeln!(out, "{}}}\n}}", if all { "" } else { "_ => None,\n" })?;
        }
        writeln!(out, "}}")?;
        self.out.push_str(&out);
        Ok(())
    }

    /// The declaration's place, giving it one.
    fn number(&mut self, declaration: &str) -> usize {
        let next = self.ordered.len();
        let number = *self.known.entry(declaration.to_string()).or_insert(next);
        if number == next {
            self.ordered.push(declaration.to_string());
        }
        number
    }
}

/// What the kernels with a decode stage switch on beside it; empty for those without.
fn variations(kernels: &[Kernel]) -> Vec<Vec<&str>> {
    let staged = kernels.iter().filter(|k| k.permutation.stage.is_some());
    let mut all: Vec<Vec<&str>> = staged.map(|k| k.permutation.beside_stage()).collect();
    all.sort();
    all.dedup();
    all
}

/// `half_float` → `HalfFloat`.
fn variant(stage: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    stage.split('_').filter(|w| !w.is_empty()).map(capital).collect()
}
