//! `fewbit bench matmul`: one product `[M, K] × [N, K]ᵀ` with the weight in an encoding.

use clap::Args;
use serde_json::json;

use super::global::Global;
use super::models::Random;
use super::print;
use super::stats::Times;
use crate::compress::{Spec, encode};
use crate::graph::{Attr, Attrs, Dim, Graph, Model};
use crate::runtime::Session;
use crate::tensor::{DType, Tensor};
use crate::{Error, Result};

#[derive(Args)]
#[group(skip)]
pub struct Matmul {
    /// Rows of the activations (with `matmul`)
    #[arg(long, value_name = "M")]
    m: Option<usize>,
    /// Length of the sums
    #[arg(long, value_name = "K")]
    k: Option<usize>,
    /// Outputs
    #[arg(long, value_name = "N")]
    n: Option<usize>,
    /// How the weight is stored
    #[arg(long, value_name = "ENCODING")]
    weights: Option<String>,
}

/// Weights of a size that fits every machine; f32 of them are 4 GiB.
const MOST: usize = 1 << 30;

impl Matmul {
    /// These belong to `matmul` alone.
    pub fn refuse(&self) -> Result<()> {
        if self.m.or(self.k).or(self.n).is_some() || self.weights.is_some() {
            return Err(Error::Usage("--m, --k, --n and --weights belong to `bench matmul`".into()));
        }
        Ok(())
    }

    fn sizes(&self) -> Result<(usize, usize, usize)> {
        let (Some(m), Some(k), Some(n)) = (self.m, self.k, self.n) else {
            return Err(Error::Usage("`bench matmul` needs --m, --k, --n and --weights".into()));
        };
        let fits = |a: usize, b: usize| a > 0 && b > 0 && a.checked_mul(b).is_some_and(|n| n <= MOST);
        if !fits(m, k) || !fits(k, n) || !fits(m, n) {
            return Err(Error::Usage(format!("matrices of {m}×{k} and {n}×{k} are empty or too large")));
        }
        Ok((m, k, n))
    }
}

pub fn run(global: &Global, options: &Matmul, repeat: usize) -> Result<()> {
    let (m, k, n) = options.sizes()?;
    let text = options.weights.as_deref().ok_or_else(|| Error::Usage("`bench matmul` needs --weights".into()))?;
    let spec: Spec = text.parse()?;
    let device = global.device()?;
    let mut random = Random(1);
    let mut matrix = |rows: usize, cols: usize| -> Result<Tensor> {
        Tensor::new([rows, cols], &(0..rows * cols).map(|_| random.float()).collect::<Vec<_>>())
    };
    let x = matrix(m, k)?;
    let weight = encode(&matrix(n, k)?, &spec, None)?;
    let weight_bytes = weight.bytes();

    let mut graph = Graph { name: "matmul".into(), ..Graph::default() };
    let input = graph.add_input("x", DType::F32, vec![Dim::Known(m), Dim::Known(k)]);
    let weight = graph.add_weight("weight", weight);
    let mut attrs = Attrs::default();
    attrs.set("transposed", Attr::Int(1));
    let output = graph.add_node("fewbit.Linear", "y", &[input, weight], attrs);
    graph.outputs.push(output);
    let mut session = Session::new(&Model { graph, ..Model::default() }, &device)?;
    let times = Times::measure(repeat, || session.run(&[("x", &x)]).map(drop))?;

    let seconds = times.median() / 1e3;
    let gflops = 2.0 * (m * k * n) as f64 / seconds / 1e9;
    // Every byte once: activations in, weights in, activations out.
    let gbytes = (4 * (m * k + m * n) + weight_bytes) as f64 / seconds / 1e9;
    let (median, min, name) = (times.median(), times.min(), device.describe());
    if global.json {
        return print::json(&json!({
            "median_ms": median,
            "min_ms": min,
            "gflops": gflops,
            "gbytes_per_second": gbytes,
            "device": name,
            "weights": spec.to_string(),
            "weight_bytes": weight_bytes,
        }));
    }
    print::line(&format!("median {median:.3} ms, min {min:.3} ms, {gflops:.2} GFLOP/s, {gbytes:.2} GB/s on {name}"))
}
