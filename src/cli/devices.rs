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
    #[cfg_attr(not(feature = "gpu"), allow(unused_mut))]
    let mut rows = vec![vec!["cpu".to_string(), format!("{threads} threads"), String::new()]];
    #[cfg(feature = "gpu")]
    for adapter in pollster::block_on(crate::gpu::adapter::adapters()) {
        let check = verdict(&adapter.name);
        if global.json {
            let mut report = json!({"kind": "gpu", "self_check": check});
            if let (Some(all), Ok(serde_json::Value::Object(fields))) =
                (report.as_object_mut(), serde_json::to_value(&adapter))
            {
                all.extend(fields);
            }
            print::json(&report)?;
        }
        let software = if adapter.software { ", software" } else { "" };
        rows.push(vec!["gpu".into(), adapter.name, format!("{}{software}; {}", adapter.backend, words(&check))]);
    }
    if global.json { Ok(()) } else { print::table(&["kind", "device", "backend"], &rows) }
}

/// What the self-check says of an adapter: the operators that agree with the CPU, those that differ and why, or why the
/// adapter cannot be used at all.
#[cfg(feature = "gpu")]
fn verdict(name: &str) -> serde_json::Value {
    use crate::gpu::{GpuDevice, selfcheck};
    let checked = pollster::block_on(async {
        let device = std::sync::Arc::new(GpuDevice::with_adapter(Some(name)).await?);
        selfcheck::self_check(&device).await
    });
    match checked {
        Err(e) => json!({"passed": [], "failed": [], "error": e.to_string()}),
        Ok(verdicts) => {
            let (passed, failed): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(|v| v.passed);
            let passed: Vec<_> = passed.into_iter().map(|v| v.operator).collect();
            json!({"passed": passed, "failed": failed})
        }
    }
}

#[cfg(feature = "gpu")]
fn words(check: &serde_json::Value) -> String {
    let count = |key: &str| check[key].as_array().map_or(0, Vec::len);
    match check["error"].as_str() {
        Some(error) => format!("unusable: {error}"),
        None => format!("self-check: {} families pass, {} fail", count("passed"), count("failed")),
    }
}
