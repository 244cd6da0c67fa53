//! Conv over kernels, strides, pads, dilations, groups, 1-D to 3-D, dense and few-bit, with every fused form.

use super::*;

/// `x`, `w` shapes, groups, strides, pads, dilations (empty = default).
pub struct Geometry {
    pub x: &'static [usize],
    pub w: &'static [usize],
    pub group: i64,
    pub strides: &'static [i64],
    pub pads: &'static [i64],
    pub dilations: &'static [i64],
}

const fn geometry(
    x: &'static [usize],
    w: &'static [usize],
    group: i64,
    strides: &'static [i64],
    pads: &'static [i64],
    dilations: &'static [i64],
) -> Geometry {
    Geometry { x, w, group, strides, pads, dilations }
}

pub const GEOMETRIES: &[Geometry] = &[
    geometry(&[1, 1, 1, 1], &[1, 1, 1, 1], 1, &[], &[], &[]),
    geometry(&[2, 5, 7, 9], &[13, 5, 1, 1], 1, &[], &[], &[]),
    geometry(&[1, 16, 14, 14], &[96, 16, 1, 1], 1, &[], &[], &[]),
    geometry(&[1, 3, 17, 19], &[8, 3, 3, 3], 1, &[2, 2], &[0, 1, 1, 0], &[]),
    geometry(&[1, 4, 11, 13], &[7, 4, 3, 3], 1, &[], &[1, 1, 1, 1], &[]),
    geometry(&[1, 4, 12, 10], &[6, 4, 3, 2], 1, &[1, 3], &[2, 0, 3, 4], &[2, 3]),
    geometry(&[1, 3, 28, 28], &[10, 3, 14, 14], 1, &[14, 14], &[], &[]),
    geometry(&[2, 6, 9, 8], &[9, 2, 3, 3], 3, &[], &[1, 1, 1, 1], &[]),
    geometry(&[1, 8, 10, 10], &[8, 1, 3, 3], 8, &[], &[1, 1, 1, 1], &[]),
    geometry(&[1, 5, 11, 9], &[5, 1, 5, 5], 5, &[2, 2], &[1, 2, 2, 1], &[]),
    geometry(&[2, 3, 9, 70], &[6, 1, 3, 3], 3, &[1, 2], &[2, 0, 1, 3], &[2, 1]),
    geometry(&[1, 4, 6, 6], &[4, 1, 3, 3], 4, &[3, 2], &[-1, -1, 0, -1], &[]),
    geometry(&[1, 3, 8, 8], &[4, 3, 3, 3], 1, &[1, 1], &[-1, 0, 0, -2], &[]),
    geometry(&[2, 3, 31], &[5, 3, 4], 1, &[3], &[2, 1], &[2]),
    geometry(&[1, 4, 20], &[4, 1, 7], 4, &[], &[3, 3], &[]),
    geometry(&[1, 3, 12, 13], &[3, 1, 9, 9], 3, &[], &[4, 4, 4, 4], &[]),
    geometry(&[1, 2, 5, 6, 7], &[3, 2, 2, 3, 3], 1, &[1, 2, 1], &[0, 1, 1, 1, 0, 2], &[]),
    geometry(&[1, 3, 4, 5, 6], &[3, 1, 3, 3, 2], 3, &[2, 1, 2], &[1, 1, 1, 1, 1, 1], &[]),
    geometry(&[0, 3, 8, 8], &[4, 3, 3, 3], 1, &[], &[], &[]),
    geometry(&[1, 600, 7, 7], &[40, 600, 1, 1], 1, &[], &[], &[]),
    geometry(&[1, 64, 5, 5], &[8, 64, 3, 3], 1, &[], &[1, 1, 1, 1], &[]),
];

impl Geometry {
    pub fn attrs(&self) -> Attrs {
        let mut attrs = attrs(&[("group", Attr::Int(self.group))]);
        for (name, list) in [("strides", self.strides), ("pads", self.pads), ("dilations", self.dilations)] {
            if !list.is_empty() {
                attrs.set(name, Attr::Ints(list.to_vec()));
            }
        }
        attrs
    }

    fn entry(list: &[i64], i: usize, default: i64) -> i64 {
        list.get(i).copied().unwrap_or(default)
    }

    /// Output size along each axis.
    pub fn output(&self) -> Vec<usize> {
        let rank = self.x.len() - 2;
        let size = |i: usize| {
            let reach = (self.w[i + 2] as i64 - 1) * Self::entry(self.dilations, i, 1) + 1;
            let padded = self.x[i + 2] as i64 + Self::entry(self.pads, i, 0) + Self::entry(self.pads, i + rank, 0);
            ((padded - reach) / Self::entry(self.strides, i, 1) + 1) as usize
        };
        (0..rank).map(size).collect()
    }

