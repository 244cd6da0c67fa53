//! A captioner after MacCap against its tower and decoder of `transformers` and the authors' way between them
//! (pkg-scripts/maccap_cases.py), on the CPU, or on the adapter if `FEWBIT_TEST_DEVICE=gpu`.

use std::ops::ControlFlow;

use fewbit::graph::Model;
use fewbit::models::vision_language::parts;
use fewbit::runtime::Session;
use fewbit::tasks::beams::Beams;
use fewbit::tasks::generate::{Generated, Options};
use fewbit::tasks::language::Language;
use fewbit::tasks::{Decoder, Describer, Generator};
use fewbit::tensor::Tensor;
use fewbit::vision::{Photo, image_tensor};

use super::vision_language::{PHOTOS, close, data, device, ids_of, on_gpu, photo};

fn model() -> Model {
    Model::open(data("maccap")).unwrap()
}

fn answered(describer: &mut Describer, photo: &Photo, beams: usize) -> Generated {
    let options =
        Options { max_tokens: 12, beams: Beams { count: beams, ..Beams::default() }, ..describer.defaults().1 };
    describer.describe(photo, "", &options, |_| ControlFlow::Continue(())).unwrap()
}

/// Without noise, from the photo to the text.
#[test]
fn describes_as_the_reference() {
    let (model, expected) = (model(), super::expected(&data("maccap")));
    assert_eq!(model.manifest.task.as_deref(), Some("image-to-text"));
    let mut describer = Describer::new(&model, &device()).unwrap();
    assert_eq!((describer.noise(), describer.defaults().1.beams.count), (Some(0.016), 4));
    describer.set_noise(0.0, 0).unwrap();
    for which in PHOTOS {
        let ids = pollster::block_on(describer.look_async(&photo(which), "")).unwrap();
        let vocabulary = describer.decoder().vocabulary() as u32;
        let (begin, features) = ids.split_last().unwrap();
        assert!(features.iter().copied().eq(vocabulary..vocabulary + 32), "{which}: {ids:?}");
        assert_eq!(u64::from(*begin), model.manifest.extra["config"]["text_config"]["bos_token_id"].as_u64().unwrap());
        let logits = describer.decoder().logits(&ids, 1).unwrap();
        close(which, &logits, &expected[&format!("{which}.plain.logits")]);
        for (name, beams) in [("greedy", 1), ("beams", 4)] {
            let got = answered(&mut describer, &photo(which), beams).ids;
            assert_eq!(got, ids_of(&expected[&format!("{which}.plain.{name}")]), "{which}, {name}");
        }
    }
    for session in describer.sessions() {
        let nodes = session.report().unwrap().nodes.into_iter();
        let on_host: Vec<_> = nodes.filter(|n| on_gpu() && n.place != "gpu").map(|n| n.op).collect();
        assert!(on_host.iter().all(|op| op == "fewbit.RotaryAngles"), "{on_host:?}");
    }
}

/// With the reference's noise and without: the features, and what follows them.
#[test]
fn noise_is_added_where_the_reference_adds_it() {
    let (model, expected) = (model(), super::expected(&data("maccap")));
    let (tower, decoder) = parts(&model.graph).unwrap();
    let part = |graph| Model { graph, manifest: model.manifest.clone() };
    let mut tower = Session::new(&part(tower), &device()).unwrap();
    let decoder = Decoder::conditional(&part(decoder), &device()).unwrap();
    let vocabulary = decoder.vocabulary() as u32;
    let mut generator = Generator::of(decoder, Language::new(&model.manifest).unwrap());
    let begin = generator.language().whole("").unwrap();
    for which in PHOTOS {
        let noise = expected[&format!("{which}.noise")].clone();
        let none =
            Tensor::new([noise.shape()[0], noise.shape()[1]], &vec![0f32; noise.to_f32().unwrap().len()]).unwrap();
        let pixels = image_tensor(&photo(which), model.manifest.image.as_ref().unwrap()).unwrap();
        for (kind, noise) in [("plain", none), ("noisy", noise)] {
            let what = format!("{which}.{kind}");
            let outputs = tower.run(&[("pixel_values", &pixels), ("noise", &noise)]).unwrap();
            let [(_, features)] = outputs.as_slice() else { panic!("{} outputs", outputs.len()) };
            assert_eq!(features.shape(), [32, 32], "{what}");
            let wanted = expected[&format!("{what}.features")].to_f32().unwrap();
            let largest = wanted.iter().fold(0f32, |most, v| most.max(v.abs()));
            for (i, (got, want)) in features.to_f32().unwrap().iter().zip(&wanted).enumerate() {
                assert!((got - want).abs() <= 1e-4 * largest.max(1.0), "{what}: feature {i} is {got}, not {want}");
            }
            generator.decoder().set_features(features.clone(), Vec::new());
            let ids = [(vocabulary..vocabulary + 32).collect(), begin.clone()].concat();
            for (name, count) in [("greedy", 1), ("beams", 4)] {
                let options =
                    Options { max_tokens: 12, beams: Beams { count, ..Beams::default() }, ..Options::default() };
                let generated = generator.continue_async(&ids, &options, |_| ControlFlow::Continue(()));
                let got = pollster::block_on(generated).unwrap().ids;
                assert_eq!(got, ids_of(&expected[&format!("{what}.{name}")]), "{what}, {name}");
            }
        }
    }
}

