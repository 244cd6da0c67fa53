//! A small vision transformer on Fashion-MNIST's 10,000 test pictures (pkg-scripts/train_fashion.py): how much it loses with
//! fewer tokens. The pictures come with the Debian package `dataset-fashion-mnist`, which `pkg-scripts/setup` installs.

use std::path::{Path, PathBuf};

use fewbit::graph::Model;
use fewbit::runtime::tokens::{Method, Schedule};
use fewbit::runtime::{Device, Tokens};
use fewbit::tasks::Classifier;
use fewbit::tasks::accuracy::accuracy;
use fewbit::vision::Labelled;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fashion").join(name)
}

#[test]
fn forty_percent_less_for_half_a_point() {
    let model = Model::open(data("vit.fewbit")).unwrap();
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    let pictures = Labelled::open(folder, &model.manifest.labels).expect("apt install dataset-fashion-mnist");
    assert_eq!(pictures.len(), 10_000);
    let mut classifier = Classifier::new(&model, &Device::cpu(0).unwrap()).unwrap();
    let mut measure = |tokens: Option<Tokens>| {
        classifier.set_tokens(tokens);
        let found = accuracy(&mut classifier, &pictures, |_| ()).unwrap();
        (100.0 * found.top1, classifier.session().report().unwrap().macs)
    };
    let (dense, macs) = measure(None);
    let text = std::fs::read_to_string(data("schedule.json")).unwrap();
    let method = Method::DiffRate(Schedule::read(&text, "schedule.json").unwrap());
    let (reduced, fewer) = measure(Some(Tokens { method, map: false }));
    println!("{dense:.2} % with {macs} multiplications, {reduced:.2} % with {fewer}");
    assert!(dense >= 92.0, "{dense}");
    assert!(fewer as f64 <= 0.6 * macs as f64, "{fewer} of {macs}");
    assert!(reduced >= dense - 0.5, "{reduced} of {dense}");
}
