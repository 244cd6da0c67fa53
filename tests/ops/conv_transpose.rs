//! ConvTranspose: strides, pads, output padding, dilations, groups.

use super::*;

struct Geometry {
    x: &'static [usize],
    w: &'static [usize],
    group: usize,
    strides: &'static [i64],
    pads: &'static [i64],
    dilations: &'static [i64],
    output_padding: &'static [i64],
}

const GEOMETRIES: &[Geometry] = &[
    Geometry {
        x: &[1, 1, 3, 3],
        w: &[1, 2, 3, 3],
        group: 1,
        strides: &[1, 1],
        pads: &[0; 4],
        dilations: &[1, 1],
        output_padding: &[0, 0],
    },
    Geometry {
        x: &[2, 5, 7, 6],
        w: &[5, 4, 4, 4],
        group: 1,
        strides: &[2, 2],
        pads: &[1; 4],
        dilations: &[1, 1],
        output_padding: &[0, 0],
    },
    // More pixels, channels and output channels than a tile has.
    Geometry {
        x: &[1, 21, 19, 17],
        w: &[21, 11, 4, 4],
        group: 1,
        strides: &[2, 2],
        pads: &[1; 4],
        dilations: &[1, 1],
        output_padding: &[0, 0],
    },
    Geometry {
        x: &[1, 4, 5, 6],
        w: &[4, 3, 3, 2],
        group: 2,
        strides: &[3, 2],
        pads: &[1, 0, 2, 1],
        dilations: &[1, 1],
        output_padding: &[2, 1],
    },
    Geometry {
        x: &[1, 3, 4, 5],
        w: &[3, 2, 2, 3],
        group: 1,
        strides: &[3, 4],
        pads: &[0; 4],
        dilations: &[1, 1],
        output_padding: &[0, 0],
    },
    Geometry {
        x: &[1, 2, 5, 5],
        w: &[2, 3, 3, 3],
        group: 1,
        strides: &[2, 1],
        pads: &[0, 1, 1, 0],
        dilations: &[2, 3],
        output_padding: &[0, 0],
    },
    Geometry {
        x: &[1, 2, 9],
        w: &[2, 3, 5],
        group: 1,
        strides: &[2],
        pads: &[2, 1],
        dilations: &[1],
        output_padding: &[1],
    },
    Geometry {
        x: &[1, 2, 3, 4, 3],
        w: &[2, 2, 2, 3, 3],
        group: 1,
        strides: &[2, 1, 2],
        pads: &[0, 1, 0, 1, 0, 1],
        dilations: &[1, 1, 1],
        output_padding: &[0, 0, 0],
    },
];

impl Geometry {
    fn output(&self) -> Vec<usize> {
        let rank = self.x.len() - 2;
        let size = |i: usize| {
            (self.strides[i] * (self.x[i + 2] as i64 - 1)
                + self.output_padding[i]
                + (self.w[i + 2] as i64 - 1) * self.dilations[i]
                + 1
                - self.pads[i]
                - self.pads[i + rank]) as usize
        };
        (0..rank).map(size).collect()
    }

    /// Every input adds its kernel to the output.
    fn reference(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        let output = self.output();
        let count = |s: &[usize]| s.iter().product::<usize>();
        let (in_pixels, pixels, taps) = (count(&self.x[2..]), count(&output), count(&self.w[2..]));
        let (channels, out_group) = (self.x[1], self.w[1]);
        let (in_group, out_channels) = (channels / self.group, out_group * self.group);
        let mut y = vec![0.0; self.x[0] * out_channels * pixels];
        for b in 0..self.x[0] {
            for (c, p) in (0..channels * in_pixels).map(|i| (i / in_pixels, i % in_pixels)) {
                for (o, tap) in (0..out_group * taps).map(|i| (i / taps, i % taps)) {
                    let Some(at) = self.target(&output, p, tap) else { continue };
                    let channel = c / in_group * out_group + o;
                    y[(b * out_channels + channel) * pixels + at] +=
                        x[(b * channels + c) * in_pixels + p] * w[(c * out_group + o) * taps + tap];
                }
            }
        }
        y
    }

    fn target(&self, output: &[usize], mut pixel: usize, mut tap: usize) -> Option<usize> {
        let (mut at, mut step) = (0, 1);
        for axis in (0..output.len()).rev() {
            let (i, t) = ((pixel % self.x[axis + 2]) as i64, (tap % self.w[axis + 2]) as i64);
            let o = i * self.strides[axis] + t * self.dilations[axis] - self.pads[axis];
            at += usize::try_from(o).ok().filter(|&o| o < output[axis])? * step;
            step *= output[axis];
            pixel /= self.x[axis + 2];
            tap /= self.w[axis + 2];
        }
        Some(at)
    }
}

pub fn cases() -> Vec<Case> {
    let dense = |g: &Geometry, seed| vec![("f32".into(), Weight::Dense(Random::new(seed).tensor(g.w)))];
    cases_of(dense)
}

/// Every encoding.
pub fn encoded_cases() -> Vec<Case> {
    cases_of(|g, seed| {
        let all = encodings(g.w[0], g.w[1..].iter().product(), seed).into_iter();
        all.map(|(name, weight)| (name, Weight::Encoded(Arc::new(conv::reshaped(weight, g.w))))).collect()
    })
}

/// Every encoding with one geometry or another: a GPU compiles pipelines for each.
pub fn few_encoded_cases() -> Vec<Case> {
    let mut all = encoded_cases();
    let per_geometry = all.len() / GEOMETRIES.len();
    let mut number = 0..;
    all.retain(|_| number.next().is_some_and(|i| i % per_geometry % GEOMETRIES.len() == i / per_geometry));
    all
}

/// With bias and activation.
fn cases_of(weights: impl Fn(&Geometry, u64) -> Vec<(String, Weight)>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, g) in GEOMETRIES.iter().enumerate() {
        let mut random = Random::new(seed as u64 + 20);
        let out_channels = g.w[1] * g.group;
        let (x, bias) = (random.tensor(g.x), random.tensor(&[out_channels]));
        let pixels: usize = g.output().iter().product();
        let bias_at = wide(&bias);
        let attrs = attrs(&[
            ("group", Attr::Int(g.group as i64)),
            ("strides", Attr::Ints(g.strides.to_vec())),
            ("pads", Attr::Ints(g.pads.to_vec())),
            ("dilations", Attr::Ints(g.dilations.to_vec())),
            ("output_padding", Attr::Ints(g.output_padding.to_vec())),
            ("fewbit.activation", Attr::String("relu".into())),
        ]);
        for (name, weight) in weights(g, seed as u64) {
            let w = match &weight {
                Weight::Dense(tensor) => wide(tensor),
                Weight::Encoded(encoded) => wide(&encoded.to_dense().unwrap()),
            };
            let mut expected = g.reference(&wide(&x), &w);
            expected.iter_mut().enumerate().for_each(|(i, v)| *v = (*v + bias_at[i / pixels % out_channels]).max(0.0));
            cases.push(Case {
                name: format!("conv_transpose {:?} {:?} {name}", g.x, g.w),
                op: "ConvTranspose",
                attrs: attrs.clone(),
                inputs: vec![dense(&x), Some(weight), dense(&bias)],
                expected,
            });
        }
    }
    cases
}
