//! `fewbit bench matmul`: products `[M, K] × [N, K]ᵀ` with the weight in an encoding, beside the dense ones of the same
//! shape and what the device can do at most.

use clap::Args;

use super::global::Global;
use super::models::Random;
use super::roofline::{Dense, Row, Table};
use super::stats::Times;
use super::{print, tuned};
use crate::compress::{Spec, encode};
use crate::graph::{Attr, Attrs, Dim, Graph, Model, Weight};
use crate::runtime::{Activations, Device, Session};
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

#[derive(Args)]
#[group(skip)]
pub struct Matmul {
    /// Rows of the activations (with `matmul`); several: 1,8,256
    #[arg(long, value_name = "M", value_delimiter = ',')]
    m: Vec<usize>,
    /// Length of the sums; several pair up with those of --n
    #[arg(long, value_name = "K", value_delimiter = ',')]
    k: Vec<usize>,
    /// Outputs
    #[arg(long, value_name = "N", value_delimiter = ',')]
    n: Vec<usize>,
    /// How the weight is stored; several: palette:4,affine:4:group=32
    #[arg(long, value_name = "ENCODING", value_delimiter = ',')]
    weights: Vec<String>,
    /// Only the products: no dense ones beside them, and no copies and arithmetic of the device
    #[arg(long)]
    alone: bool,
}

/// Weights of a size that fits every machine; f32 of them are 4 GiB.
const MOST: usize = 1 << 30;

impl Matmul {
    /// These belong to `matmul` alone.
    pub fn refuse(&self) -> Result<()> {
        let sizes = [&self.m, &self.k, &self.n];
        if sizes.iter().any(|sizes| !sizes.is_empty()) || !self.weights.is_empty() || self.alone {
            return Err(Error::Usage("--m, --k, --n, --weights and --alone belong to `bench matmul`".into()));
        }
        Ok(())
    }

    /// The `(K, N)`: lists of equal length in pairs, or one value of one with each of the other.
    fn shapes(&self) -> Result<Vec<(usize, usize)>> {
        if [&self.m, &self.k, &self.n].iter().any(|sizes| sizes.is_empty()) || self.weights.is_empty() {
            return Err(Error::Usage("`bench matmul` needs --m, --k, --n and --weights".into()));
        }
        let count = self.k.len().max(self.n.len());
        if [&self.k, &self.n].iter().any(|sizes| sizes.len() != 1 && sizes.len() != count) {
            let (k, n) = (self.k.len(), self.n.len());
            return Err(Error::Usage(format!("{k} values of --k do not pair up with {n} of --n")));
        }
        let at = |sizes: &[usize], i: usize| sizes[i % sizes.len()];
        let shapes: Vec<_> = (0..count).map(|i| (at(&self.k, i), at(&self.n, i))).collect();
        let fits = |a: usize, b: usize| a > 0 && b > 0 && a.checked_mul(b).is_some_and(|n| n <= MOST);
        for (&(k, n), &m) in shapes.iter().flat_map(|shape| self.m.iter().map(move |m| (shape, m))) {
            if !fits(m, k) || !fits(k, n) || !fits(m, n) {
                return Err(Error::Usage(format!("matrices of {m}×{k} and {n}×{k} are empty or too large")));
            }
        }
        Ok(shapes)
    }

    /// The encodings asked for, and behind them the dense ones to compare with.
    fn specs(&self) -> Result<(Vec<Spec>, usize)> {
        let mut specs = self.weights.iter().map(|text| text.parse()).collect::<Result<Vec<Spec>>>()?;
        let asked = specs.len();
        for dense in [Spec::F32, Spec::F16] {
            if !self.alone && !specs.contains(&dense) {
                specs.push(dense);
            }
        }
        Ok((specs, asked))
    }
}

/// A weight as the products of one shape share it.
struct Stored {
    spec: Spec,
    weight: Weight,
    bytes: usize,
}

/// How products are computed.
#[derive(Clone, Copy)]
pub struct How {
    /// Each chooses its kernel's fastest variant first.
    pub tune: bool,
    pub activations: Activations,
}

