//! The floors of the house (ARCHITECTURE.md): a file imports only files of its own floor or below, and no two files
//! import each other, directly or in a circle.

#[path = "floors/house.rs"]
mod house;
#[path = "floors/paths.rs"]
mod paths;
#[path = "floors/rules.rs"]
mod rules;
#[path = "floors/tokens.rs"]
mod tokens;

use std::path::Path;

use house::Sources;
use rules::violations;

fn real() -> Sources {
    fn read(folder: &Path, prefix: &str, sources: &mut Sources) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                read(&entry.path(), &format!("{name}/"), sources);
            } else if name.ends_with(".rs") {
                sources.insert(name, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut sources = Sources::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    sources
}

#[track_caller]
fn assert_kept(sources: &Sources) {
    let found = violations(sources);
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

/// Exactly one violation, which mentions all of `words`.
#[track_caller]
fn assert_broken(sources: &Sources, words: &[&str]) {
    let found = violations(sources);
    assert!(found.len() == 1 && words.iter().all(|w| found[0].contains(w)), "{found:#?}");
}

fn house(files: &[(&str, &str)]) -> Sources {
    files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

#[test]
fn the_house_keeps_its_floors() {
    assert_kept(&real());
}

/// The test can fail on the real tree: a wrong line added to a real file is found.
#[test]
fn a_wrong_import_in_the_real_tree_is_found() {
    let mut sources = real();
    sources.get_mut("tensor/shape.rs").unwrap().push_str("\nuse crate::runtime::Session;\n");
    let found = violations(&sources);
    assert!(
        found.iter().any(|v| v.starts_with("src/tensor/shape.rs (floor 1) imports src/runtime/session.rs")),
        "{found:#?}"
    );
}

#[test]
fn higher_floors_are_found_in_every_form() {
    for line in [
        "use crate::runtime::Session;",
        "pub use crate::runtime::Session;\nfn f() -> Session { todo!() }",
        "use crate::{tensor::A, runtime::{self}};",
        "use crate::runtime::*;",
        "use super::super::runtime::session::Session as S;",
        "fn f() { crate::runtime::Session::new(); }",
        "mod inner { use super::super::runtime::Session; }",
        "mod inner { use crate::runtime::Session; }",
    ] {
        let sources = house(&[
            ("lib.rs", "pub mod tensor; pub mod weights; pub mod runtime;"),
            ("tensor/mod.rs", "pub struct A;"),
            ("weights/mod.rs", line),
            ("runtime/mod.rs", "pub mod session; pub use session::Session;"),
            ("runtime/session.rs", "use crate::weights; pub struct Session;"),
        ]);
        let found = violations(&sources);
        let wanted = "src/weights/mod.rs (floor 2) imports src/runtime/";
        assert!(found.iter().any(|v| v.starts_with(wanted)), "{line}: {found:#?}");
    }
}

#[test]
fn circles_are_found() {
    let two = [
        ("graph/mod.rs", "pub mod a; pub mod b; pub use b::B;"),
        ("graph/a.rs", "use super::B; pub struct A(B);"),
        ("graph/b.rs", "pub struct B(Option<Box<super::a::A>>);"),
    ];
    assert_broken(&house(&two), &["circle", "src/graph/a.rs -[super::B]->", "src/graph/b.rs -[super::a::A]->"]);

    // The parent defines what its child takes, and calls the child: a circle, with or without `use`.
    let parent = [
        ("cpu/mod.rs", "mod relu; pub struct Call; pub fn run() { relu::run(Call) }"),
        ("cpu/relu.rs", "use super::Call;"),
    ];
    assert_broken(&house(&parent), &["circle", "src/cpu/mod.rs -[relu::run]->"]);

    // Over two folders of one floor, through a module alias.
    let wide = [
        ("graph/mod.rs", "use crate::ops as o; pub fn f() { o::find() }"),
        ("ops/mod.rs", "pub mod table; pub fn find() { table::get() }"),
        ("ops/table.rs", "pub fn get() { crate::graph::f() }"),
    ];
    assert_broken(&house(&wide), &["circle", "graph/mod.rs", "ops/mod.rs", "ops/table.rs"]);
}

#[test]
fn what_is_no_import_passes() {
    assert_kept(&house(&[
        ("lib.rs", "pub mod error; pub use error::Error; pub mod runtime;"),
        ("error.rs", "pub struct Error;"),
        // A parent that only declares and re-exports its children, which use each other's names through it.
        ("tensor/mod.rs", "pub mod a; pub mod b; pub use a::A; pub use b::B;"),
        ("tensor/a.rs", "use crate::Error; pub struct A(Error);"),
        ("tensor/b.rs", "use super::A; use crate::tensor; pub struct B(tensor::A);"),
        // Words in comments, strings and characters; tests; paths of other crates.
        ("weights/mod.rs", "//! crate::runtime::Session\n/* use crate::runtime::Session; /* nested */ */
            pub fn f<'a>(x: &'a str) -> char { let _ = (\"use crate::runtime::Session;\", r#\"crate::runtime::\"x\"#, b'\"'); '\"' }
            #[cfg(test)] mod tests { use crate::runtime::Session; }
            use std::runtime::Session;"),
        ("runtime/mod.rs", "pub struct Session;"),
        ("bin/fewbit.rs", "#[path = \"fewbit/tables.rs\"] mod tables; use fewbit::runtime::Session; fn main() { tables::print() }"),
        ("bin/fewbit/tables.rs", "pub fn print() {}"),
    ]));
}

#[test]
fn a_folder_needs_a_floor() {
    assert_broken(&house(&[("attic/mod.rs", "")]), &["src/attic/mod.rs", "no floor"]);
}
