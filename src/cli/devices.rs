//! `fewbit devices`: where models can run.

use serde_json::json;

use super::global::Global;
use super::print;
use crate::Result;
use crate::runtime::Device;

pub fn run(global: &Global) -> Result<()> {
    let cpu = Device::cpu(global.threads)?;
    let threads = cpu.threads().count();
    if global.json {
        print::json(&json!({"kind": "cpu", "name": cpu.describe(), "threads": threads}))?;
    }
    let mut rows = vec![vec!["cpu".to_string(), format!("{threads} threads"), String::new()]];
    #[cfg(feature = "gpu")]
    for adapter in pollster::block_on(crate::gpu::adapter::adapters()) {
        if global.json {
            let mut report = json!({"kind": "gpu"});
            if let (Some(all), Ok(serde_json::Value::Object(fields))) =
                (report.as_object_mut(), serde_json::to_value(&adapter))
            {
                all.extend(fields);
            }
            print::json(&report)?;
        }
        let software = if adapter.software { ", software" } else { "" };
        rows.push(vec!["gpu".into(), adapter.name, format!("{}{software}", adapter.backend)]);
    }
    if global.json { Ok(()) } else { print::table(&["kind", "device", "backend"], &rows) }
}
