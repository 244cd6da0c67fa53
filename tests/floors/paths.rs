//! What one file declares, imports and mentions.

use std::collections::BTreeSet;

use crate::tokens::{tokens, without_tests};

/// One leaf of a `use` tree.
#[derive(Debug, Clone)]
pub struct Import {
    pub path: Vec<String>,
    /// The name it gets here; `*` for a glob.
    pub name: String,
    /// `pub use`, of any visibility.
    pub exported: bool,
    /// Inline modules it stands in.
    pub inside: Vec<String>,
}

#[derive(Debug, Default)]
pub struct File {
    /// `mod child;`
    pub children: BTreeSet<String>,
    /// Functions, types, constants, traits and inline modules of the file.
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths of two or more segments outside `use`, with the inline modules they stand in.
    pub mentions: Vec<(Vec<String>, Vec<String>)>,
    /// Every word outside `use`.
    pub words: BTreeSet<String>,
}

const ITEM_WORDS: &[&str] = &["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];

pub fn parse(source: &str) -> File {
    let tokens = without_tests(tokens(source));
    let mut file = File::default();
    // Names of the inline modules around the current token, each with the depth of braces at which it ends.
    let mut inside: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut i) = (0usize, 0);
    let at = |i: usize| tokens.get(i).map_or("", String::as_str);
    while i < tokens.len() {
        let modules = || inside.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match at(i) {
            "use" => {
                let exported = i > 0 && (at(i - 1) == "pub" || (at(i - 1) == ")" && pub_before(&tokens, i - 1)));
                let mut leaves = Vec::new();
                i = use_tree(&tokens, i + 1, &[], &mut leaves);
                let inside = modules();
                file.imports.extend(leaves.into_iter().map(|(path, name)| Import {
                    path,
                    name,
                    exported,
                    inside: inside.clone(),
                }));
                continue;
            }
            "mod" if at(i + 2) == ";" => {
                file.children.insert(at(i + 1).into());
                i += 3;
                continue;
            }
            "mod" if at(i + 2) == "{" => {
                file.items.insert(at(i + 1).into());
                inside.push((at(i + 1).into(), depth));
                depth += 1;
                i += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inside.last().is_some_and(|(_, end)| *end == depth) {
                    inside.pop();
                }
            }
            word if ITEM_WORDS.contains(&word) => {
                let name = if at(i + 1) == "!" || at(i + 1) == "mut" { i + 2 } else { i + 1 };
                file.items.insert(at(name).into());
            }
            word if is_name(word) => {
                let (mut path, mut end) = (vec![word.to_string()], i + 1);
                while at(end) == "::" && is_name(at(end + 1)) {
                    path.push(at(end + 1).into());
                    end += 2;
                }
                file.words.extend(path.iter().cloned());
                if path.len() > 1 && (i == 0 || at(i - 1) != "::") {
                    file.mentions.push((path, modules()));
                }
                i = end;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    file
}

/// Whether the `)` at `i` closes `pub(…)`.
fn pub_before(tokens: &[String], i: usize) -> bool {
    let open = (0..i).rev().find(|&j| tokens[j] == "(");
    open.is_some_and(|j| j > 0 && tokens[j - 1] == "pub")
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads the use tree at `i`, adds its leaves as (path, name) and returns the index after it.
fn use_tree(tokens: &[String], mut i: usize, prefix: &[String], leaves: &mut Vec<(Vec<String>, String)>) -> usize {
    let mut path = prefix.to_vec();
    let at = |i: usize| tokens.get(i).map_or(";", String::as_str);
    loop {
        match at(i) {
            "::" => i += 1,
            "{" => {
                i += 1;
                while at(i) != "}" && at(i) != ";" {
                    i = use_tree(tokens, i, &path, leaves);
                    if at(i) == "," {
                        i += 1;
                    }
                }
                return i + 1;
            }
            "*" => {
                leaves.push((path, "*".into()));
                return i + 1;
            }
            "as" => {
                leaves.push((path, at(i + 1).into()));
                return i + 2;
            }
            "self" if !path.is_empty() => i += 1, // `a::{self, b}` names `a`
            word if is_name(word) => {
                path.push(word.into());
                i += 1;
            }
            // `,`, `}` or `;`: the leaf ends here.
            end => {
                if let Some(name) = path.last().cloned() {
                    leaves.push((path, name));
                }
                return if end == ";" { i + 1 } else { i };
            }
        }
    }
}
