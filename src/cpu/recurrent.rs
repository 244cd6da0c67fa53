//! RNN, LSTM (Hochreiter & Schmidhuber 1997, with peepholes) and GRU (Cho et al. 2014), step by step in f32.

use super::call::{Call, Kernel};
use super::floats;
use crate::graph::Node;
use crate::ops::recurrent::Sizes;
use crate::{Error, Result};

pub const KERNELS: &[Kernel] =
    &[Kernel::new("RNN", recurrent), Kernel::new("GRU", recurrent), Kernel::new("LSTM", recurrent)];

#[derive(Clone, Copy, Debug)]
struct Activation {
    kind: &'static str,
    alpha: f32,
    beta: f32,
}

/// Names with default alpha and beta.
const ACTIVATIONS: &[(&str, f32, f32)] = &[
    ("relu", 0.0, 0.0),
    ("tanh", 0.0, 0.0),
    ("sigmoid", 0.0, 0.0),
    ("softsign", 0.0, 0.0),
    ("softplus", 0.0, 0.0),
    ("affine", 1.0, 0.0),
    ("leakyrelu", 0.01, 0.0),
    ("thresholdedrelu", 1.0, 0.0),
    ("scaledtanh", 1.0, 1.0),
    ("hardsigmoid", 0.2, 0.5),
    ("elu", 1.0, 0.0),
];

impl Activation {
    fn apply(self, x: f32) -> f32 {
        let Activation { alpha, beta, .. } = self;
        match self.kind {
            "relu" => x.max(0.0),
            "sigmoid" => 1.0 / (1.0 + (-x).exp()),
            "softsign" => x / (1.0 + x.abs()),
            "softplus" => x.exp().ln_1p(),
            "affine" => alpha * x + beta,
            "leakyrelu" => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            "thresholdedrelu" => {
                if x > alpha {
                    x
                } else {
                    0.0
                }
            }
            "scaledtanh" => alpha * (beta * x).tanh(),
            "hardsigmoid" => (alpha * x + beta).clamp(0.0, 1.0),
            "elu" => {
                if x < 0.0 {
                    alpha * x.exp_m1()
                } else {
                    x
                }
            }
            _ => x.tanh(),
        }
    }
}

/// The functions of each direction: attribute `activations`, or the operator's own.
fn activations(node: &Node, directions: usize) -> Result<Vec<Activation>> {
    let own: &[&str] = match node.op.as_str() {
        "RNN" => &["tanh"],
        "GRU" => &["sigmoid", "tanh"],
        _ => &["sigmoid", "tanh", "tanh"],
    };
    let names: Vec<String> = match node.attrs.get("activations") {
        Some(crate::graph::Attr::Strings(names)) => names.iter().map(|n| n.to_lowercase()).collect(),
        _ => own.repeat(directions).iter().map(|n| n.to_string()).collect(),
    };
    if names.len() != own.len() * directions {
        return Err(node.error(format!("{} activations", names.len())));
    }
    let mut alphas = node.attrs.floats("activation_alpha").unwrap_or(&[]).iter();
    let mut betas = node.attrs.floats("activation_beta").unwrap_or(&[]).iter();
    let find = |name: &String| {
        let &(kind, alpha, beta) = ACTIVATIONS
            .iter()
            .find(|(kind, ..)| kind == name)
            .ok_or_else(|| Error::Unsupported(format!("{} with activation {name}", node.op)))?;
        // The lists hold values for the functions that take them, in order.
        let takes_alpha = !matches!(kind, "relu" | "tanh" | "sigmoid" | "softsign" | "softplus");
        let takes_beta = matches!(kind, "affine" | "scaledtanh" | "hardsigmoid");
        let alpha = if takes_alpha { alphas.next().copied().unwrap_or(alpha) } else { alpha };
        let beta = if takes_beta { betas.next().copied().unwrap_or(beta) } else { beta };
        Ok(Activation { kind, alpha, beta })
    };
    names.iter().map(find).collect()
}

/// `y[row] += Σ matrix[row, k] · x[k]`
fn multiply_add(matrix: &[f32], x: &[f32], y: &mut [f32]) {
    if x.is_empty() {
        return;
    }
    for (y, row) in y.iter_mut().zip(matrix.chunks_exact(x.len())) {
        let mut lanes = [0f32; 8];
        let (rows, xs) = (row.chunks_exact(8), x.chunks_exact(8));
        let rest: f32 = rows.remainder().iter().zip(xs.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in rows.zip(xs) {
            (0..8).for_each(|l| lanes[l] += a[l] * b[l]);
        }
        *y += lanes.iter().sum::<f32>() + rest;
    }
}

/// One direction of one node.
struct Cell<'a> {
    s: Sizes,
    w: &'a [f32],
    r: &'a [f32],
    /// Biases of W, then of R; empty without.
    bias: &'a [f32],
    /// LSTM's peepholes for gates i, o, f; empty without.
    peepholes: &'a [f32],
    functions: &'a [Activation],
    clip: f32,
    coupled: bool,
    linear_before_reset: bool,
}

