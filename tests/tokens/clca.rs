//! CLCA against a reference in float64 (pkg-scripts/clca_cases.py): which tokens stay, and logits.

use std::path::PathBuf;

use fewbit::formats::hf;
use fewbit::graph::{Model, ValueId};
use fewbit::runtime::tokens::Method;
use fewbit::runtime::{Session, Tokens};
use fewbit::tensor::Tensor;

const LAYERS: [usize; 3] = [1, 3, 5];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/clca").join(name)
}

/// The model with `to` for `from` in its configuration.
fn model(name: &str, from: &str, to: &str) -> fewbit::Result<Model> {
    let config = std::fs::read_to_string(folder(name).join("config.json")).unwrap();
    assert!(config.contains(from), "{config}");
    let weights = std::fs::read(folder(name).join("model.safetensors")).unwrap();
    hf::from_bytes(name, config.replace(from, to).as_bytes(), &weights)
}

/// Tokens that stay but the class token, by rank.
fn kept(ranks: &Tensor, count: usize) -> Vec<i64> {
    let tokens = ranks.shape()[1];
    let mut kept = vec![-1; ranks.shape()[0] * count];
    for (i, &rank) in ranks.to_i64().unwrap().iter().enumerate() {
        let (picture, token) = (i / tokens, i % tokens);
        if (1..=count as i64).contains(&rank) {
            kept[picture * count + rank as usize - 1] = token as i64;
        }
    }
    kept
}

fn check(name: &str) {
    let wanted = super::golden::expected(&folder(name));
    for rate in ["0.1", "0.55", "1.0"] {
        let mut model = model(name, r#""keep_rate": 0.1"#, &format!(r#""keep_rate": {rate}"#)).unwrap();
        let ranks: Vec<(usize, ValueId)> = LAYERS
            .iter()
            .filter_map(|&layer| Some((layer, model.graph.find(&format!("blocks.{layer}.reduce.ranks"))?)))
            .collect();
        assert_eq!(ranks.len(), if rate == "1.0" { 0 } else { 3 }, "{name} {rate}");
        model.graph.outputs.extend(ranks.iter().map(|&(_, id)| id));
        let mut session = Session::new(&model, &super::device()).unwrap();
        // The second run finds what the first left in its buffers.
        session.run(&[("pixel_values", &wanted["pixel_values"])]).unwrap();
        let outputs = session.run(&[("pixel_values", &wanted["pixel_values"])]).unwrap();
        if super::on_gpu() {
            let report = session.report().unwrap();
            let strays: Vec<_> = report.nodes.iter().filter(|node| node.place != "gpu").collect();
            assert!(strays.is_empty(), "{name} {rate}: on the host ran {strays:#?}");
        }
        for ((layer, _), (_, ranks)) in ranks.iter().zip(&outputs[1..]) {
            let want = &wanted[&format!("{rate}.kept.{layer}")];
            assert_eq!(kept(ranks, want.shape()[1]), want.to_i64().unwrap(), "{name} {rate}, layer {layer}");
        }
        let (got, want) = (outputs[0].1.to_f32().unwrap(), wanted[&format!("{rate}.logits")].to_f32().unwrap());
        assert_eq!(got.len(), want.len(), "{name} {rate}");
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            assert!((g - w).abs() <= 1e-4, "{name} {rate}: logit {i} is {g}, not {w}");
        }
    }
}

#[test]
fn one_carrier() {
    check("one-carrier");
}

/// Also: a norm before the blocks, positions of patches alone, layer scale.
#[test]
fn two_carriers() {
    check("two-carriers");
}

/// One rate for each layer that reduces; the share of tokens is of those that come.
#[test]
fn rates_of_layers() {
    let rates = model("one-carrier", "0.1", "[0.55, 1.0, 0.3]").unwrap();
    let kept = |layer: usize| {
        let name = format!("blocks.{layer}.reduce.rows");
        rates.graph.nodes.iter().find(|node| node.name == name).map(|node| node.attrs.int_or("keep", 0))
    };
    // Of 36, 20 stay and one is fused; one was cached before. In layer 3 two are appended.
    assert_eq!([1, 3, 5].map(kept), [Some(21), None, Some(9)]);
}

#[test]
fn broken_configurations_are_refused() {
    for (from, to, said) in [
        (r#""keep_rate": 0.1"#, r#""keep_rate": 0"#, "`keep_rate`"),
        (r#""keep_rate": 0.1"#, r#""keep_rate": 1.5"#, "`keep_rate`"),
        (r#""keep_rate": 0.1"#, r#""keep_rate": []"#, "`keep_rate`"),
        (r#""keep_rate": 0.1"#, r#""keep_rate": [0.1, 0.2]"#, "`keep_rate`"),
        ("[1, 3, 5]", "[]", "`reduction_loc`"),
        ("[1, 3, 5]", "[5, 3, 1]", "`reduction_loc`"),
        ("[1, 3, 5]", "[1, 3, 7]", "`reduction_loc`"),
        ("[1, 3, 5]", "[1, 3]", "4 class tokens, but there are 3"),
        ("[28, 20]", "[3, 20]", "smaller than a patch"),
        ("[28, 20]", "[32, 20]", "35 rows"),
        (r#""num_attention_heads": 2"#, r#""num_attention_heads": 5"#, "5 heads"),
        (r#""num_hidden_layers": 7"#, r#""num_hidden_layers": 8"#, "blocks.7.norm1"),
        (r#""keep_rate""#, r#""clc_include_gap": true, "keep_rate""#, "clc_include_gap"),
    ] {
        let error = model("two-carriers", from, to).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn nothing_reduces_it_twice() {
    let model = model("one-carrier", "0.1", "0.1").unwrap();
    let mut session = Session::new(&model, &super::device()).unwrap();
    session.set_tokens(Some(Tokens { method: Method::Tome(3), map: false }));
    let pixels = &super::golden::expected(&folder("one-carrier"))["pixel_values"];
    let error = session.run(&[("pixel_values", pixels)]).unwrap_err().to_string();
    assert!(error.contains("by itself"), "{error}");
}
