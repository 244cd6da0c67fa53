//! Short names for what only the shaders' text knows: what a browser downloads is counted in bytes.

use std::collections::{BTreeMap, BTreeSet};

/// The declarations with every name that one of them declares shortened, the same way in all. Names that the host knows
/// (entry points, overrides), members of vectors and names of up to two letters stay.
pub fn minify(declarations: &[String]) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    let [mut declared, mut functions, mut called, mut kept] = [const { BTreeSet::new() }; 4];
    for text in declarations {
        let words: Vec<Word> = words(text).collect();
        for (i, word) in words.iter().enumerate() {
            *counts.entry(word.text).or_default() += 1;
            let before = i.checked_sub(1).map(|i| words[i].text);
            let entry = text.starts_with("@compute") && before == Some("fn");
            if before == Some("override") || entry {
                kept.insert(word.text);
            } else if before == Some("fn") {
                functions.insert(word.text);
            } else if matches!(before, Some("let" | "const" | "struct")) || word.declares {
                declared.insert(word.text);
            } else if word.called {
                called.insert(word.text);
            }
        }
    }
    // A variable may be named as a function of the language that is called elsewhere.
    let own = |name: &str| functions.contains(name) || (!called.contains(name) && name != "default");
    declared.extend(&functions);
    declared.retain(|name| name.len() > 2 && !kept.contains(name) && !swizzle(name) && own(name));
    let mut order: Vec<&str> = declared.into_iter().collect();
    order.sort_by_key(|name| std::cmp::Reverse(counts[name] * name.len()));
    let free = names().filter(|name| !counts.contains_key(name.as_str()) && !RESERVED.contains(&name.as_str()));
    let short: BTreeMap<&str, String> = order.into_iter().zip(free).collect();
    declarations.iter().map(|text| join(&rename(text, &short))).collect()
}

/// Words of two characters that have a meaning in WGSL.
const RESERVED: [&str; 6] = ["as", "do", "fn", "if", "of", "or"];

struct Word<'a> {
    text: &'a str,
    /// A `:` or the template of a `var` stands beside it: a variable, a parameter, a member.
    declares: bool,
    called: bool,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let starts = text.char_indices().filter(|&(i, c)| is_word(c) && !text[..i].ends_with(is_word));
    starts.filter(|&(_, c)| !c.is_ascii_digit()).map(|(i, _)| {
        let rest = &text[i..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let variable = text[..i].ends_with("var ") || text[..i].ends_with('>') && text[..i].contains("var<");
        let behind = &rest[end..];
        Word { text: &rest[..end], declares: behind.starts_with(':') || variable, called: behind.starts_with('(') }
    })
}

/// `x`, `rgb`, …: may be components of a vector.
fn swizzle(name: &str) -> bool {
    name.len() <= 4 && (name.chars().all(|c| "xyzw".contains(c)) || name.chars().all(|c| "rgba".contains(c)))
}

/// `aa`, `ab`, … `z9`.
fn names() -> impl Iterator<Item = String> {
    ('a'..='z').flat_map(|a| ('a'..='z').chain('0'..='9').map(move |b| format!("{a}{b}")))
}

/// One line, with a space only where two words would grow together.
fn join(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if out.ends_with(is_word) && line.starts_with(is_word) {
            out.push(' ');
        }
        out.push_str(line);
    }
    if out.ends_with(is_word) { out + " " } else { out }
}

fn rename(text: &str, short: &BTreeMap<&str, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for word in words(text) {
        let start = word.text.as_ptr() as usize - text.as_ptr() as usize;
        out.push_str(&text[at..start]);
        out.push_str(short.get(word.text).map_or(word.text, String::as_str));
        at = start + word.text.len();
    }
    out.push_str(&text[at..]);
    out
}