pub fn run(global: &Global, options: &Matmul, repeat: usize, how: How) -> Result<()> {
    let shapes = options.shapes()?;
    let (specs, asked) = options.specs()?;
    let device = global.device()?;
    let ceilings = if options.alone { None } else { Some(device.ceilings()?) };
    let mut random = Random(1);
    let mut table = Table::new(device.describe(), ceilings);
    let bar = print::progress("products", (shapes.len() * options.m.len()) as u64);
    for (k, n) in shapes {
        let dense = matrix(&mut random, n, k)?;
        let mut stored = Vec::with_capacity(specs.len());
        for spec in &specs {
            let weight = encode(&dense, spec, None)?;
            stored.push(Stored { spec: spec.clone(), bytes: weight.bytes(), weight });
        }
        for &m in &options.m {
            let x = matrix(&mut random, m, k)?;
            let rows = measure(&device, &stored, &x, [n, repeat], how)?;
            let time = |spec: Spec| rows.iter().find(|row| row.spec == spec).map(Row::ms);
            let dense = Dense { f32: time(Spec::F32), f16: time(Spec::F16) };
            for row in rows.iter().take(asked) {
                if global.json {
                    print::json(&table.json(row, &dense))?;
                }
            }
            // The dense ones are rows of the table too.
            table.add(rows, dense);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if global.json { Ok(()) } else { table.print() }
}

/// Each weight's product with `x`, in turns.
fn measure(device: &Device, stored: &[Stored], x: &Tensor, [n, repeat]: [usize; 2], how: How) -> Result<Vec<Row>> {
    let (m, k) = (x.shape()[0], x.shape()[1]);
    let mut sessions = stored.iter().map(|s| product(device, &s.weight, m, k)).collect::<Result<Vec<_>>>()?;
    sessions.iter_mut().for_each(|session| session.set_activations(how.activations));
    let inputs = [("x", x)];
    if how.tune {
        sessions.iter_mut().try_for_each(|session| tuned::tune(session, &inputs))?;
    }
    let times = Times::take_turns(repeat, sessions.len(), |i| sessions[i].run(&inputs).map(drop))?;
    let mut rows = Vec::with_capacity(stored.len());
    for ((stored, times), session) in stored.iter().zip(times).zip(&mut sessions) {
        let kernel_ms = kernel_ms(device, session, &inputs, repeat)?;
        rows.push(Row { m, k, n, spec: stored.spec.clone(), weight_bytes: stored.bytes, times, kernel_ms });
    }
    Ok(rows)
}

/// What the GPU's own clock says, without the way to it and back; `None` on a device without one.
fn kernel_ms(device: &Device, session: &mut Session, inputs: &[(&str, &Tensor)], repeat: usize) -> Result<Option<f64>> {
    match device {
        #[cfg(feature = "gpu")]
        Device::Gpu(gpu, _) if gpu.has_timestamps() => {
            let mut least = f64::INFINITY;
            for _ in 0..repeat {
                let nodes = session.profile(inputs)?.nodes;
                least = least.min(nodes.iter().map(|node| node.ms).sum());
            }
            Ok(Some(least))
        }
        _ => {
            let _ = (session, inputs, repeat);
            Ok(None)
        }
    }
}

fn matrix(random: &mut Random, rows: usize, cols: usize) -> Result<Tensor> {
    Tensor::new([rows, cols], &(0..rows * cols).map(|_| random.float()).collect::<Vec<_>>())
}

/// `y = x · weightᵀ` as a session.
fn product(device: &Device, weight: &Weight, m: usize, k: usize) -> Result<Session> {
    let mut graph = Graph { name: "matmul".into(), ..Graph::default() };
    let input = graph.add_input("x", DType::F32, vec![Dim::Known(m), Dim::Known(k)]);
    let weight = graph.add_weight("weight", weight.clone());
    let mut attrs = Attrs::default();
    attrs.set("transposed", Attr::Int(1));
    let output = graph.add_node("fewbit.Linear", "y", &[input, weight], attrs);
    graph.outputs.push(output);
    Session::new(&Model { graph, ..Model::default() }, device)
}
