//! `fewbit conformance`: the public ONNX test cases.

use std::path::PathBuf;

use clap::Args;

use super::global::Global;
use super::print;
use crate::Result;
use crate::tasks::conformance;

#[derive(Args)]
pub struct Options {
    /// Folder of CASE/model.onnx with CASE/test_data_set_*
    folder: PathBuf,
    /// Only cases whose name contains this
    #[arg(long, default_value = "", value_name = "TEXT")]
    filter: String,
}

pub fn run(global: &Global, options: &Options) -> Result<()> {
    let device = global.device()?;
    let bar = print::progress("cases", 0);
    let summary = conformance::run(&options.folder, &options.filter, &device, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if global.json {
        return print::json(&summary);
    }
    for failed in &summary.failed {
        print::line(&format!("failed       {}: {}", failed.case, failed.why))?;
    }
    for unsupported in &summary.unsupported {
        print::line(&format!("unsupported  {}: {}", unsupported.case, unsupported.why))?;
    }
    let (passed, failed, unsupported) = (summary.passed.len(), summary.failed.len(), summary.unsupported.len());
    print::line(&format!("{passed} passed, {failed} failed, {unsupported} unsupported on {}", device.describe()))
}
