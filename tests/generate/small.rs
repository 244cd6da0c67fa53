//! Small random language models with tokenizers of their own, for tests that need no trained one.

use std::path::Path;

use fewbit::formats::gguf;
use fewbit::graph::Model;
use fewbit::models::llama::{self, Config, Gate};
use fewbit::models::rope::{Rope, Scaling};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::weights::{Sizes, random_weights};

/// A decoder of `layers` layers, whose logits spread over a few units.
pub fn decoder(seed: u64, layers: usize, vocabulary: usize) -> Model {
    let config = Config {
        file: "test".into(),
        layers,
        heads: 4,
        kv_heads: 2,
        epsilon: 1e-5,
        rope: Rope { theta: 100.0, dims: 6, interleaved: true, scaling: Scaling::None },
        local_rope: None,
        scale: None,
        window: None,
        gate: Gate::Silu,
        embedding_scale: 1.0,
    };
    let sizes = Sizes { hidden: 20, head: 6, inner: 28, vocabulary, biases: false, tied: false, norms: 0 };
    let weights = random_weights(&config, &sizes, &mut StdRng::seed_from_u64(seed));
    Model { graph: llama::build(&config, llama::gguf_names, weights).unwrap(), ..Model::default() }
}

/// A decoder whose words are the first letters: `vocabulary` of up to 52. No token ends texts.
pub fn letters(seed: u64, layers: usize, vocabulary: usize) -> Model {
    let letters = ('a'..='z').chain('A'..='Z').take(vocabulary).zip(0u32..);
    let words: serde_json::Map<_, _> = letters.map(|(letter, id)| (letter.to_string(), id.into())).collect();
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [], "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": words, "merges": [], "dropout": null, "unk_token": null,
                  "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false},
    });
    let mut model = decoder(seed, layers, vocabulary);
    model.manifest.extra.insert("tokenizer".into(), tokenizer);
    model
}

/// A decoder with the vocabulary of `tests/data/text/bytes.gguf`.
pub fn bytes(seed: u64) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/text/bytes.gguf");
    let metadata = gguf::metadata("test", &std::fs::read(path).unwrap().into()).unwrap();
    let mut model = decoder(seed, 1, metadata.array("tokenizer.ggml.tokens").unwrap().len());
    model.manifest.extra.insert("gguf_metadata".into(), metadata.to_json().unwrap());
    model
}
