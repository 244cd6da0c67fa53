//! Compiles `shaders/*.wgsl` (WGSL with WESL imports and `@if`), validates every permutation with naga, and writes one
//! Rust module per kernel with its bindings, overrides and uniform struct, so that host and shader cannot disagree.

#[path = "shaders/build/minify.rs"]
mod minify;
#[path = "shaders/build/permute.rs"]
mod permute;
#[path = "shaders/build/reflect.rs"]
mod reflect;
#[path = "shaders/build/resolve.rs"]
mod resolve;
#[path = "shaders/build/rust.rs"]
mod rust;

use std::path::{Path, PathBuf};
use std::process::exit;

fn main() {
    println!("cargo::rerun-if-changed=shaders");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_GPU").is_none() {
        return;
    }
    match compile_all(Path::new("shaders")) {
        Ok(source) => {
            let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("shaders.rs");
            std::fs::write(out, source).expect("OUT_DIR is writable");
        }
        Err(message) => {
            eprintln!("{message}");
            exit(1);
        }
    }
}

/// The text of the generated file. Kernels are the files directly in `dir`; its folders hold what they import.
fn compile_all(dir: &Path) -> Result<String, String> {
    let stages = stages_in(&dir.join("decode"))?;
    let mut out = rust::File::new(&stages);
    for stem in shaders_in(dir)? {
        let file = dir.join(&stem).with_extension("wgsl");
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        if !wanted(&text) {
            continue;
        }
        let mut kernels = Vec::new();
        for permutation in
            permute::permutations(&text, &stages, built).map_err(|e| format!("{}: {e}", file.display()))?
        {
            let name = permutation.kernel_name(&stem);
            let declarations = compile(dir, &stem, &permutation)?;
            let reflected = reflect::reflect(&name, &declarations.concat())?;
            kernels.push(rust::Kernel { permutation, name, declarations, reflected });
        }
        out.module(&stem, &kernels)?;
    }
    out.finish(std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32"))
}

/// Whether the crate is built with the cargo feature that a line `// feature: NAME` of the shader asks for.
fn wanted(text: &str) -> bool {
    text.lines().find_map(|line| line.strip_prefix("// feature: ")).is_none_or(built)
}

/// Whether the crate is built with a cargo feature.
fn built(feature: &str) -> bool {
    std::env::var_os(format!("CARGO_FEATURE_{}", feature.to_uppercase())).is_some()
}

fn stages_in(dir: &Path) -> Result<Vec<permute::Stage>, String> {
    let read = |name: String| {
        let file = dir.join(&name).with_extension("wgsl");
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok((name, text))
    };
    let files = shaders_in(dir)?.into_iter().map(read).collect::<Result<Vec<_>, String>>()?;
    Ok(permute::stages(files.into_iter().filter(|(_, text)| wanted(text)).collect()))
}

/// Names of the WGSL files directly in a folder, sorted.
fn shaders_in(dir: &Path) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .map_err(|e| format!("{}: {e}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    Ok(names)
}

/// The declarations of one permutation, without comments and indentation (the text travels in the browser build).
fn compile(dir: &Path, stem: &str, permutation: &permute::Permutation) -> Result<Vec<String>, String> {
    let mut compiler = wesl::Wesl::new(dir).set_custom_resolver(resolve::Stages::new(dir, permutation.stage.clone()));
    compiler.set_custom_mangler(resolve::Names);
    // Its list of built-in functions lacks some; naga's check below is the one that counts.
    compiler.set_options(wesl::CompileOptions { validate: false, ..wesl::CompileOptions::default() });
    for feature in &permutation.features {
        compiler.set_feature(feature, true);
    }
    compiler.set_feature("weights", permutation.stage.is_some());
    let path = format!("package::{stem}").parse().map_err(|e| format!("{stem}: {e}"))?;
    let compiled = compiler.compile(&path).map_err(|e| format!("{}: {e}", permutation.kernel_name(stem)))?;
    let declarations = compiled.syntax.global_declarations.iter();
    Ok(declarations.map(|d| squeeze(&d.to_string())).filter(|d| !d.is_empty()).collect())
}

/// WGSL without indentation and without spaces beside these signs, which mean the same without.
fn squeeze(text: &str) -> String {
    const SIGNS: &str = ",;:(){}[]=+*/%<>|^?";
    let mut out = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split(' ').filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            out.push_str(word);
            let glued = |c: Option<char>| c.is_some_and(|c| SIGNS.contains(c));
            if words.peek().is_some_and(|next| !glued(out.chars().last()) && !glued(next.chars().next())) {
                out.push(' ');
            }
        }
        out.push('\n');
    }
    out
}
