//! Puts the nodes of a file's own functions in the place of their calls.

use std::collections::HashMap;

use super::proto::{AttributeProto, FunctionProto, NodeProto};
use crate::{Error, Result};

/// Functions may call each other this deep.
const MAX_DEPTH: usize = 32;

/// Nodes that any file may unfold to; beyond that, in proportion to its length.
const FREE_NODES: usize = 1000;

struct Inliner<'a> {
    file: &'a str,
    /// By domain, name and overload.
    functions: HashMap<[&'a str; 3], &'a FunctionProto>,
    nodes: Vec<NodeProto>,
    max_nodes: usize,
    /// Calls so far: makes the names of each one's values its own.
    calls: usize,
}

/// The nodes, with calls of `functions` replaced by what these consist of. `file_len` bounds how many they may become.
pub fn inline(
    file: &str,
    file_len: usize,
    nodes: Vec<NodeProto>,
    functions: &[FunctionProto],
) -> Result<Vec<NodeProto>> {
    if functions.is_empty() {
        return Ok(nodes);
    }
    let functions = functions.iter().map(|f| (key([&f.domain, &f.name, &f.overload]), f)).collect();
    let max_nodes = FREE_NODES + nodes.len() + file_len / 64;
    let mut inliner = Inliner { file, functions, nodes: Vec::with_capacity(nodes.len()), max_nodes, calls: 0 };
    for node in nodes {
        inliner.add(node, 0)?;
    }
    Ok(inliner.nodes)
}

fn key(parts: [&Option<String>; 3]) -> [&str; 3] {
    parts.map(|part| part.as_deref().unwrap_or(""))
}

impl Inliner<'_> {
    fn add(&mut self, node: NodeProto, depth: usize) -> Result<()> {
        let key = key([&node.domain, &node.op_type, &node.overload]);
        let Some(&function) = self.functions.get(&key) else {
            if self.nodes.len() >= self.max_nodes {
                return Err(Error::format(self.file, "its functions unfold out of proportion to the file"));
            }
            self.nodes.push(node);
            return Ok(());
        };
        self.calls += 1;
        if depth == MAX_DEPTH || self.calls > self.max_nodes {
            return Err(Error::format(self.file, format!("function `{}` calls itself, or too many others", key[1])));
        }
        let call = self.calls;
        let mut names: HashMap<&str, String> = HashMap::new();
        for (formals, actuals) in [(&function.input, &node.input), (&function.output, &node.output)] {
            for (i, formal) in formals.iter().enumerate() {
                // An output that the caller leaves out may still be read inside; an input left out stays so.
                match actuals.get(i).filter(|a| !a.is_empty()) {
                    Some(actual) => names.insert(formal, actual.clone()),
                    None if std::ptr::eq(formals, &function.input) => names.insert(formal, String::new()),
                    None => None,
                };
            }
        }
        let rename = |name: &String| match names.get(name.as_str()) {
            Some(known) => known.clone(),
            None if name.is_empty() => String::new(),
            None => format!("call{call}.{name}"),
        };
        for inner in &function.node {
            let attribute = inner.attribute.iter().filter_map(|a| resolve(a, &node, function)).collect();
            let copy = NodeProto {
                input: inner.input.iter().map(rename).collect(),
                output: inner.output.iter().map(rename).collect(),
                name: inner.name.as_ref().map(|n| format!("call{call}.{n}")),
                op_type: inner.op_type.clone(),
                attribute,
                domain: inner.domain.clone(),
                overload: inner.overload.clone(),
            };
            self.add(copy, depth + 1)?;
        }
        Ok(())
    }
}

/// An attribute inside a function may stand for one of the call, or for its default; `None` if neither is given.
fn resolve(inner: &AttributeProto, call: &NodeProto, function: &FunctionProto) -> Option<AttributeProto> {
    let Some(wanted) = inner.ref_attr_name.as_deref().filter(|n| !n.is_empty()) else { return Some(inner.clone()) };
    let given = call.attribute.iter().chain(&function.attribute_proto);
    let found = given.into_iter().find(|a| a.name.as_deref() == Some(wanted))?;
    Some(AttributeProto { name: inner.name.clone(), ..found.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
        let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        NodeProto { op_type: Some(op.into()), input: list(input), output: list(output), ..NodeProto::default() }
    }

    fn function(name: &str, node: Vec<NodeProto>) -> FunctionProto {
        let (input, output) = (vec!["a".into()], vec!["b".into()]);
        FunctionProto { name: Some(name.into()), input, output, node, ..FunctionProto::default() }
    }

    #[test]
    fn calls_become_their_nodes_with_names_of_their_own() {
        let mut inner = node("Elu", &["a"], &["t"]);
        let reference = Some("slope".to_string());
        inner.attribute =
            vec![AttributeProto { name: Some("alpha".into()), ref_attr_name: reference, ..Default::default() }];
        let twice = function("Twice", vec![node("Once", &["a"], &["m"]), node("Once", &["m"], &["b"])]);
        let once = function("Once", vec![inner, node("Neg", &["t"], &["b"])]);
        let nodes = inline("test", 0, vec![node("Twice", &["x"], &["y"])], &[once, twice]).unwrap();
        let flow: Vec<_> = nodes.iter().map(|n| (n.op_type.as_deref().unwrap(), &*n.input[0], &*n.output[0])).collect();
        let expected = [
            ("Elu", "x", "call2.t"),
            ("Neg", "call2.t", "call1.m"),
            ("Elu", "call1.m", "call3.t"),
            ("Neg", "call3.t", "y"),
        ];
        assert_eq!(flow, expected);
        assert!(nodes[0].attribute.is_empty());
    }

    #[test]
    fn endless_functions_are_refused() {
        let endless = function("F", vec![node("F", &["a"], &["m"]), node("F", &["m"], &["b"])]);
        assert!(inline("test", 0, vec![node("F", &["x"], &["y"])], &[endless]).is_err());
    }
}
