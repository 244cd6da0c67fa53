//! Folders that CTranslate2 writes for Whisper: `model.bin` (binary version 6), `config.json`, `tokenizer.json`.
//!
//! `model.bin`, little-endian: u32 version; name of the model's kind; u32 revision; u32 count of variables, each its name,
//! u8 rank, u32 sizes, u8 type, u32 bytes, the elements; then u32 count of aliases. A name is u16 bytes and that many,
//! the last of them 0. Kinds and names as `WhisperSpec` of CTranslate2 4 has them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::halves;
use super::hf::folder;
use crate::graph::{Model, Weight};
use crate::models::speech::{self, Rules};
use crate::models::whisper::{self, Config};
use crate::tensor::{DType, Tensor, TensorType};
use crate::{Error, Result};

/// The file that makes a folder one of these.
pub const WEIGHTS: &str = "model.bin";

const VERSION: u32 = 6;

/// Memory that a variable costs beside its elements, about.
const VARIABLE_COST: u64 = 400;

const KIND: &str = "WhisperSpec";

/// Activations by number; Whisper has the one with the error function.
const GELU: i64 = 3;

/// Reads a folder.
pub fn open(path: &Path) -> Result<Model> {
    let file = path.join(WEIGHTS);
    let name = file.display().to_string();
    let io = |e| Error::io(&name, e);
    let source = File::open(&file).map_err(io)?;
    let len = source.metadata().map_err(io)?.len();
    let config = folder::json(&path.join("config.json"))?.unwrap_or_default();
    let tokenizer = folder::json(&path.join("tokenizer.json"))?;
    let rules = Rules {
        suppress: speech::ids(&config, "suppress_ids"),
        suppress_begin: speech::ids(&config, "suppress_ids_begin"),
    };
    speech::model(read(&name, len, BufReader::new(source))?, tokenizer, rules)
}

/// The graph of a `model.bin` of `len` bytes.
pub fn read(file: &str, len: u64, source: impl Read) -> Result<crate::graph::Graph> {
    let mut reader = Reader { file, left: len, source };
    let version = reader.u32()?;
    let kind = reader.name()?;
    if version != VERSION || kind != KIND {
        let what = format!("{file}: `{kind}` of version {version}; only {KIND} of version {VERSION} can be read");
        return Err(Error::Unsupported(what));
    }
    reader.u32()?;
    let count = reader.u32()?;
    if u64::from(count) * VARIABLE_COST > 3 * len + (1 << 19) {
        return Err(Error::format(file, format!("has {count} variables, nearly all of them empty")));
    }
    let mut variables = BTreeMap::new();
    for _ in 0..count {
        let (name, tensor) = reader.variable()?;
        if variables.insert(name.clone(), tensor).is_some() {
            return Err(Error::format(file, format!("variable `{name}` occurs twice")));
        }
    }
    let mut variables = Variables { file, variables };
    let config = variables.config()?;
    whisper::build(&config, variables.weights(&config)?)
}

struct Reader<'a, R> {
    file: &'a str,
    left: u64,
    source: R,
}

