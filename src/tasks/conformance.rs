//! Runs cases in the public ONNX layout: `DIR/CASE/model.onnx` with `test_data_set_*/input_*.pb` and `output_*.pb`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::compare::difference;
use crate::formats::onnx;
use crate::graph::Model;
use crate::runtime::{Device, Session};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Verdicts by case, each list in the order of the names.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub passed: Vec<String>,
    pub failed: Vec<Failed>,
    pub unsupported: Vec<Unsupported>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    pub case: String,
    pub why: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Unsupported {
    pub case: String,
    /// The operator that is missing, or the operators of a model that needs a missing type or option.
    pub operator: String,
    pub why: String,
}

/// Runs every case below `folder` whose name contains `filter`. `progress(done, all)` is called after each.
pub fn run(folder: &Path, filter: &str, device: &Device, mut progress: impl FnMut(usize, usize)) -> Result<Summary> {
    let cases = cases(folder, filter)?;
    // A case that panics is reported as failed; its message must not appear among the results.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut summary = Summary::default();
    for (i, case) in cases.iter().enumerate() {
        judge(case, device, &mut summary);
        progress(i + 1, cases.len());
    }
    std::panic::set_hook(hook);
    Ok(summary)
}

fn cases(folder: &Path, filter: &str) -> Result<Vec<PathBuf>> {
    let mut cases: Vec<PathBuf> =
        entries(folder)?.into_iter().filter(|c| name(c).contains(filter) && c.join("model.onnx").is_file()).collect();
    cases.sort();
    if cases.is_empty() {
        return Err(Error::Usage(format!("{}: no case here; expected CASE/model.onnx", folder.display())));
    }
    Ok(cases)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| Error::io(folder.display().to_string(), e);
    std::fs::read_dir(folder).map_err(io)?.map(|entry| Ok(entry.map_err(io)?.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn judge(folder: &Path, device: &Device, summary: &mut Summary) {
    let case = name(folder);
    let mut operators = String::new();
    let verdict = catch_unwind(AssertUnwindSafe(|| run_case(folder, device, &mut operators)));
    match verdict {
        Ok(Ok(None)) => summary.passed.push(case),
        Ok(Ok(Some(why))) => summary.failed.push(Failed { case, why }),
        Ok(Err(Error::UnknownOperator(operator))) => {
            let why = Error::UnknownOperator(operator.clone()).to_string();
            summary.unsupported.push(Unsupported { case, operator, why });
        }
        Ok(Err(Error::Unsupported(why))) => {
            summary.unsupported.push(Unsupported { case, operator: operators, why });
        }
        Ok(Err(error)) => summary.failed.push(Failed { case, why: error.to_string() }),
        Err(panic) => summary.failed.push(Failed { case, why: panic_message(panic.as_ref()) }),
    }
}

/// `None` if every data set gives what it should, else the first difference. Names the model's operators on the way.
fn run_case(folder: &Path, device: &Device, operators: &mut String) -> Result<Option<String>> {
    let file = folder.join("model.onnx");
    let name_in_messages = file.display().to_string();
    let bytes = std::fs::read(&file).map_err(|e| Error::io(&name_in_messages, e))?;
    *operators = onnx::operators(&name_in_messages, &bytes)?.join(", ");
    let model = Model::open(&file)?;

    let mut session = Session::new(&model, device)?;
    let mut sets: Vec<PathBuf> =
        entries(folder)?.into_iter().filter(|p| name(p).starts_with("test_data_set_")).collect();
    sets.sort();
    for set in sets {
        let inputs = tensors(&set, "input")?;
        let expected = tensors(&set, "output")?;
        if inputs.len() != model.graph.inputs.len() {
            let (have, want) = (inputs.len(), model.graph.inputs.len());
            return Ok(Some(format!("{}: {have} input files for {want} inputs", name(&set))));
        }
        let ids = model.graph.inputs.iter().map(|&id| model.graph.value(id).name.as_str());
        let named: Vec<(&str, &Tensor)> = ids.zip(&inputs).collect();
        let outputs = session.run(&named)?;
        if outputs.len() != expected.len() {
            return Ok(Some(format!("{} outputs, expected {}", outputs.len(), expected.len())));
        }
        for ((output, got), expected) in outputs.iter().zip(&expected) {
            if let Some(what) = difference(got, expected)? {
                return Ok(Some(format!("output `{output}`: {what}")));
            }
        }
    }
    Ok(None)
}

/// `PREFIX_0.pb`, `PREFIX_1.pb`, … of one data set.
fn tensors(set: &Path, prefix: &str) -> Result<Vec<Tensor>> {
    let mut tensors = Vec::new();
    loop {
        let file = set.join(format!("{prefix}_{}.pb", tensors.len()));
        if !file.is_file() {
            return Ok(tensors);
        }
        let bytes = std::fs::read(&file).map_err(|e| Error::io(file.display().to_string(), e))?;
        tensors.push(onnx::read_tensor(&bytes)?);
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}
