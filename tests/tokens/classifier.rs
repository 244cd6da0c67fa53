//! A classifier with fewer tokens.

use fewbit::graph::Model;
use fewbit::runtime::tokens::Method;
use fewbit::runtime::{Session, TOKEN_MAP, Tokens};
use fewbit::tasks::Classifier;
use fewbit::vision::{Photo, image_tensor};

use super::device;

#[test]
fn the_map_is_the_last_photos() {
    let model = Model::open(format!("{}/tests/data/fashion/vit.fewbit", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let photo = |dark: usize| {
        let pixels: Vec<u8> = (0..4 * 28 * 28).map(|i| if i / 4 % 28 < dark { 0 } else { (i % 251) as u8 }).collect();
        Photo::from_rgba(28, 28, &pixels).unwrap()
    };
    let tokens = |map| Some(Tokens { method: Method::TopK(0.4), map });
    let mut classifier = Classifier::new(&model, &device()).unwrap();
    let mut session = Session::new(&model, &device()).unwrap();
    classifier.set_tokens(tokens(true));
    session.set_tokens(tokens(true));
    let mut maps = Vec::new();
    for photo in [photo(4), photo(20)] {
        classifier.classify(&photo, 1).unwrap();
        let input = image_tensor(&photo, model.manifest.image.as_ref().unwrap()).unwrap();
        let outputs = session.run(&[("pixel_values", &input)]).unwrap();
        let (name, map) = outputs.last().unwrap();
        assert_eq!((name.as_str(), map.shape()), (TOKEN_MAP, &[1, 50][..]));
        assert_eq!(classifier.token_map().unwrap().bytes(), map.bytes());
        maps.push(map.bytes().to_vec());
    }
    assert_ne!(maps[0], maps[1], "photos as different as these keep different patches");
    classifier.set_tokens(tokens(false));
    classifier.classify(&photo(4), 1).unwrap();
    assert!(classifier.token_map().is_none());
}
