//! Just enough of Rust's grammar to find paths: words and punctuation, without comments, literals and test code.

/// A word, `::`, or one character of punctuation.
pub fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let (c, next) = (chars[i], chars.get(i + 1).copied());
        match c {
            '/' if next == Some('/') => i = find(&chars, i, |c| c == '\n'),
            '/' if next == Some('*') => i = block_comment(&chars, i),
            '"' => i = string(&chars, i + 1),
            '\'' => i = char_or_lifetime(&chars, i),
            ':' if next == Some(':') => {
                out.push("::".into());
                i += 2;
            }
            c if is_word(c) => {
                let end = find(&chars, i, |c| !is_word(c));
                let word: String = chars[i..end].iter().collect();
                i = match (word.as_str(), chars.get(end)) {
                    ("r" | "br" | "cr", Some('"' | '#')) => raw_string(&chars, end),
                    ("b" | "c", Some('"')) => string(&chars, end + 1),
                    ("b", Some('\'')) => char_or_lifetime(&chars, end),
                    _ => {
                        out.push(word);
                        end
                    }
                };
            }
            c => {
                if !c.is_whitespace() {
                    out.push(c.into());
                }
                i += 1;
            }
        }
    }
    out
}

/// Drops every item under an attribute `#[cfg(test)]` or `#[cfg(all(test, …))]`: tests are no part of a floor.
pub fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i] == "#" && tokens.get(i + 1).is_some_and(|t| t == "[") {
            let end = closing(&tokens, i + 1);
            let attribute = &tokens[i + 2..end];
            if attribute.first().is_some_and(|t| t == "cfg")
                && attribute.iter().any(|t| t == "test")
                && !attribute.iter().any(|t| t == "not")
            {
                i = item_end(&tokens, end + 1);
                continue;
            }
        }
        out.push(tokens[i].clone());
        i += 1;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&i| stop(chars[i])).unwrap_or(chars.len())
}

/// Block comments nest.
fn block_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn string(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// `i` is at the first `#` or `"` after `r`. A raw identifier (`r#type`) is passed over like punctuation.
fn raw_string(chars: &[char], i: usize) -> usize {
    let quote = find(chars, i, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return quote;
    }
    let hashes = quote - i;
    let ends =
        |at: &usize| chars[*at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (quote + 1..chars.len()).find(ends).map_or(chars.len(), |at| at + 1 + hashes)
}

/// `'a'` and `'\n'` are literals; `'a` without a second quote is a lifetime, whose word is dropped too.
fn char_or_lifetime(chars: &[char], i: usize) -> usize {
    match (chars.get(i + 1), chars.get(i + 2)) {
        (Some('\\'), _) => find(chars, i + 3, |c| c == '\'') + 1,
        (Some(_), Some('\'')) => i + 3,
        _ => find(chars, i + 1, |c| !is_word(c)),
    }
}

/// Index of the bracket that closes the one at `open`.
fn closing(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    tokens.len()
}

/// Where the item starting at `from` ends: after its `;` or its block.
fn item_end(tokens: &[String], from: usize) -> usize {
    let mut i = from;
    while i < tokens.len() {
        match tokens[i].as_str() {
            ";" => return i + 1,
            "{" => return closing(tokens, i) + 1,
            "(" | "[" => i = closing(tokens, i) + 1,
            _ => i += 1,
        }
    }
    i
}
