//! What a reduction saves: published counts, and the counter against the formula that they are made with.

use fewbit::graph::Model;
use fewbit::runtime::tokens::{Method, Schedule, Step};
use fewbit::runtime::{Session, Tokens};
use fewbit::tensor::Tensor;

/// Published schedules of DiffRate (Chen et al. 2023): model, layers, width, side of a patch, GMACs with and without, tokens
/// kept by pruning and by merging.
type Published = (&'static str, usize, u64, u64, [f64; 2], &'static [usize], &'static [usize]);

#[rustfmt::skip]
const PUBLISHED: &[Published] = &[
    ("DeiT-S", 12, 384, 16, [2.9, 4.6],
     &[197, 196, 190, 168, 150, 139, 129, 117, 99, 78, 58, 3],
     &[197, 194, 176, 156, 141, 133, 121, 107, 88, 64, 56, 3]),
    ("DeiT-B", 12, 768, 16, [11.5, 17.6],
     &[197, 197, 197, 188, 170, 154, 139, 123, 107, 72, 43, 3],
     &[197, 197, 192, 178, 158, 145, 127, 111, 94, 50, 35, 3]),
    ("ViT-L", 24, 1024, 16, [42.3, 61.6],
     &[197, 197, 197, 195, 194, 193, 191, 187, 182, 180, 173, 149, 142, 134, 125, 121, 111, 106, 91, 87, 77, 39, 38, 32],
     &[197, 197, 196, 194, 193, 192, 187, 183, 181, 173, 154, 146, 137, 127, 123, 114, 105, 98, 87, 75, 43, 45, 32, 32]),
    ("ViT-H", 32, 1280, 14, [103.4, 167.3],
     &[257, 256, 255, 251, 245, 235, 204, 197, 194, 189, 185, 177, 169, 160, 152, 144, 146, 139, 139, 136, 135, 133, 131,
       128, 126, 126, 124, 121, 114, 96, 82, 53],
     &[257, 256, 253, 247, 238, 211, 201, 195, 193, 185, 179, 171, 162, 154, 150, 145, 141, 138, 137, 135, 134, 133, 130,
       127, 125, 125, 122, 114, 101, 90, 53, 53]),
];

/// Tokens of each layer before and behind its reduction.
fn tokens(steps: &[Option<Step>], mut now: usize) -> Vec<[u64; 2]> {
    let mut layer = |step: &Option<Step>| {
        let before = now;
        now = step.map_or(now, |step| step.left(now));
        [before as u64, now as u64]
    };
    steps.iter().map(&mut layer).collect()
}

/// The papers' count: attention before the reduction, feed-forward layers of four times the width behind it, patches (as many
/// as tokens) and a thousand classes.
fn macs(layers: &[[u64; 2]], width: u64, patch: u64) -> u64 {
    let block = |&[n, m]: &[u64; 2]| 4 * n * width * width + 2 * n * n * width + 8 * m * width * width;
    layers.iter().map(block).sum::<u64>() + layers[0][0] * width * patch * patch * 3 + width * 1000
}

#[test]
fn counts_of_published_schedules() {
    for &(name, layers, width, patch, [reduced, dense], prune, merge) in PUBLISHED {
        let method = Method::DiffRate(Schedule { prune: prune.to_vec(), merge: merge.to_vec(), pairs: vec![] });
        let count = (224 / patch as usize).pow(2) + 1;
        let steps = method.steps(layers, count, 1).unwrap();
        // They are given to a tenth; where that is coarser than a thousandth, nothing finer can be asked.
        for (steps, published) in [(steps, reduced), (vec![None; layers], dense)] {
            let found = macs(&tokens(&steps, count), width, patch) as f64 / 1e9;
            assert!(
                (found - published).abs() <= (published * 1e-3).max(0.05),
                "{name}: {found} GMACs, not {published}"
            );
        }
    }
}

/// A plan counts what its operators do.
#[test]
fn plans_count_what_they_do() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokens/vit");
    let model = Model::open(folder).unwrap();
    let (width, hidden, classes, patches, patch) = (24u64, 36, 7, 35, 3 * 8 * 8);
    let pixels: Vec<f32> = (0..3 * 56 * 40).map(|i| (i as f32 * 0.37).sin()).collect();
    let pixels = Tensor::new([1, 3, 56, 40], &pixels).unwrap();
    let mut session = Session::new(&model, &fewbit::runtime::Device::cpu(1).unwrap()).unwrap();
    for method in [None, Some(Method::Tome(5)), Some(Method::TopK(0.5)), Some(Method::Evit(0.5))] {
        session.set_tokens(method.clone().map(|method| Tokens { method, map: false }));
        session.run(&[("pixel_values", &pixels)]).unwrap();
        let steps = method.map_or_else(|| vec![None; 5], |method| method.steps(5, 36, 1).unwrap());
        let block = |[n, m]: [u64; 2]| 4 * n * width * width + 2 * n * n * width + 2 * m * width * hidden;
        let blocks: u64 = tokens(&steps, 36).into_iter().map(block).sum();
        assert_eq!(session.report().unwrap().macs, blocks + patches * patch * width + width * classes);
    }
}