impl<R: Read> Reader<'_, R> {
    fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        self.claim(out.len() as u64)?;
        self.source.read_exact(out).map_err(|e| Error::io(self.file, e))
    }

    /// Notes that so many bytes will be read.
    fn claim(&mut self, bytes: u64) -> Result<()> {
        let left = self.left.checked_sub(bytes);
        self.left =
            left.ok_or_else(|| Error::format(self.file, "it is cut short; the download is probably incomplete"))?;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<String> {
        let mut bytes = vec![0; u16::from_le_bytes(self.array()?).into()];
        self.fill(&mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::format(self.file, "a name is not UTF-8"))?;
        Ok(text.trim_end_matches('\0').to_string())
    }

    fn variable(&mut self) -> Result<(String, Tensor)> {
        let name = self.name()?;
        let [rank] = self.array()?;
        let shape = (0..rank).map(|_| Ok(self.u32()? as usize)).collect::<Result<Vec<_>>>()?;
        let [kind] = self.array()?;
        let dtype = match kind {
            0 => DType::F32,
            1 => DType::I8,
            2 => DType::I16,
            3 => DType::I32,
            4 => DType::F16,
            5 => DType::BF16,
            other => return Err(Error::Unsupported(format!("{}: `{name}` has element type {other}", self.file))),
        };
        let bytes = self.u32()?;
        let ty = TensorType::new(dtype, shape);
        if ty.bytes() as u64 != u64::from(bytes) {
            let what = format!("variable `{name}` of shape {:?} needs {} bytes, but has {bytes}", ty.shape, ty.bytes());
            return Err(Error::format(self.file, what));
        }
        self.claim(bytes.into())?;
        let mut tensor = Tensor::zeros(ty)?;
        self.source.read_exact(tensor.bytes_mut()).map_err(|e| Error::io(self.file, e))?;
        Ok((name, tensor))
    }
}

/// The variables of a file, which are taken out one by one.
struct Variables<'a> {
    file: &'a str,
    variables: BTreeMap<String, Tensor>,
}

