//! JPEG files of every kind that is read, pixel for pixel against Pillow (`pkg-scripts/jpeg_cases.py`).

#![cfg(feature = "cli")]

use std::path::{Path, PathBuf};

use fewbit::vision::Photo;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg")
}

#[test]
fn pixels_equal_those_of_libjpeg_turbo() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "jpg"));
    assert_eq!(files.len(), 17);
    for file in files {
        let photo = Photo::open(&file).unwrap();
        let reference = Photo::open(file.with_extension("png")).unwrap();
        assert_eq!((photo.width(), photo.height()), (reference.width(), reference.height()), "{file:?}");
        let levels = photo.rgb().iter().zip(reference.rgb()).map(|(a, b)| a.abs_diff(*b));
        assert_eq!(levels.max(), Some(0), "{file:?}: levels differ");
    }
}

#[test]
fn a_file_that_ends_early_is_refused() {
    for name in ["420", "420-progressive", "grey"] {
        let file = std::fs::read(folder().join(name).with_extension("jpg")).unwrap();
        for length in [2, 20, file.len() / 2, file.len() - 4] {
            let error = Photo::decode(name, &file[..length]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn a_forgotten_end_marker_is_forgiven_where_nothing_can_be_missing() {
    let open = |name: &str| {
        let file = std::fs::read(folder().join(name)).unwrap();
        Photo::decode(name, &file[..file.len() - 2])
    };
    assert_eq!(open("420.jpg").unwrap(), Photo::open(folder().join("420.jpg")).unwrap());
    assert!(open("420-progressive.jpg").is_err());
}

#[test]
fn what_is_not_supported_is_named() {
    let mut file = std::fs::read(folder().join("420.jpg")).unwrap();
    let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let refusal = |file: &[u8]| Photo::decode("photo", file).err().unwrap().to_string();
    for (marker, at, value, wanted) in
        [(0xc9, 4, 8, "coding is not supported"), (0xc1, 4, 12, "8 bits"), (0xc0, 14, 0x31, "fractions")]
    {
        file[frame + 1] = marker;
        let before = std::mem::replace(&mut file[frame + at], value);
        assert!(refusal(&file).contains(wanted), "{}", refusal(&file));
        file[frame + at] = before;
    }
    // A size that so few bytes cannot have, in a marker that is supported.
    file[frame + 5..frame + 9].fill(0xff);
    assert!(refusal(&file).contains("65535×65535"), "{}", refusal(&file));
}
