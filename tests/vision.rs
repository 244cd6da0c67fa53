//! Decoding, crop and resize against Pillow's results (`pkg-scripts/golden.py`), where the fetched photos are there.

#![cfg(feature = "cli")]

use std::path::PathBuf;

use fewbit::graph::ImageInput;
use fewbit::vision::{Photo, image_tensor};

fn cache() -> Option<PathBuf> {
    let folder = std::env::var_os("FEWBIT_CACHE").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::home_dir().map(|home| home.join(".cache/fewbit")))?;
    folder.join("golden/efficientnet").is_dir().then_some(folder)
}

#[test]
fn inputs_equal_those_of_pillow() {
    let Some(cache) = cache() else {
        eprintln!("skipped: no golden files; run pkg-scripts/setup");
        return;
    };
    let input = ImageInput { width: 224, height: 224, crop: 0.875, mean: [127.0; 3], std: [128.0; 3], resize: None };
    let mut names: Vec<_> =
        std::fs::read_dir(cache.join("golden/efficientnet")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let file = std::fs::read(cache.join("golden/efficientnet").join(&name).join("input.npy")).unwrap();
        // The data of a version-1 .npy file follow its header, which ends in a newline.
        let start = 10 + u16::from_le_bytes([file[8], file[9]]) as usize;
        let expected: Vec<f32> =
            file[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let photo = Photo::open(cache.join("photos").join(&name)).unwrap();
        let tensor = image_tensor(&photo, &input).unwrap();
        let got = tensor.slice::<f32>().unwrap();
        assert_eq!(got.len(), expected.len());
        let different = got.iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert_eq!(different, 0, "{name:?}: values that differ");
    }
}