/// The same seed gives the same text, another one other logits.
#[test]
fn a_seed_decides() {
    let model = model();
    let mut describer = Describer::new(&model, &device()).unwrap();
    let mut seen = |variance: f32, seed: u64| {
        describer.set_noise(variance, seed).unwrap();
        let ids = pollster::block_on(describer.look_async(&photo("wide"), "")).unwrap();
        (describer.decoder().logits(&ids, 1).unwrap(), answered(&mut describer, &photo("wide"), 4).text)
    };
    let (plain, one) = (seen(0.0, 1), seen(0.016, 1));
    assert_eq!((seen(0.0, 2), seen(0.016, 1)), (plain.clone(), one.clone()));
    assert!(seen(0.016, 2).0 != one.0 && one.0 != plain.0);
}

/// By way of a file, and as whoever does not know what the model is calls it.
#[cfg(feature = "audio")]
#[test]
fn captioners_see() {
    let (model, options) = (model(), Options { max_tokens: 12, ..Options::default() });
    let mut describer = Describer::new(&model, &device()).unwrap();
    let wanted = answered(&mut describer, &photo("wide"), 1).text;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("maccap.fewbit");
    model.save(&file).unwrap();
    let mut captioner = fewbit::tasks::Captioner::new(&Model::open(&file).unwrap(), &device()).unwrap();
    let text = captioner.describe(&photo("wide"), "", &options, |_| ControlFlow::Continue(())).unwrap().text;
    assert_eq!(text, wanted);
    let mut sound = fewbit::audio::Sound::from_samples(vec![0.0; 100], 16_000).unwrap();
    let refused = captioner.transcribe(&mut sound, &Default::default(), |_| ControlFlow::Continue(()));
    assert!(refused.unwrap_err().to_string().contains("the model sees"));
    let decoder = Model::open(super::folder("decoders", "llama")).unwrap();
    let refused = fewbit::tasks::Captioner::new(&decoder, &device()).err().unwrap();
    assert!(refused.to_string().contains("does not see and does not hear"));
}

/// What cannot be is said.
#[test]
fn what_is_wrong_is_named() {
    let mut describer = Describer::new(&model(), &device()).unwrap();
    for variance in [-1.0, f32::NAN, f32::INFINITY] {
        assert!(describer.set_noise(variance, 0).unwrap_err().to_string().contains("variance"));
    }
    let mut other = Describer::new(&Model::open(data("llava")).unwrap(), &device()).unwrap();
    assert_eq!(other.noise(), None);
    assert!(other.set_noise(0.0, 0).unwrap_err().to_string().contains("no noise"));
    for [from, to, said] in [
        ["\"patches\": 5", "\"patches\": 18", "patches"],
        ["\"patches\": 5", "\"patches\": 18446744073709551615", "patches"],
        ["\"aligner_heads\": 4", "\"aligner_heads\": 3", "3 heads"],
        ["\"aligner_heads\": 4", "\"aligner_heads\": 0", "aligner_heads"],
        ["\"noise_variance\": 0.016", "\"noise_variance\": -0.5", "noise_variance"],
        ["\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "layers.3"],
    ] {
        super::refused(&data("maccap"), [from, to, said]);
    }
}
