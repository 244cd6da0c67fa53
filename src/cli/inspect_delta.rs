//! `fewbit inspect` of a delta.

use std::path::Path;

use serde_json::{Value, json};

use super::global::Global;
use super::print;
use crate::deltas::Change;
use crate::formats::delta;
use crate::{Error, Result};

pub fn run(global: &Global, path: &Path) -> Result<()> {
    let delta = delta::open(path)?;
    let bytes = std::fs::metadata(path).map_err(|e| Error::io(path.display().to_string(), e))?.len();
    let changed: usize = delta.changes.values().map(Change::count).sum();
    if global.json {
        let tensors = delta.changes.iter().map(|(name, change)| {
            json!({
                "name": name,
                "kind": change.kind(),
                "shape": change.shape(),
                "changed": change.count(),
                "bytes": change.bytes(),
            })
        });
        let tensors: Vec<Value> = tensors.collect();
        return print::json(&json!({"base": delta.base, "bytes": bytes, "changed": changed, "tensors": tensors}));
    }
    let rows: Vec<_> = delta
        .changes
        .iter()
        .map(|(name, change)| {
            let numbers = [change.count(), change.bytes()].map(|number| number.to_string());
            let row = [name.clone(), format!("{:?}", change.shape()), change.kind().into()];
            row.into_iter().chain(numbers).collect()
        })
        .collect();
    print::table(&["tensor", "shape", "kind", "changed", "bytes"], &rows)?;
    print::line("")?;
    print::line(&format!("a delta of the model with SHA-256 {}", delta.base.as_deref().unwrap_or("unknown")))?;
    print::line(&format!("{changed} values in {} tensors, {bytes} bytes", delta.changes.len()))
}