impl Variables<'_> {
    fn config(&self) -> Result<Config> {
        for (name, want) in [
            ("decoder/activation", GELU),
            ("decoder/pre_norm", 1),
            ("decoder/alibi", 0),
            ("decoder/scale_embeddings", 0),
            ("decoder/start_from_zero_embedding", 0),
        ] {
            if let Some(found) = self.number(name)?
                && found != want
            {
                return Err(Error::Unsupported(format!("{}: `{name}` is {found}, for Whisper {want}", self.file)));
            }
        }
        let heads = |part: &str| {
            let found = self.number(&format!("{part}/num_heads"))?.and_then(|n| usize::try_from(n).ok());
            found.ok_or_else(|| {
                Error::format(self.file, format!("`{part}/num_heads` is missing or not what it should be"))
            })
        };
        let layers = |part: &str| {
            (0..).take_while(|i| self.variables.contains_key(&format!("{part}/layer_{i}/ffn/linear_0/weight"))).count()
        };
        Ok(Config {
            file: self.file.into(),
            encoder_layers: layers("encoder"),
            encoder_heads: heads("encoder")?,
            decoder_layers: layers("decoder"),
            decoder_heads: heads("decoder")?,
        })
    }

    fn number(&self, name: &str) -> Result<Option<i64>> {
        let Some(tensor) = self.variables.get(name) else { return Ok(None) };
        Ok(tensor.to_i64()?.first().copied())
    }

    fn take(&mut self, name: &str) -> Result<Tensor> {
        let tensor = self.variables.remove(name);
        let tensor = tensor.ok_or_else(|| Error::format(self.file, format!("variable `{name}` is missing")))?;
        match tensor.dtype().is_float() {
            true => Ok(tensor),
            false => Err(Error::Unsupported(format!(
                "{}: `{name}` is stored in {}; convert the model with float16 weights",
                self.file,
                tensor.dtype().name()
            ))),
        }
    }

    /// Weights under the names that the graph knows.
    fn weights(&mut self, config: &Config) -> Result<BTreeMap<String, Weight>> {
        let mut weights = Weights::new();
        for conv in ["conv1", "conv2"] {
            self.pair(&mut weights, &format!("encoder/{conv}"), &format!("model.encoder.{conv}"))?;
        }
        for part in ["encoder", "decoder"] {
            let positions = self.take(&format!("{part}/position_encodings/encodings"))?;
            weights.insert(format!("model.{part}.embed_positions.weight"), halves::weight(positions)?);
            self.norm(&mut weights, &format!("{part}/layer_norm"), &format!("model.{part}.layer_norm"))?;
        }
        let embedding = self.take("decoder/embeddings/weight")?;
        weights.insert("model.decoder.embed_tokens.weight".into(), halves::weight(embedding)?);
        for i in 0..config.encoder_layers {
            self.layer(&mut weights, &format!("encoder/layer_{i}"), &format!("model.encoder.layers.{i}"))?;
        }
        for i in 0..config.decoder_layers {
            let (from, to) = (format!("decoder/layer_{i}"), format!("model.decoder.layers.{i}"));
            self.layer(&mut weights, &from, &to)?;
            let (from, to) = (format!("{from}/attention"), format!("{to}.encoder_attn"));
            self.norm(&mut weights, &format!("{from}/layer_norm"), &format!("{to}_layer_norm"))?;
            self.rows(&mut weights, &format!("{from}/linear_0"), &to, &["q_proj"])?;
            self.rows(&mut weights, &format!("{from}/linear_1"), &to, &["k_proj", "v_proj"])?;
            self.rows(&mut weights, &format!("{from}/linear_2"), &to, &["out_proj"])?;
        }
        Ok(weights)
    }

    /// Self-attention and feed-forward, which both stacks have.
    fn layer(&mut self, weights: &mut Weights, from: &str, to: &str) -> Result<()> {
        let attention = format!("{to}.self_attn");
        self.norm(weights, &format!("{from}/self_attention/layer_norm"), &format!("{attention}_layer_norm"))?;
        let fused = ["q_proj", "k_proj", "v_proj"];
        self.rows(weights, &format!("{from}/self_attention/linear_0"), &attention, &fused)?;
        self.rows(weights, &format!("{from}/self_attention/linear_1"), &attention, &["out_proj"])?;
        self.norm(weights, &format!("{from}/ffn/layer_norm"), &format!("{to}.final_layer_norm"))?;
        self.rows(weights, &format!("{from}/ffn/linear_0"), to, &["fc1"])?;
        self.rows(weights, &format!("{from}/ffn/linear_1"), to, &["fc2"])
    }

    fn pair(&mut self, weights: &mut Weights, from: &str, to: &str) -> Result<()> {
        for part in ["weight", "bias"] {
            weights.insert(format!("{to}.{part}"), halves::weight(self.take(&format!("{from}/{part}"))?)?);
        }
        Ok(())
    }

    fn norm(&mut self, weights: &mut Weights, from: &str, to: &str) -> Result<()> {
        for (part, name) in [("gamma", "weight"), ("beta", "bias")] {
            weights.insert(format!("{to}.{name}"), halves::weight(self.take(&format!("{from}/{part}"))?)?);
        }
        Ok(())
    }

    /// A product whose outputs are those of `parts`, one behind the other.
    fn rows(&mut self, weights: &mut Weights, from: &str, to: &str, parts: &[&str]) -> Result<()> {
        for kind in ["weight", "bias"] {
            let whole = self.take(&format!("{from}/{kind}"))?;
            let mut shape = whole.shape().to_vec();
            let rows = shape.first().copied().unwrap_or(0);
            if !rows.is_multiple_of(parts.len()) {
                return Err(Error::format(self.file, format!("`{from}/{kind}` has {rows} rows for {parts:?}")));
            }
            if let Some(rows) = shape.first_mut() {
                *rows /= parts.len();
            }
            let ty = TensorType::new(whole.dtype(), shape);
            for (i, part) in parts.iter().enumerate() {
                let tensor = Tensor::from_bytes(ty.clone(), &whole.bytes()[i * ty.bytes()..][..ty.bytes()])?;
                // Keys have no bias; fused with queries and values they carry zeros.
                if kind == "bias" && *part == "k_proj" && tensor.to_f32()?.iter().all(|&v| v == 0.0) {
                    continue;
                }
                weights.insert(format!("{to}.{part}.{kind}"), halves::weight(tensor)?);
            }
        }
        Ok(())
    }
}

type Weights = BTreeMap<String, Weight>;
