//! Files: each kind comes back as it was, and what was cut off or changed anywhere is refused.

use std::collections::BTreeMap;

use fewbit::deltas::{Change, Delta, LowRank, Rows, Sparse, Ternary};
use fewbit::formats::delta;
use fewbit::graph::Model;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::models::random;

/// One change of every kind, one of them under a name that would be another's part.
pub fn every_kind() -> Delta {
    let mut rng = StdRng::seed_from_u64(10);
    let (up, down) = (random(&[4, 2], &mut rng), random(&[2, 6], &mut rng));
    let changes = [
        ("a", Change::Ternary(Ternary::new(vec![5, 7], 0.25, &[0, 1, 20, 34], &[true, false, true, true]).unwrap())),
        ("a.codes", Change::Sparse(Sparse::new(vec![300], &[3, 299], &[1.5, -2.0]).unwrap())),
        ("c", Change::Rows(Rows::new(vec![4, 1, 3], &[1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap())),
        ("d", Change::LowRank(LowRank::new(vec![4, 3, 2], up, down, 0.5).unwrap())),
        ("e", Change::Whole(fewbit::Tensor::new([3], &[1u8, 2, 3]).unwrap())),
    ];
    let changes: BTreeMap<_, _> = changes.into_iter().map(|(name, change)| (name.to_string(), change)).collect();
    Delta { base: Some("0123456789abcdef".into()), changes }
}

fn read(file: &[u8]) -> Result<Delta, fewbit::Error> {
    delta::read("file", file.len() as u64, &mut &*file)
}

#[test]
fn every_kind_comes_back() {
    let delta = every_kind();
    let back = read(&delta::write(&delta).unwrap()).unwrap();
    assert_eq!(back.base, delta.base);
    assert!(back.changes.keys().eq(delta.changes.keys()));
    for (name, change) in &delta.changes {
        let found = &back.changes[name];
        assert_eq!((found.kind(), found.shape(), found.count()), (change.kind(), change.shape(), change.count()));
        assert_eq!(found.fields(), change.fields());
        for ((part, found), (name, tensor)) in found.parts().into_iter().zip(change.parts()) {
            assert_eq!((part, found.ty(), found.bytes()), (name, tensor.ty(), tensor.bytes()));
        }
        let mut values = vec![[0f32; 2]; change.shape().iter().product()];
        let [mut one, mut other] = [0, 1].map(|i| values.iter_mut().map(|pair| pair[i]).collect::<Vec<f32>>());
        change.add(&mut one);
        found.add(&mut other);
        assert_eq!(one, other);
    }
}

#[test]
fn every_broken_file_is_refused() {
    let file = delta::write(&every_kind()).unwrap();
    for len in 0..file.len() {
        assert!(read(&file[..len]).is_err(), "cut off at {len}");
    }
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut broken = file.clone();
            broken[at] ^= 1 << bit;
            // Spaces of the header may become other spaces.
            if let Ok(delta) = read(&broken) {
                assert!(file[at].is_ascii_whitespace(), "byte {at}, bit {bit}");
                assert_eq!(delta::write(&delta).unwrap(), file);
            }
        }
    }
}

#[test]
fn a_delta_is_no_model_and_a_model_no_delta() {
    let file = delta::write(&every_kind()).unwrap();
    let error = Model::from_bytes("tuned.fewbit-delta", &file).err().unwrap().to_string();
    assert!(error.contains("is a delta"), "{error}");
    let path = std::env::temp_dir().join(format!("fewbit-delta-{}.fewbit", std::process::id()));
    Model::default().save(&path).unwrap();
    let error = delta::open(&path).err().unwrap().to_string();
    assert!(!delta::is_one(&path) && error.contains("not a delta"), "{error}");
    std::fs::remove_file(path).unwrap();
}