    /// The convolution by its definition, without bias.
    pub fn reference(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        let output = self.output();
        let (batch, channels, out_channels, in_group) = (self.x[0], self.x[1], self.w[0], self.w[1]);
        let out_group = out_channels / self.group as usize;
        let count = |s: &[usize]| s.iter().product::<usize>();
        let (in_pixels, pixels, taps) = (count(&self.x[2..]), count(&output), count(&self.w[2..]));
        let mut y = Vec::new();
        for (b, o, p) in (0..batch * out_channels * pixels)
            .map(|i| (i / (out_channels * pixels), i / pixels % out_channels, i % pixels))
        {
            let mut sum = 0.0;
            for tap in 0..taps {
                let Some(at) = self.source(&output, p, tap) else { continue };
                for c in 0..in_group {
                    let channel = o / out_group * in_group + c;
                    sum += x[(b * channels + channel) * in_pixels + at] * w[(o * in_group + c) * taps + tap];
                }
            }
            y.push(sum);
        }
        y
    }

    fn source(&self, output: &[usize], mut pixel: usize, mut tap: usize) -> Option<usize> {
        let (mut at, mut step) = (0, 1);
        for axis in (0..output.len()).rev() {
            let (o, t) = ((pixel % output[axis]) as i64, (tap % self.w[axis + 2]) as i64);
            let i = o * Self::entry(self.strides, axis, 1) + t * Self::entry(self.dilations, axis, 1)
                - Self::entry(self.pads, axis, 0);
            at += usize::try_from(i).ok().filter(|&i| i < self.x[axis + 2])? * step;
            step *= self.x[axis + 2];
            pixel /= output[axis];
            tap /= self.w[axis + 2];
        }
        Some(at)
    }
}

pub fn dense_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, g) in GEOMETRIES.iter().enumerate() {
        let mut random = Random::new(seed as u64);
        let (x, w, bias) = (random.tensor(g.x), random.tensor(g.w), random.tensor(&[g.w[0]]));
        let mut expected = g.reference(&wide(&x), &wide(&w));
        let pixels: usize = g.output().iter().product();
        expected.iter_mut().enumerate().for_each(|(i, v)| *v += wide(&bias)[i / pixels % g.w[0]]);
        cases.push(Case {
            name: format!("conv {:?} {:?} stride {:?} pads {:?}", g.x, g.w, g.strides, g.pads),
            op: "Conv",
            attrs: g.attrs(),
            inputs: vec![dense(&x), dense(&w), dense(&bias)],
            expected,
        });
    }
    cases
}

pub fn encoded_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, g) in GEOMETRIES.iter().enumerate() {
        let x = Random::new(seed as u64 + 50).tensor(g.x);
        let cols = g.w[1..].iter().product();
        for (name, weight) in encodings(g.w[0], cols, seed as u64) {
            let weight = reshaped(weight, g.w);
            let w = wide(&weight.to_dense().unwrap());
            cases.push(Case {
                name: format!("conv {:?} {name}", g.x),
                op: "Conv",
                attrs: g.attrs(),
                expected: g.reference(&wide(&x), &w),
                inputs: vec![dense(&x), encoded(weight)],
            });
        }
    }
    cases
}

/// The same encoded matrix under the shape of a kernel.
fn reshaped(weight: Encoded, shape: &[usize]) -> Encoded {
    let shape = shape.to_vec();
    match weight {
        Encoded::Palette(p) => {
            let parts = (p.codes().clone(), p.table().clone(), p.scale().cloned());
            Encoded::Palette(Palette::new(shape, p.bits(), p.rows_per_table(), parts.0, parts.1, parts.2).unwrap())
        }
        Encoded::Affine(a) => {
            let parts = (a.codes().clone(), a.scales().clone(), a.zeros().cloned());
            Encoded::Affine(Affine::new(shape, a.bits(), a.group(), parts.0, parts.1, parts.2).unwrap())
        }
        Encoded::HalfFloat(h) => Encoded::HalfFloat(HalfFloat::new(shape, h.values().clone()).unwrap()),
    }
}

/// Every activation with a residual on either side, on a product and on a depthwise convolution.
pub fn fused_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for g in [&GEOMETRIES[1], &GEOMETRIES[4], &GEOMETRIES[8], &GEOMETRIES[9]] {
        let mut random = Random::new(3);
        let (x, w, bias) = (random.tensor(g.x), random.tensor(g.w), random.tensor(&[g.w[0]]));
        let shape: Vec<usize> = [g.x[0], g.w[0]].into_iter().chain(g.output()).collect();
        let residual = random.tensor(&shape);
        let sums = g.reference(&wide(&x), &wide(&w));
        let pixels: usize = g.output().iter().product();
        let (wide_bias, wide_residual) = (wide(&bias), wide(&residual));
        for (name, function) in activations() {
            for order in [None, Some("before"), Some("after")] {
                let mut attrs = g.attrs();
                activation_attrs(&mut attrs, name);
                let mut inputs = vec![dense(&x), dense(&w), dense(&bias)];
                if let Some(order) = order {
                    attrs.set("fewbit.residual", Attr::String(order.into()));
                    inputs.push(dense(&residual));
                }
                let value = |(i, sum): (usize, &f64)| {
                    let (v, r) = (sum + wide_bias[i / pixels % g.w[0]], wide_residual[i]);
                    match order {
                        None => function(v),
                        Some("before") => function(v + r),
                        Some(_) => function(v) + r,
                    }
                };
                let expected = sums.iter().enumerate().map(value).collect();
                let name = format!("conv {:?} {name} {order:?}", g.w);
                cases.push(Case { name, op: "Conv", attrs, inputs, expected });
            }
        }
    }
    cases
}
