//! Resize: which input positions and weights make each output position, axis by axis.

use super::InferFn;
use super::params::{self, known};
use crate::graph::Node;
use crate::tensor::Shape;
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[("Resize", |i| {
    let plan = Plan::new(i.node, i.shape(0)?, &|k| i.opt_value(k)?.map(|t| t.to_f32()).transpose(), &known(i))?;
    let shape: Shape = plan.axes.iter().map(|a| a.output).collect();
    params::product(i.node, &shape)?;
    i.one(i.dtype(0)?, shape)
})];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// One axis of a resize.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub input: usize,
    pub output: usize,
    pub scale: f64,
    /// Start and end of the region for `tf_crop_and_resize`, as shares of the axis.
    roi: (f64, f64),
}

pub struct Plan {
    pub axes: Vec<Axis>,
    pub mode: Mode,
    /// Value outside the region of `tf_crop_and_resize`.
    pub outside: f32,
    coordinate: String,
    nearest: String,
    antialias: bool,
    exclude_outside: bool,
    cubic: f64,
}

/// What makes one output position of an axis: `Σ weight · input[position]`, or nothing (outside the region).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taps {
    pub positions: Vec<usize>,
    pub weights: Vec<f32>,
}

/// Reads float input `i` of a node; `None` when left out.
type Floats<'a> = &'a dyn Fn(usize) -> Result<Option<Vec<f32>>>;

impl Plan {
    /// Inputs 1–3 are roi, scales and sizes, for `axes` or all axes.
    pub fn new(node: &Node, shape: &[usize], floats: Floats, ints: params::Ints) -> Result<Self> {
        let rank = shape.len();
        let list = match node.attrs.ints("axes") {
            Some(axes) => params::axes(node, axes, rank)?,
            None => (0..rank).collect(),
        };
        let text = |name: &str, default: &str| node.attrs.string_or(name, default).to_string();
        let coordinate = text("coordinate_transformation_mode", "half_pixel");
        let mode = match node.attrs.string_or("mode", "nearest") {
            "nearest" => Mode::Nearest,
            "linear" => Mode::Linear,
            "cubic" => Mode::Cubic,
            other => return Err(Error::Unsupported(format!("Resize with mode {other}"))),
        };
        let known = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"];
        let known = known.contains(&coordinate.as_str())
            || ["tf_crop_and_resize", "tf_half_pixel_for_nn"].contains(&coordinate.as_str());
        if !known {
            return Err(Error::Unsupported(format!("Resize with coordinate mode {coordinate}")));
        }
        let crop = coordinate == "tf_crop_and_resize";
        let mut axes: Vec<Axis> =
            shape.iter().map(|&d| Axis { input: d, output: d, scale: 1.0, roi: (0.0, 1.0) }).collect();
        if crop {
            let roi = floats(1)?.unwrap_or_default();
            if roi.len() != 2 * list.len() {
                return Err(node.error(format!("{} bounds of the region for {} axes", roi.len(), list.len())));
            }
            for (k, &axis) in list.iter().enumerate() {
                axes[axis].roi = (roi[k].into(), roi[k + list.len()].into());
            }
        }
        // An empty tensor means "left out" for scales and sizes.
        let scales = floats(2)?.filter(|v| !v.is_empty());
        let sizes = ints(3)?.filter(|v| !v.is_empty());
        match (scales, sizes) {
            (Some(scales), None) if scales.len() == list.len() => {
                for (&scale, &axis) in scales.iter().zip(&list) {
                    let a = &mut axes[axis];
                    a.scale = scale.into();
                    let part = if crop { a.roi.1 - a.roi.0 } else { 1.0 };
                    let size = (a.input as f64 * part * a.scale).floor();
                    if !(a.scale > 0.0 && (0.0..1e12).contains(&size)) {
                        return Err(node.error(format!("scale {scale} of an axis of {}", a.input)));
                    }
                    a.output = size as usize;
                }
            }
            (None, Some(sizes)) if sizes.len() == list.len() => fit(node, &mut axes, &list, &sizes)?,
            _ => return Err(node.error("needs scales or sizes, one for each axis")),
        }
        if axes.iter().any(|a| a.input == 0 && a.output > 0) {
            return Err(node.error(format!("{shape:?} has nothing to resize")));
        }
        Ok(Plan {
            axes,
            mode,
            outside: node.attrs.float_or("extrapolation_value", 0.0),
            coordinate,
            nearest: text("nearest_mode", "round_prefer_floor"),
            antialias: node.attrs.flag("antialias"),
            exclude_outside: node.attrs.flag("exclude_outside"),
            cubic: node.attrs.float_or("cubic_coeff_a", -0.75).into(),
        })
    }

    /// Where output position `x` lies on the input axis.
    fn source(&self, a: &Axis, x: usize) -> f64 {
        let (x, n) = (x as f64, a.input as f64);
        // The output's length before it was rounded.
        let out = a.scale * n;
        match self.coordinate.as_str() {
            "align_corners" if out == 1.0 => 0.0,
            "align_corners" => x * (n - 1.0) / (out - 1.0),
            "asymmetric" => x / a.scale,
            "tf_half_pixel_for_nn" => (x + 0.5) / a.scale,
            "pytorch_half_pixel" if out == 1.0 => 0.0,
            "tf_crop_and_resize" => {
                let (start, end) = a.roi;
                if a.output > 1 {
                    start * (n - 1.0) + x * (end - start) * (n - 1.0) / (a.output as f64 - 1.0)
                } else {
                    0.5 * (start + end) * (n - 1.0)
                }
            }
            "half_pixel_symmetric" => n / 2.0 * (1.0 - a.output as f64 / out) + (x + 0.5) / a.scale - 0.5,
            _ => (x + 0.5) / a.scale - 0.5,
        }
    }

