//! Writes weights as CTranslate2 stores them: projections of the same input fused, everything in one file.

use std::collections::BTreeMap;

use fewbit::models::whisper::Config;
use fewbit::tensor::{DType, Tensor};

struct File(Vec<u8>, u32);

impl File {
    fn name(&mut self, name: &str) {
        self.0.extend((name.len() as u16 + 1).to_le_bytes());
        self.0.extend(name.as_bytes());
        self.0.push(0);
    }

    fn variable(&mut self, name: &str, shape: &[usize], kind: u8, bytes: &[u8]) {
        self.name(name);
        self.0.push(shape.len() as u8);
        shape.iter().for_each(|&size| self.0.extend((size as u32).to_le_bytes()));
        self.0.push(kind);
        self.0.extend((bytes.len() as u32).to_le_bytes());
        self.0.extend(bytes);
        self.1 += 1;
    }

    /// Tensors one behind the other, in their rows.
    fn tensor(&mut self, name: &str, parts: &[Tensor]) {
        let mut shape = parts[0].shape().to_vec();
        shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes().to_vec()).collect();
        let kind = if parts[0].dtype() == DType::F16 { 4 } else { 0 };
        self.variable(name, &shape, kind, &bytes);
    }
}

/// `model.bin` of version 6; weights of one type, under Hugging Face's names.
pub fn model_bin(config: &Config, weights: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let get = |name: String| weights[&name].clone();
    // Keys have no bias: fused with others they get zeros.
    let bias = |name: String| {
        let like = weights[&name.replace("k_proj.bias", "q_proj.bias")].ty().clone();
        weights.get(&name).cloned().unwrap_or_else(|| Tensor::zeros(like).unwrap())
    };
    let mut file = File(Vec::new(), 0);
    for (part, heads) in [("encoder", config.encoder_heads), ("decoder", config.decoder_heads)] {
        file.variable(&format!("{part}/num_heads"), &[], 2, &(heads as i16).to_le_bytes());
        let positions = get(format!("model.{part}.embed_positions.weight"));
        file.tensor(&format!("{part}/position_encodings/encodings"), &[positions]);
    }
    file.variable("decoder/activation", &[], 1, &[3]);
    file.variable("decoder/alignment_heads", &[], 2, &[1, 0]);
    file.tensor("decoder/embeddings/weight", &[get("model.decoder.embed_tokens.weight".into())]);
    for conv in ["conv1", "conv2"] {
        for part in ["weight", "bias"] {
            file.tensor(&format!("encoder/{conv}/{part}"), &[get(format!("model.encoder.{conv}.{part}"))]);
        }
    }
    let norm = |file: &mut File, to: String, from: String| {
        file.tensor(&format!("{to}/gamma"), &[get(format!("{from}.weight"))]);
        file.tensor(&format!("{to}/beta"), &[get(format!("{from}.bias"))]);
    };
    let linear = |file: &mut File, to: String, from: String, parts: &[&str]| {
        let weights = parts.iter().map(|part| get(format!("{from}.{part}.weight")));
        file.tensor(&format!("{to}/weight"), &weights.collect::<Vec<_>>());
        let biases = parts.iter().map(|part| bias(format!("{from}.{part}.bias")));
        file.tensor(&format!("{to}/bias"), &biases.collect::<Vec<_>>());
    };
    for (part, layers) in [("encoder", config.encoder_layers), ("decoder", config.decoder_layers)] {
        norm(&mut file, format!("{part}/layer_norm"), format!("model.{part}.layer_norm"));
        for i in 0..layers {
            let (to, from) = (format!("{part}/layer_{i}"), format!("model.{part}.layers.{i}"));
            norm(&mut file, format!("{to}/ffn/layer_norm"), format!("{from}.final_layer_norm"));
            linear(&mut file, format!("{to}/ffn/linear_0"), from.clone(), &["fc1"]);
            linear(&mut file, format!("{to}/ffn/linear_1"), from.clone(), &["fc2"]);
            let attention = format!("{from}.self_attn");
            norm(&mut file, format!("{to}/self_attention/layer_norm"), format!("{attention}_layer_norm"));
            let fused = ["q_proj", "k_proj", "v_proj"];
            linear(&mut file, format!("{to}/self_attention/linear_0"), attention.clone(), &fused);
            linear(&mut file, format!("{to}/self_attention/linear_1"), attention, &["out_proj"]);
            if part == "decoder" {
                let attention = format!("{from}.encoder_attn");
                norm(&mut file, format!("{to}/attention/layer_norm"), format!("{attention}_layer_norm"));
                linear(&mut file, format!("{to}/attention/linear_0"), attention.clone(), &["q_proj"]);
                linear(&mut file, format!("{to}/attention/linear_1"), attention.clone(), &["k_proj", "v_proj"]);
                linear(&mut file, format!("{to}/attention/linear_2"), attention, &["out_proj"]);
            }
        }
    }
    let mut whole = File(6u32.to_le_bytes().to_vec(), 0);
    whole.name("WhisperSpec");
    whole.0.extend(3u32.to_le_bytes());
    whole.0.extend(file.1.to_le_bytes());
    whole.0.extend(file.0);
    whole.0.extend(0u32.to_le_bytes());
    whole.0
}
