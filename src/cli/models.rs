//! Finding and writing models, and inputs to try them on.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::graph::{Dim, ImageInput, Manifest, Model, Weight};
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

/// Reads any model file.
pub fn open(path: &Path) -> Result<Model> {
    Model::open(path)
}

/// Adds to what a file says about its model.
#[derive(Args)]
pub struct ManifestOption {
    /// JSON object with `task`, `labels`, `image`, `license`, `provenance`, … to store in the output
    #[arg(long, value_name = "FILE.json")]
    manifest: Option<PathBuf>,
}

impl ManifestOption {
    /// Fields of the file replace those of the model.
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        let Some(path) = &self.manifest else { return Ok(()) };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(&name, e))?;
        let broken = |e: serde_json::Error| Error::format(&name, format!("not a manifest: {e}"));
        let given: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).map_err(broken)?;
        let mut whole = serde_json::to_value(&model.manifest).map_err(broken)?;
        if let Some(object) = whole.as_object_mut() {
            object.extend(given);
        }
        model.manifest = serde_json::from_value::<Manifest>(whole).map_err(broken)?;
        Ok(())
    }
}

/// Writes a container and returns its bytes.
pub fn save(model: &Model, path: &Path) -> Result<u64> {
    model.save(path)?;
    std::fs::metadata(path).map(|m| m.len()).map_err(|e| Error::io(path.display().to_string(), e))
}

/// Elements of all floating-point constants.
pub fn parameters(model: &Model) -> usize {
    floats(model).map(|w| w.ty().len()).sum()
}

/// Bits of all floating-point constants per element: codes, tables, scales and what stayed dense.
pub fn bits_per_weight(model: &Model) -> f64 {
    let bytes: usize = floats(model).map(Weight::bytes).sum();
    8.0 * bytes as f64 / parameters(model).max(1) as f64
}

fn floats(model: &Model) -> impl Iterator<Item = &Weight> {
    model.graph.weights.values().filter(|w| w.ty().dtype.is_float())
}

/// How a photo becomes the model's input.
pub fn photo_input(model: &Model) -> Result<&ImageInput> {
    model.manifest.image.as_ref().ok_or_else(|| {
        let what = "photos need a model that says how a photo becomes its input";
        Error::Usage(format!(
            "{what}; give `image` with `--manifest FILE` to `convert` or `compress`, or give .npy files"
        ))
    })
}

/// The files of a folder, in the order of their names.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| Error::io(folder.display().to_string(), e);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(io)?
        .map(|entry| entry.map(|e| e.path()).map_err(io))
        .collect::<Result<_>>()?;
    files.retain(|f| f.is_file());
    files.sort();
    Ok(files)
}

/// Sizes given by `--dim NAME=VALUE`.
pub fn parse_dim(text: &str) -> std::result::Result<(String, usize), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = value.parse().map_err(|_| format!("`{value}` is not a size"))?;
    Ok((name.to_string(), value))
}

/// A random tensor for each input: floats in −1..1, bools, and integers 0 or 1 (valid as indices, masks and token ids).
/// Named sizes come from `dims`, else from `default_size`.
pub fn random_inputs(model: &Model, dims: &[(String, usize)]) -> Result<Vec<(String, Tensor)>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let graph = &model.graph;
    for (name, _) in dims {
        let used = |d: &Dim| matches!(d, Dim::Symbol(s) if s == name);
        if !graph.inputs.iter().any(|&id| graph.value(id).dims.iter().flatten().any(used)) {
            return Err(Error::Usage(format!("--dim {name}: no input of the model has a dimension of this name")));
        }
    }
    let inputs = graph.inputs.iter().map(|&id| {
        let value = graph.value(id);
        let declared = value.dims.as_ref().ok_or_else(|| {
            Error::Unsupported(format!("input `{}` does not declare its shape; use `run` with a file", value.name))
        })?;
        let shape: Vec<usize> = declared
            .iter()
            .enumerate()
            .map(|(axis, dim)| match dim {
                Dim::Known(n) => *n,
                Dim::Symbol(s) => {
                    dims.iter().find(|(name, _)| name == s).map_or(default_size(axis, declared.len()), |(_, n)| *n)
                }
            })
            .collect();
        let dtype = value.dtype.unwrap_or(DType::F32);
        Ok((value.name.clone(), random.tensor(dtype, &shape)?))
    });
    inputs.collect()
}

/// A batch of one; images (rank 4) of 224×224; sequences of 128.
fn default_size(axis: usize, rank: usize) -> usize {
    match (axis, rank) {
        (0, _) => 1,
        (2 | 3, 4) => 224,
        (1, 4) => 3,
        _ => 128,
    }
}

/// Numbers for timing: the same on every run (splitmix64, Steele et al. 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in −1..1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn tensor(&mut self, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let count = crate::tensor::element_count(shape)?;
        let floats = |r: &mut Self| (0..count).map(|_| r.float()).collect::<Vec<f32>>();
        match dtype {
            DType::F32 => Tensor::new(shape, &floats(self)),
            DType::F64 => Tensor::new(shape, &floats(self).iter().map(|&v| f64::from(v)).collect::<Vec<_>>()),
            DType::F16 => Tensor::new(shape, &floats(self).iter().map(|&v| half::f16::from_f32(v)).collect::<Vec<_>>()),
            DType::BF16 => {
                Tensor::new(shape, &floats(self).iter().map(|&v| half::bf16::from_f32(v)).collect::<Vec<_>>())
            }
            _ => {
                let mut tensor = Tensor::zeros(crate::tensor::TensorType::new(dtype, shape))?;
                for element in tensor.bytes_mut().chunks_exact_mut(dtype.size()) {
                    element[0] = (self.next() & 1) as u8;
                }
                Ok(tensor)
            }
        }
    }
}