    /// Input position for `Mode::Nearest`; `None` outside the region.
    pub fn nearest(&self, a: &Axis, x: usize) -> Option<usize> {
        let at = self.source(a, x);
        let last = a.input as f64 - 1.0;
        if self.coordinate == "tf_crop_and_resize" && !(0.0..=last).contains(&at) {
            return None;
        }
        let at = match self.nearest.as_str() {
            "floor" => at.floor(),
            "ceil" => at.ceil(),
            "round_prefer_ceil" => (at + 0.5).floor(),
            _ => (at - 0.5).ceil(),
        };
        Some(at.clamp(0.0, last) as usize)
    }

    /// Positions and weights for the interpolating modes; empty outside the region.
    pub fn taps(&self, a: &Axis, x: usize) -> Taps {
        let at = self.source(a, x);
        let last = a.input as i64 - 1;
        if self.coordinate == "tf_crop_and_resize" && !(0.0..=last as f64).contains(&at) {
            return Taps::default();
        }
        // An antialiased kernel widens as the image shrinks.
        let narrow = if self.antialias { a.scale.min(1.0) } else { 1.0 };
        let reach = if self.mode == Mode::Cubic { 2.0 } else { 1.0 };
        // An absurd region must not overflow.
        let base = at.floor().clamp(-1e12, 1e12);
        let first = (-reach / narrow).floor() as i64 + 1;
        let mut weights = Vec::new();
        let mut positions: Vec<usize> = Vec::new();
        for k in first..=1 - first {
            let position = base as i64 + k;
            if self.exclude_outside && !(0..=last).contains(&position) {
                continue;
            }
            let weight = self.kernel(((base + k as f64 - at) * narrow).abs());
            let position = position.clamp(0, last) as usize;
            // Positions beyond the edge repeat the edge.
            if positions.last() == Some(&position) {
                if let Some(w) = weights.last_mut() {
                    *w += weight;
                }
            } else if weight != 0.0 {
                positions.push(position);
                weights.push(weight);
            }
        }
        let sum: f64 = weights.iter().sum();
        let sum = if self.antialias || self.exclude_outside { sum } else { 1.0 };
        Taps { positions, weights: weights.iter().map(|w| (w / sum) as f32).collect() }
    }

    /// Whether interpolating along this axis does anything.
    pub fn changes(&self, axis: &Axis) -> bool {
        axis.input != axis.output || !(0..axis.output).all(|o| self.taps(axis, o).positions == [o])
    }

    /// The interpolation kernel at distance `x`: a triangle, or the cubic of Keys 1981 with parameter `cubic`.
    fn kernel(&self, x: f64) -> f64 {
        let a = self.cubic;
        match self.mode {
            Mode::Cubic if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            Mode::Cubic if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            Mode::Cubic => 0.0,
            _ => (1.0 - x).max(0.0),
        }
    }
}

/// Sizes, under `keep_aspect_ratio_policy`.
fn fit(node: &Node, axes: &mut [Axis], list: &[usize], sizes: &[i64]) -> Result<()> {
    let ratio = |(&size, &axis): (&i64, &usize)| size as f64 / axes[axis].input as f64;
    let ratios: Vec<f64> = sizes.iter().zip(list).map(ratio).collect();
    let common = match node.attrs.string_or("keep_aspect_ratio_policy", "stretch") {
        "stretch" => None,
        "not_larger" => ratios.iter().copied().reduce(f64::min),
        "not_smaller" => ratios.iter().copied().reduce(f64::max),
        other => return Err(Error::Unsupported(format!("Resize with policy {other}"))),
    };
    for (k, &axis) in list.iter().enumerate() {
        let a = &mut axes[axis];
        a.output = params::dim(node, sizes[k].into())?;
        a.scale = ratios[k];
        if let Some(scale) = common.filter(|s| s.is_finite()) {
            a.scale = scale;
            a.output = params::dim(node, (a.input as f64 * scale + 0.5).floor() as i128)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attr;
    use crate::ops::testing::node;

    fn plan(attrs: &[(&str, Attr)], input: usize, scale: f32) -> Plan {
        let node = node("Resize", attrs, 4, 1);
        Plan::new(&node, &[input], &|i| Ok((i == 2).then(|| vec![scale])), &|_| Ok(None)).unwrap()
    }

    #[test]
    fn doubling_linearly_mixes_quarters() {
        let plan = plan(&[("mode", Attr::String("linear".into()))], 2, 2.0);
        let taps: Vec<_> = (0..4).map(|x| plan.taps(&plan.axes[0], x)).collect();
        assert_eq!(taps[0], Taps { positions: vec![0], weights: vec![1.0] });
        assert_eq!(taps[1], Taps { positions: vec![0, 1], weights: vec![0.75, 0.25] });
        assert_eq!(taps[3], Taps { positions: vec![1], weights: vec![1.0] });
    }

    #[test]
    fn antialiased_weights_sum_to_one() {
        for mode in ["linear", "cubic"] {
            let plan = plan(&[("mode", Attr::String(mode.into())), ("antialias", Attr::Int(1))], 11, 0.3);
            for x in 0..3 {
                assert!((plan.taps(&plan.axes[0], x).weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }
}
