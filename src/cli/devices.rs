//! `fewbit devices`: where models can run.

use serde_json::json;

use super::global::Global;
use super::print;
use crate::Result;
use crate::runtime::Device;

pub fn run(global: &Global) -> Result<()> {
    let cpu = Device::cpu(global.threads)?;
    let mut rows = vec![("cpu", cpu.describe())];
    #[cfg(feature = "gpu")]
    match Device::gpu() {
        Ok(gpu) => rows.push(("gpu", gpu.describe())),
        Err(error) => eprintln!("no GPU: {error}"),
    }
    if global.json {
        return rows.iter().try_for_each(|(kind, name)| print::json(&json!({"kind": kind, "name": name})));
    }
    let rows: Vec<_> = rows.into_iter().map(|(kind, name)| vec![kind.to_string(), name]).collect();
    print::table(&["kind", "device"], &rows)
}
