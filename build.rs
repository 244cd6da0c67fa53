//! Compiles `shaders/*.wgsl` (WGSL with WESL imports and `@if`), validates every permutation with naga, and writes one
//! Rust module per kernel with its bindings, overrides and uniform struct, so that host and shader cannot disagree.

#[path = "shaders/build/permute.rs"]
mod permute;
#[path = "shaders/build/reflect.rs"]
mod reflect;
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
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .map_err(|e| format!("{}: {e}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "wgsl"))
        .collect();
    files.sort();
    let mut out = String::new();
    for file in files {
        let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let mut kernels = Vec::new();
        for permutation in permute::permutations(&text).map_err(|e| format!("{}: {e}", file.display()))? {
            let name = permutation.kernel_name(stem);
            let source = compile(dir, stem, &permutation)?;
            let reflected = reflect::reflect(&name, &source)?;
            kernels.push(rust::Kernel { constant: permutation.constant(), name, source, reflected });
        }
        rust::module(&mut out, stem, &kernels)?;
    }
    Ok(out)
}

/// WGSL of one permutation, without comments and indentation (the text travels in the browser build).
fn compile(dir: &Path, stem: &str, permutation: &permute::Permutation) -> Result<String, String> {
    let mut compiler = wesl::Wesl::new(dir);
    // Names stay as written; two imported items of one name fail naga's check below.
    compiler.set_mangler(wesl::ManglerKind::None);
    for feature in &permutation.features {
        compiler.set_feature(feature, true);
    }
    let path = format!("package::{stem}").parse().map_err(|e| format!("{stem}: {e}"))?;
    let compiled = compiler.compile(&path).map_err(|e| format!("{}: {e}", permutation.kernel_name(stem)))?;
    let text = compiled.to_string();
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
}
