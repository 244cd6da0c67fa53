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

/// Convolutions with channels last on one side or both: `(geometry, input last, output last)`. Depthwise ones have whole
/// and partial vectors of channels, fewer pixels than a block and more, borders that no tap reaches.
pub const LAST: &[(Geometry, bool, bool)] = &[
    (geometry(&[1, 1, 1, 1], &[1, 1, 1, 1], 1, &[], &[], &[]), true, true),
    (geometry(&[2, 5, 7, 9], &[13, 5, 1, 1], 1, &[], &[], &[]), true, true),
    (geometry(&[2, 5, 7, 9], &[13, 5, 1, 1], 1, &[], &[], &[]), true, false),
    (geometry(&[2, 5, 7, 9], &[13, 5, 1, 1], 1, &[], &[], &[]), false, true),
    (geometry(&[1, 24, 21, 13], &[48, 24, 1, 1], 1, &[], &[], &[]), true, true),
    (geometry(&[1, 600, 7, 7], &[40, 600, 1, 1], 1, &[], &[], &[]), true, true),
    (geometry(&[1, 512, 5, 5], &[70, 512, 1, 1], 1, &[], &[], &[]), true, true),
    (geometry(&[1, 8, 25, 27], &[16, 8, 1, 1], 1, &[], &[], &[]), true, true),
    (geometry(&[0, 8, 4, 4], &[16, 8, 1, 1], 1, &[], &[], &[]), true, true),
    (geometry(&[2, 3, 17, 29], &[35, 3, 3, 3], 1, &[2, 2], &[0, 1, 1, 0], &[]), false, true),
    (geometry(&[1, 4, 12, 10], &[6, 4, 3, 2], 1, &[1, 3], &[2, 0, 3, 4], &[2, 3]), false, true),
    (geometry(&[1, 3, 8, 8], &[4, 3, 3, 3], 1, &[1, 1], &[-1, 0, 0, -2], &[]), false, true),
    (geometry(&[1, 2, 3, 3], &[4, 2, 3, 3], 1, &[], &[4, 4, 4, 4], &[]), false, true),
    (geometry(&[1, 3, 0, 5], &[4, 3, 3, 3], 1, &[], &[3, 1, 3, 1], &[]), false, true),
    (geometry(&[1, 3, 0, 5], &[3, 1, 3, 3], 3, &[], &[3, 1, 3, 1], &[]), true, true),
    (geometry(&[2, 8, 10, 10], &[8, 1, 3, 3], 8, &[], &[1, 1, 1, 1], &[]), true, true),
    (geometry(&[1, 37, 7, 7], &[37, 1, 5, 5], 37, &[], &[2, 2, 2, 2], &[]), true, true),
    (geometry(&[1, 101, 9, 12], &[101, 1, 5, 5], 101, &[2, 2], &[1, 2, 2, 1], &[]), true, true),
    (geometry(&[2, 20, 9, 30], &[20, 1, 3, 3], 20, &[1, 2], &[2, 0, 1, 3], &[2, 1]), true, true),
    (geometry(&[1, 5, 6, 6], &[5, 1, 3, 3], 5, &[3, 2], &[-1, -1, 0, -1], &[]), true, true),
    (geometry(&[1, 6, 2, 3], &[6, 1, 3, 3], 6, &[], &[3, 4, 3, 4], &[]), true, true),
    (geometry(&[1, 6, 4, 5], &[6, 1, 3, 5], 6, &[], &[1, 6, 1, 6], &[1, 3]), true, true),
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

/// `[batch, channels, pixels…]` to `[batch, pixels…, channels]`.
fn channels_last<T: Copy>(values: &[T], batch: usize, channels: usize) -> Vec<T> {
    let pixels = values.len() / (batch * channels).max(1);
    let at = |i: usize| (i / (pixels * channels), i % channels, i / channels % pixels);
    let place = |(b, c, p): (usize, usize, usize)| values[(b * channels + c) * pixels + p];
    (0..values.len()).map(|i| place(at(i))).collect()
}

/// `LAST` with dense and few-bit weights, then fused.
pub fn last_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (seed, (g, input_last, output_last)) in LAST.iter().enumerate() {
        let mut random = Random::new(seed as u64 + 200);
        let (x, bias) = (random.tensor(g.x), random.tensor(&[g.w[0]]));
        let shape: Vec<usize> = [g.x[0], g.w[0]].into_iter().chain(g.output()).collect();
        let residual = random.tensor(&shape);
        let dense_weight = random.tensor(g.w);
        let cols: usize = g.w[1..].iter().product();
        let few_bit =
            encodings(g.w[0], cols, seed as u64).into_iter().map(|(name, w)| (name, encoded(reshaped(w, g.w))));
        let weights = [("f32".into(), dense(&dense_weight))].into_iter().chain(few_bit);
        let order = |t: &Tensor, last: bool| match last {
            true => {
                Tensor::new(t.shape(), &channels_last(t.slice::<f32>().unwrap(), t.shape()[0], t.shape()[1])).unwrap()
            }
            false => t.clone(),
        };
        for (i, (name, weight)) in weights.enumerate() {
            let w = match weight.as_ref().unwrap() {
                Weight::Dense(t) => wide(t),
                Weight::Encoded(e) => wide(&e.to_dense().unwrap()),
            };
            let sums = g.reference(&wide(&x), &w);
            let pixels: usize = g.output().iter().product();
            let biased: Vec<f64> =
                sums.iter().enumerate().map(|(i, v)| v + wide(&bias)[i / pixels.max(1) % g.w[0]]).collect();
            // Every fused form with the dense weight, one with the others and with sums so long that they round.
            let fused = activations().into_iter().flat_map(|a| [None, Some("before"), Some("after")].map(|o| (a, o)));
            for ((activation, function), residual_order) in
                fused.take(if i == 0 && cols < 100 { usize::MAX } else { 1 })
            {
                let mut attrs = g.attrs();
                attrs.set("input_last", Attr::Int((*input_last).into()));
                attrs.set("output_last", Attr::Int((*output_last).into()));
                activation_attrs(&mut attrs, activation);
                let mut inputs = vec![dense(&order(&x, *input_last)), weight.clone(), dense(&bias)];
                if let Some(side) = residual_order {
                    attrs.set("fewbit.residual", Attr::String(side.into()));
                    inputs.push(dense(&order(&residual, *output_last)));
                }
                let value = |(v, r): (&f64, f64)| match residual_order {
                    None => function(*v),
                    Some("before") => function(v + r),
                    Some(_) => function(*v) + r,
                };
                let expected: Vec<f64> = biased.iter().zip(wide(&residual)).map(value).collect();
                cases.push(Case {
                    name: format!(
                        "conv {:?} {:?} last {input_last} {output_last} {name} {activation} {residual_order:?}",
                        g.x, g.w
                    ),
                    op: "fewbit.Conv",
                    attrs,
                    inputs,
                    expected: if *output_last { channels_last(&expected, g.x[0], g.w[0]) } else { expected },
                });
            }
        }
    }
    cases
}

/// The same encoded matrix under the shape of a kernel.
pub fn reshaped(weight: Encoded, shape: &[usize]) -> Encoded {
    weight.reshaped(shape.to_vec()).unwrap()
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
