//! The crate as a set of files: which file a path means, and which file imports which.
//!
//! What counts as an import of file B by file A:
//! - a `use` or a path in the code of A that names an item *defined* in B. A name that a `mod.rs` only re-exports
//!   belongs to the file that defines it, so a parent that declares its children (`mod`) and re-exports their names
//!   (`pub use`) neither imports them nor is imported through them;
//! - a glob import of B.
//!
//! A re-exported name that the parent also uses itself counts as its import. A bare module (`use crate::graph;`) is no
//! import of the file, since the paths that go through it are resolved each for itself; it does count for its floor.
//! Methods found by type only (`impl` blocks in a higher floor) cannot be seen this way.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::{File, parse};

/// Path below `src/` → source text.
pub type Sources = BTreeMap<String, String>;

pub struct House {
    files: BTreeMap<String, File>,
    /// Module path → file: `["graph", "fuse"]` → `graph/fuse/mod.rs`.
    modules: BTreeMap<Vec<String>, String>,
}

/// What a path means.
enum Target {
    /// The module itself.
    Module(String),
    /// Something defined in the file.
    Item(String),
    /// Of another crate, or a local name.
    Foreign,
}

pub struct Edge {
    pub to: String,
    pub path: String,
    /// Whether only the module is named, nothing in it.
    pub bare: bool,
}

impl House {
    pub fn new(sources: &Sources) -> Self {
        let files: BTreeMap<String, File> = sources.iter().map(|(name, text)| (name.clone(), parse(text))).collect();
        let modules = files.keys().map(|name| (module(name), name.clone())).collect();
        House { files, modules }
    }

    pub fn files(&self) -> impl Iterator<Item = &String> {
        self.files.keys()
    }

    /// Every import of `name` from other files of the house.
    pub fn edges(&self, name: &str) -> Vec<Edge> {
        let file = &self.files[name];
        let mut edges = Vec::new();
        for import in &file.imports {
            // A re-export is an import only if the file uses the name as well.
            if import.exported && !file.words.contains(&import.name) {
                continue;
            }
            self.add(&mut edges, name, &import.path, &import.inside, import.name == "*");
        }
        for (path, inside) in &file.mentions {
            self.add(&mut edges, name, path, inside, false);
        }
        edges
    }

    fn add(&self, edges: &mut Vec<Edge>, from: &str, path: &[String], inside: &[String], glob: bool) {
        let (to, bare) = match self.resolve(from, path, inside, &mut BTreeSet::new()) {
            Target::Item(to) => (to, false),
            Target::Module(to) => (to, !glob),
            Target::Foreign => return,
        };
        if to != from {
            edges.push(Edge { to, path: path.join("::"), bare });
        }
    }

    /// `seen` stops names that re-export each other.
    fn resolve(&self, from: &str, path: &[String], inside: &[String], seen: &mut BTreeSet<(String, String)>) -> Target {
        let Some((first, rest)) = path.split_first() else { return Target::Foreign };
        let here = module(from);
        match first.as_str() {
            "crate" => self.walk(root(&here), rest, seen),
            "fewbit" if !root(&here).is_empty() => self.walk(Vec::new(), rest, seen),
            "self" | "super" => {
                // Inline modules around the path are levels that `super` leaves first.
                let mut levels = [here.clone(), inside.to_vec()].concat();
                let mut rest = path;
                while let Some((first, after)) = rest.split_first() {
                    match first.as_str() {
                        "self" => {}
                        "super" => drop(levels.pop()),
                        _ => break,
                    }
                    rest = after;
                }
                if levels.len() > here.len() { Target::Foreign } else { self.walk(levels, rest, seen) }
            }
            name => {
                let file = &self.files[from];
                if file.children.contains(name) {
                    return self.walk([here, vec![name.into()]].concat(), rest, seen);
                }
                let import = file.imports.iter().find(|i| i.name == name && i.path.as_slice() != path);
                match import {
                    Some(import) if seen.insert((from.into(), name.into())) => {
                        let full = [import.path.as_slice(), rest].concat();
                        self.resolve(from, &full, &import.inside, seen)
                    }
                    _ => Target::Foreign,
                }
            }
        }
    }

    /// Follows `rest` down from the module `at`.
    fn walk(&self, mut at: Vec<String>, rest: &[String], seen: &mut BTreeSet<(String, String)>) -> Target {
        for (i, name) in rest.iter().enumerate() {
            let child = [at.as_slice(), std::slice::from_ref(name)].concat();
            if self.modules.contains_key(&child) {
                at = child;
                continue;
            }
            let Some(file) = self.modules.get(&at) else { return Target::Foreign };
            return self.item(file, &rest[i..], seen).unwrap_or_else(|| Target::Item(file.clone()));
        }
        self.modules.get(&at).map_or(Target::Foreign, |file| Target::Module(file.clone()))
    }

    /// The file that defines `rest[0]` as seen in `file`: itself, or wherever an import of it leads. `None` if unknown.
    fn item(&self, file: &str, rest: &[String], seen: &mut BTreeSet<(String, String)>) -> Option<Target> {
        let name = rest.first()?;
        let parsed = &self.files[file];
        if parsed.items.contains(name) {
            return Some(Target::Item(file.into()));
        }
        if !seen.insert((file.into(), name.clone())) {
            return None;
        }
        for import in parsed.imports.iter().filter(|i| i.name == *name) {
            let full = [import.path.as_slice(), &rest[1..]].concat();
            match self.resolve(file, &full, &import.inside, seen) {
                Target::Foreign => {}
                found => return Some(found),
            }
        }
        for import in parsed.imports.iter().filter(|i| i.name == "*") {
            if let Target::Module(to) = self.resolve(file, &import.path, &import.inside, seen)
                && let Some(found) = self.item(&to, rest, seen)
            {
                return Some(found);
            }
        }
        None
    }
}

/// Module path of a file: `graph/fuse/mod.rs` → `["graph", "fuse"]`, `lib.rs` → `[]`. A program under `bin/` is a
/// crate of its own, whose root is `["bin", NAME]`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").or(path.strip_suffix("/main")).unwrap_or(path);
    path.split('/').filter(|part| *part != "lib").map(String::from).collect()
}

/// The crate root above a module: `[]`, or `["bin", NAME]` for a program.
fn root(module: &[String]) -> Vec<String> {
    if module.first().is_some_and(|m| m == "bin") { module[..2.min(module.len())].to_vec() } else { Vec::new() }
}
