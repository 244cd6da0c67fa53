//! Reductions that do not fit their model.

use fewbit::graph::Model;
use fewbit::runtime::tokens::{Method, Schedule};
use fewbit::runtime::{Device, Session, TOKEN_MAP, Tokens};
use fewbit::tensor::Tensor;

fn model(name: &str) -> Model {
    Model::open(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn pixels(height: usize, width: usize, value: impl Fn(usize) -> f32) -> Tensor {
    let values: Vec<f32> = (0..3 * height * width).map(value).collect();
    Tensor::new([1, 3, height, width], &values).unwrap()
}

#[track_caller]
fn refused(model: &Model, input: &str, pixels: &Tensor, method: Method, said: &str) {
    let mut session = Session::new(model, &Device::cpu(1).unwrap()).unwrap();
    session.set_tokens(Some(Tokens { method: method.clone(), map: false }));
    let error = session.run(&[(input, pixels)]).unwrap_err().to_string();
    assert!(error.contains(said), "{method:?}: {error}");
    // It stays of use.
    session.set_tokens(None);
    session.run(&[(input, pixels)]).unwrap();
}

fn schedule(prune: &[usize], merge: &[usize]) -> Method {
    Method::DiffRate(Schedule { prune: prune.to_vec(), merge: merge.to_vec(), pairs: vec![] })
}

#[test]
fn schedules_of_another_model() {
    let (vit, pixels) = (model("tokens/vit"), pixels(56, 40, |i| (i as f32).cos()));
    let refused = |method, said| refused(&vit, "pixel_values", &pixels, method, said);
    refused(schedule(&[36; 12], &[36; 12]), "of 12 layers, the model has 5");
    refused(schedule(&[36, 36, 0, 36, 36], &[36; 5]), "keeps 0 tokens in layer 2");
    refused(schedule(&[36, 36, 8, 8, 8], &[36, 36, 1, 1, 1]), "keeps 1 tokens in layer 2");
}

#[test]
fn schedule_files() {
    for (text, said) in [
        ("{", "no JSON"),
        ("[]", "`prune` must list a number"),
        (r#"{"prune": [1, -2], "merge": [1, 2]}"#, "`prune` must list a number"),
        (r#"{"prune": [1, 2], "merge": "all"}"#, "`merge` must list a number"),
        (r#"{"prune": [1], "merge": [1], "pairs": [1, 2]}"#, "`pairs` of 2"),
        (r#"{"prune": [1, 2], "merge": [1]}"#, "`prune` is of 2 layers, `merge` of 1"),
    ] {
        let error = Schedule::read(text, "s.json").unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("s.json"), "{error}");
    }
    let good = Schedule { prune: vec![9, 7], merge: vec![8, 5], pairs: vec![0, 3] };
    assert_eq!(Schedule::read(&good.to_json().to_string(), "").unwrap(), good);
}

#[test]
fn words() {
    for (word, said) in [
        ("topk:1.5", "a share above 0"),
        ("evit:", "a share above 0"),
        ("topk:nan", "a share above 0"),
        ("tome:x", "how many pairs"),
        ("magic:3", "no way to reduce tokens"),
    ] {
        let error = word.parse::<Method>().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!("tome:13".parse::<Method>().unwrap(), Method::Tome(13));
    assert_eq!("evit:0.7".parse::<Method>().unwrap(), Method::Evit(0.7));
}

#[test]
fn what_a_user_asks_for() {
    let open = |file: &str| match file {
        "s.json" => Ok(r#"{"prune": [4], "merge": [3]}"#.to_string()),
        other => Err(fewbit::Error::Usage(format!("nothing at {other}"))),
    };
    assert_eq!(Method::asked("none", open).unwrap(), None);
    assert_eq!(Method::asked("topk:0.5", open).unwrap(), Some(Method::TopK(0.5)));
    assert_eq!(Method::asked("diffrate:s.json", open).unwrap(), Some(schedule(&[4], &[3])));
    for (text, said) in [("diffrate:http://x/y", "nothing at http://x/y"), ("magic", "no way to reduce tokens")] {
        let error = Method::asked(text, open).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn models_without_a_class_token_or_without_blocks() {
    let siglip = model("encoders/siglip-vision");
    let pixels = pixels(24, 24, |i| (i as f32).cos());
    refused(&siglip, "pixel_values", &pixels, Method::TopK(0.5), "no class token");
    let text = model("decoders/llama");
    let mut session = Session::new(&text, &Device::cpu(1).unwrap()).unwrap();
    session.set_tokens(Some(Tokens { method: Method::Tome(3), map: false }));
    let ids = Tensor::new([1, 4], &[1i64, 2, 3, 4]).unwrap();
    let places = Tensor::new([1, 4], &[0i64, 1, 2, 3]).unwrap();
    let kept = Tensor::new([1], &[3i64]).unwrap();
    let inputs = [("input_ids", &ids), ("position_ids", &places), ("logits_to_keep", &kept)];
    let error = session.run(&inputs).unwrap_err().to_string();
    assert!(error.contains("no blocks whose tokens"), "{error}");
}

/// A picture that overflows is refused where the class token is asked what matters.
#[test]
fn attention_that_is_no_number() {
    let vit = model("tokens/vit");
    let mut session = Session::new(&vit, &super::device()).unwrap();
    for method in [Method::TopK(0.5), Method::Evit(0.5)] {
        session.set_tokens(Some(Tokens { method, map: false }));
        for broken in [f32::NAN, f32::INFINITY] {
            let with = |value: f32| pixels(56, 40, |i| if i == 77 { value } else { (i as f32).cos() });
            let error = session.run(&[("pixel_values", &with(broken))]).unwrap_err().to_string();
            assert!(error.contains("not finite"), "{error}");
            // It stays of use.
            let outputs = session.run(&[("pixel_values", &with(1.0))]).unwrap();
            assert!(outputs[0].1.to_f32().unwrap().iter().all(|v| v.is_finite()));
        }
    }
}

/// Everything that can be merged is, and that leaves one token a picture at least.
#[test]
fn more_pairs_than_there_are() {
    let (vit, pixels) = (model("tokens/vit"), pixels(56, 40, |i| (i as f32).cos()));
    let mut session = Session::new(&vit, &Device::cpu(1).unwrap()).unwrap();
    session.set_tokens(Some(Tokens { method: Method::Tome(usize::MAX), map: true }));
    let outputs = session.run(&[("pixel_values", &pixels)]).unwrap();
    let map = outputs.iter().find(|(name, _)| name == TOKEN_MAP).unwrap().1.to_i64().unwrap();
    assert_eq!(map.len(), 36);
    assert!(map.iter().all(|&row| (0..3).contains(&row)), "{map:?}");
    assert!(outputs[0].1.to_f32().unwrap().iter().all(|v| v.is_finite()));
}
