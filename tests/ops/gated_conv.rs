//! Convolutions that leave out filters, channels, both, all of either, with every geometry of one group.

use fewbit::graph::{Attr, Weight};
use fewbit::tensor::Tensor;

use super::conv::{GEOMETRIES, Geometry, reshaped};
use super::{Case, Random, activation_attrs, activations, dense, encoded, encodings, wide};

/// How many of a mask's entries are 1.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mask {
    Absent,
    None,
    Some,
    All,
}

impl Mask {
    fn tensor(self, shape: &[usize], random: &mut Random) -> Option<Tensor> {
        let value = |random: &mut Random| match self {
            Mask::None => 0.0,
            Mask::Some => random.below(2) as f32,
            _ => 1.0,
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| value(random)).collect();
        (self != Mask::Absent).then(|| Tensor::new(shape, &values).unwrap())
    }
}

/// The geometries with one group.
fn geometries() -> impl Iterator<Item = (usize, &'static Geometry)> {
    GEOMETRIES.iter().filter(|g| g.group == 1).enumerate()
}

/// Of these geometries one with every activation: a GPU compiles for each.
const ACTIVATED: usize = 4;

pub fn dense_cases() -> Vec<Case> {
    let masks = [Mask::Absent, Mask::None, Mask::Some, Mask::All];
    let mut cases = Vec::new();
    for (seed, g) in geometries() {
        for (i, filters) in masks.into_iter().enumerate() {
            for (j, channels) in masks.into_iter().enumerate() {
                let number = if seed == ACTIVATED { 4 * i + j } else { 0 };
                let activation = activations()[number % activations().len()];
                let mut random = Random::new((16 * seed + 4 * i + j) as u64);
                let weight = random.tensor(g.w);
                cases.push(case(g, [filters, channels], activation, dense(&weight), wide(&weight), &mut random));
            }
        }
    }
    cases
}

/// Every encoding with some of the geometries, each with some of the encodings.
pub fn encoded_cases() -> Vec<Case> {
    const EVERY: usize = 6;
    let mut cases = Vec::new();
    for (seed, g) in geometries() {
        let cols = g.w[1..].iter().product();
        for (_, weight) in encodings(g.w[0], cols, seed as u64).into_iter().skip(seed % EVERY).step_by(EVERY) {
            let weight = reshaped(weight, g.w);
            let w = wide(&weight.to_dense().unwrap());
            let mut random = Random::new(seed as u64 + 900);
            cases.push(case(g, [Mask::Some; 2], activations()[0], encoded(weight), w, &mut random));
        }
    }
    cases
}

fn case(
    g: &Geometry,
    [filters, channels]: [Mask; 2],
    (activation, function): (&'static str, fn(f64) -> f64),
    weight: Option<Weight>,
    w: Vec<f64>,
    random: &mut Random,
) -> Case {
    let (out, batch) = (g.w[0], g.x[0]);
    let (x, bias) = (random.tensor(g.x), random.tensor(&[out]));
    let shape: Vec<usize> = [batch, out].into_iter().chain(g.output()).collect();
    let ones = vec![1; g.output().len()];
    let mask_shape = |count: usize| -> Vec<usize> { [batch, count].into_iter().chain(ones.clone()).collect() };
    let filter_mask = filters.tensor(&mask_shape(out), random);
    let channel_mask = channels.tensor(&mask_shape(g.x[1]), random);
    // A residual where all filters are computed.
    let residual = (filters == Mask::Absent).then(|| random.tensor(&shape));

    // Every entry of a mask is for a plane.
    let masked = |values: Vec<f64>, mask: &Option<Tensor>| -> Vec<f64> {
        let Some(mask) = mask else { return values };
        let plane = (values.len() / mask.len().max(1)).max(1);
        let mask = wide(mask);
        values.iter().enumerate().map(|(i, v)| v * mask[i / plane]).collect()
    };
    let pixels = g.output().iter().product::<usize>().max(1);
    let sums = g.reference(&masked(wide(&x), &channel_mask), &w);
    let (wide_bias, wide_residual) = (wide(&bias), residual.as_ref().map(wide));
    let value = |(i, sum): (usize, &f64)| {
        let v = function(sum + wide_bias[i / pixels % out]);
        v + wide_residual.as_ref().map_or(0.0, |r| r[i])
    };
    let expected = masked(sums.iter().enumerate().map(value).collect(), &filter_mask);
    let mut attrs = g.attrs();
    activation_attrs(&mut attrs, activation);
    if residual.is_some() {
        attrs.set("fewbit.residual", Attr::String("after".into()));
    }
    let optional = |t: &Option<Tensor>| t.as_ref().and_then(dense);
    Case {
        name: format!("gated conv {:?} {:?} {filters:?} {channels:?} {activation}", g.x, g.w),
        op: "fewbit.GatedConv",
        attrs,
        inputs: vec![
            dense(&x),
            weight,
            dense(&bias),
            optional(&residual),
            optional(&filter_mask),
            optional(&channel_mask),
        ],
        expected,
    }
}
