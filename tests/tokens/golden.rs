//! Whole models against layers of transformers with reductions written after the papers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fewbit::formats::safetensors;
use fewbit::graph::Model;
use fewbit::runtime::tokens::{Method, Schedule};
use fewbit::runtime::{Session, TOKEN_MAP, Tokens};
use fewbit::tensor::Tensor;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokens").join(name)
}

/// The tensors of a folder's `expected.safetensors`.
pub fn expected(folder: &Path) -> BTreeMap<String, Tensor> {
    let name = &folder.display().to_string();
    let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
    let mut source = bytes.as_slice();
    let header = safetensors::read_header(name, bytes.len() as u64, &mut source).unwrap();
    let one =
        |entry: &safetensors::Entry| (entry.name.clone(), safetensors::read_tensor(name, entry, &mut source).unwrap());
    header.tensors.iter().map(one).collect()
}

fn method(name: &str, word: &str) -> Option<Method> {
    match word {
        "none" => None,
        "tome" => Some(Method::Tome(4)),
        "topk" => Some(Method::TopK(0.6)),
        "evit" => Some(Method::Evit(0.6)),
        _ => {
            let text = std::fs::read_to_string(folder(name).join("schedule.json")).unwrap();
            Some(Method::DiffRate(Schedule::read(&text, "schedule.json").unwrap()))
        }
    }
}

fn check(name: &str, output: &str) {
    let model = Model::open(folder(name)).unwrap();
    let wanted = expected(&folder(name));
    let mut session = Session::new(&model, &super::device()).unwrap();
    for word in ["none", "topk", "evit", "tome", "diffrate", "none"] {
        session.set_tokens(method(name, word).map(|method| Tokens { method, map: true }));
        let outputs = session.run(&[("pixel_values", &wanted["pixel_values"])]).unwrap();
        let outputs: BTreeMap<String, Tensor> = outputs.into_iter().collect();
        if super::on_gpu() {
            let report = session.report().unwrap();
            let strays: Vec<_> = report.nodes.iter().filter(|node| node.place != "gpu").collect();
            assert!(strays.is_empty(), "{name} {word}: on the host ran {strays:#?}");
        }
        let (got, want) = (outputs[output].to_f32().unwrap(), wanted[&format!("{word}.{output}")].to_f32().unwrap());
        assert_eq!(got.len(), want.len(), "{name} {word}");
        let largest = want.iter().fold(0f32, |most, v| most.max(v.abs()));
        for (i, (g, w)) in got.iter().zip(&want).enumerate() {
            assert!((g - w).abs() <= 1e-4 * largest, "{name} {word}: element {i} is {g}, not {w}");
        }
        if word != "none" {
            let map = outputs[TOKEN_MAP].to_i64().unwrap();
            assert_eq!(map, wanted[&format!("{word}.map")].to_i64().unwrap(), "{name} {word}");
        }
    }
}

#[test]
fn class_tokens() {
    check("vit", "logits");
}

/// Pruned and merged tokens come back for whoever looks at all of them.
#[test]
fn states_of_all_tokens() {
    check("dinov2-registers", "last_hidden_state");
}

/// A schedule of pairs alone is ToMe.
#[test]
fn pairs_of_a_schedule() {
    let model = Model::open(folder("vit")).unwrap();
    let pixels = &expected(&folder("vit"))["pixel_values"];
    let mut session = Session::new(&model, &super::device()).unwrap();
    let mut logits = |method: Method| {
        session.set_tokens(Some(Tokens { method, map: false }));
        session.run(&[("pixel_values", pixels)]).unwrap()[0].1.to_f32().unwrap()
    };
    let schedule = Schedule { prune: vec![0; 5], merge: vec![0; 5], pairs: vec![4; 5] };
    assert_eq!(logits(Method::DiffRate(schedule)), logits(Method::Tome(4)));
}