impl Cell<'_> {
    fn bias(&self, part: usize, gate: usize) -> impl Fn(usize) -> f32 {
        let start = (part * self.s.gates + gate) * self.s.hidden;
        let bias = self.bias;
        move |k| bias.get(start + k).copied().unwrap_or(0.0)
    }

    fn function(&self, i: usize, x: f32) -> f32 {
        self.functions[i].apply(x.clamp(-self.clip, self.clip))
    }

    /// Advances the states `h` and `c` by one input.
    fn step(&self, op: &str, x: &[f32], h: &mut [f32], c: &mut [f32]) {
        let n = self.s.hidden;
        let rows = self.s.gates * n;
        let mut from_x = vec![0f32; rows];
        let mut from_h = vec![0f32; rows];
        multiply_add(self.w, x, &mut from_x);
        multiply_add(self.r, h, &mut from_h);
        for gate in 0..self.s.gates {
            let (wb, rb) = (self.bias(0, gate), self.bias(1, gate));
            for k in 0..n {
                from_x[gate * n + k] += wb(k);
                from_h[gate * n + k] += rb(k);
            }
        }
        let sum = |gate: usize, k: usize| from_x[gate * n + k] + from_h[gate * n + k];
        match op {
            "RNN" => (0..n).for_each(|k| h[k] = self.function(0, sum(0, k))),
            "GRU" => {
                let z: Vec<f32> = (0..n).map(|k| self.function(0, sum(0, k))).collect();
                let r: Vec<f32> = (0..n).map(|k| self.function(0, sum(1, k))).collect();
                let mut reset: Vec<f32> = (0..n).map(|k| r[k] * from_h[2 * n + k]).collect();
                if !self.linear_before_reset {
                    let gated: Vec<f32> = (0..n).map(|k| r[k] * h[k]).collect();
                    let rb = self.bias(1, 2);
                    (0..n).for_each(|k| reset[k] = rb(k));
                    multiply_add(&self.r[2 * n * n..], &gated, &mut reset);
                }
                for k in 0..n {
                    let new = self.function(1, from_x[2 * n + k] + reset[k]);
                    h[k] = (1.0 - z[k]) * new + z[k] * h[k];
                }
            }
            _ => {
                let peep = |gate: usize, k: usize| self.peepholes.get(gate * n + k).copied().unwrap_or(0.0);
                for k in 0..n {
                    let i = self.function(0, sum(0, k) + peep(0, k) * c[k]);
                    let f = if self.coupled { 1.0 - i } else { self.function(0, sum(2, k) + peep(2, k) * c[k]) };
                    c[k] = f * c[k] + i * self.function(1, sum(3, k));
                    let o = self.function(0, sum(1, k) + peep(1, k) * c[k]);
                    h[k] = o * self.functions[2].apply(c[k]);
                }
            }
        }
    }
}

fn recurrent(call: &mut Call) -> Result<()> {
    let node = call.node;
    let s = Sizes::new(node, call.input(0)?.shape, call.input(1)?.shape, call.input(2)?.shape)?;
    let (x, w, r) = (floats::read(call, 0)?, floats::read(call, 1)?, floats::read(call, 2)?);
    let bias = floats::opt_read(call, 3)?.unwrap_or_default();
    let lengths = if call.arg(4).is_some() { call.ints(4)? } else { vec![s.steps as i64; s.batch] };
    let (h0, c0) = (floats::opt_read(call, 5)?, floats::opt_read(call, 6)?);
    let peepholes = floats::opt_read(call, 7)?.unwrap_or_default();
    let functions = activations(node, s.directions)?;
    let n = s.hidden;
    let reverse = node.attrs.string_or("direction", "forward") == "reverse";

    let mut y = vec![0f32; s.steps * s.directions * s.batch * n];
    let mut last_h = vec![0f32; s.directions * s.batch * n];
    let mut last_c = last_h.clone();
    for d in 0..s.directions {
        // This direction's share of a list.
        let part = |all: usize| d * (all / s.directions)..(d + 1) * (all / s.directions);
        let cell = Cell {
            s,
            w: &w[part(w.len())],
            r: &r[part(r.len())],
            bias: &bias[part(bias.len())],
            peepholes: &peepholes[part(peepholes.len())],
            functions: &functions[part(functions.len())],
            clip: node.attrs.float("clip").filter(|c| *c > 0.0).unwrap_or(f32::INFINITY),
            coupled: node.attrs.flag("input_forget"),
            linear_before_reset: node.attrs.flag("linear_before_reset"),
        };
        for (b, &length) in lengths.iter().enumerate() {
            let state = if s.batch_first { b * s.directions + d } else { d * s.batch + b } * n;
            let initial =
                |v: &Option<Vec<f32>>| v.as_ref().map_or_else(|| vec![0.0; n], |v| v[state..state + n].to_vec());
            let (mut h, mut c) = (initial(&h0), initial(&c0));
            let length = usize::try_from(length).ok().filter(|&l| l <= s.steps);
            let length = length.ok_or_else(|| node.error(format!("sequence {b} is longer than {} steps", s.steps)))?;
            for t in 0..length {
                let t = if reverse || d == 1 { length - 1 - t } else { t };
                let at = if s.batch_first { b * s.steps + t } else { t * s.batch + b } * s.input;
                cell.step(&node.op, &x[at..at + s.input], &mut h, &mut c);
                let to = match s.batch_first {
                    true => (b * s.steps + t) * s.directions + d,
                    false => (t * s.directions + d) * s.batch + b,
                } * n;
                y[to..to + n].copy_from_slice(&h);
            }
            last_h[state..state + n].copy_from_slice(&h);
            last_c[state..state + n].copy_from_slice(&c);
        }
    }
    floats::write(call, 0, &y)?;
    floats::write(call, 1, &last_h)?;
    floats::write(call, 2, &last_c)
}
