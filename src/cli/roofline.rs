//! Times of products beside what the device can do at most and beside the dense products of the same shape.

use serde_json::{Value, json};

use super::print;
use super::stats::Times;
use crate::Result;
use crate::compress::Spec;
use crate::cpu::ceilings::Ceilings;

/// One measured product.
pub struct Row {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub spec: Spec,
    pub weight_bytes: usize,
    pub times: Times,
    /// The least milliseconds by the GPU's own clock, if it has one.
    pub kernel_ms: Option<f64>,
    /// What computed it.
    pub device: String,
    /// Why that is the CPU, where a GPU was asked for.
    pub left: Option<String>,
}

/// Milliseconds of the dense products of a row's shape.
pub struct Dense {
    pub f32: Option<f64>,
    pub f16: Option<f64>,
}

impl Row {
    /// What shares of ceilings and comparisons go by: the GPU's clock where there is one, else the median of the host's.
    pub fn ms(&self) -> f64 {
        self.kernel_ms.unwrap_or_else(|| self.times.median())
    }

    fn gflop(&self) -> f64 {
        2.0 * self.m as f64 * self.k as f64 * self.n as f64 / 1e9
    }

    /// Every byte once: activations in, weights in, activations out.
    fn gbytes(&self) -> f64 {
        (4 * (self.m * self.k + self.m * self.n) + self.weight_bytes) as f64 / 1e9
    }
}

pub struct Table {
    device: String,
    ceilings: Option<Ceilings>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without `ceilings`, the rows have no shares of them.
    pub fn new(device: String, ceilings: Option<Ceilings>) -> Self {
        Table { device, ceilings, rows: Vec::new() }
    }

    /// Those of the GPU say nothing of a product that ran on the CPU.
    fn ceilings_of(&self, row: &Row) -> Option<&Ceilings> {
        self.ceilings.as_ref().filter(|_| row.left.is_none())
    }

    /// A row as JSON.
    pub fn json(&self, row: &Row, dense: &Dense) -> Value {
        let seconds = row.times.median() / 1e3;
        let mut object = json!({
            "median_ms": row.times.median(),
            "min_ms": row.times.min(),
            "gflops": row.gflop() / seconds,
            "gbytes_per_second": row.gbytes() / seconds,
            "device": row.device,
            "m": row.m,
            "k": row.k,
            "n": row.n,
            "weights": row.spec.to_string(),
            "weight_bytes": row.weight_bytes,
        });
        if let Some(ms) = row.kernel_ms {
            object["kernel_ms"] = json!(ms);
        }
        if let Some(why) = &row.left {
            object["left_to_cpu"] = json!(why);
        }
        if let Some(ceilings) = self.ceilings_of(row) {
            let (copy, arithmetic) = shares(row, ceilings);
            object["copy_gbytes_per_second"] = json!(ceilings.copy / 1e9);
            object["fma_gflops"] = json!(ceilings.multiply_add / 1e9);
            object["of_copy"] = json!(copy);
            object["of_fma"] = json!(arithmetic);
        }
        for (name, ms) in [("times_f32", dense.f32), ("times_f16", dense.f16)] {
            if let Some(ms) = ms {
                object[name] = json!(ms / row.ms());
            }
        }
        object
    }

    pub fn add(&mut self, rows: Vec<Row>, dense: Dense) {
        for row in rows {
            let seconds = row.ms() / 1e3;
            let times = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!("{:.2}", ms / row.ms()));
            let (copy, arithmetic) = match self.ceilings_of(&row) {
                Some(ceilings) => {
                    let (copy, arithmetic) = shares(&row, ceilings);
                    (format!("{:.0}", 100.0 * copy), format!("{:.0}", 100.0 * arithmetic))
                }
                None => Default::default(),
            };
            let kernel = row.kernel_ms.map_or_else(String::new, |ms| format!("{ms:.3}"));
            self.rows.push(vec![
                row.m.to_string(),
                row.k.to_string(),
                row.n.to_string(),
                row.spec.to_string(),
                format!("{:.3}", row.times.median()),
                format!("{:.3}", row.times.min()),
                kernel,
                format!("{:.1}", row.gflop() / seconds),
                arithmetic,
                format!("{:.1}", row.gbytes() / seconds),
                copy,
                times(dense.f32),
                times(dense.f16),
                row.left.unwrap_or_default(),
            ]);
        }
    }

    /// Columns that no row fills are left out.
    pub fn print(&self) -> Result<()> {
        const HEADER: [&str; 14] = [
            "M",
            "K",
            "N",
            "weights",
            "ms",
            "least ms",
            "kernel ms",
            "GFLOP/s",
            "% of fma",
            "GB/s",
            "% of copy",
            "× f32",
            "× f16",
            "on the CPU, because",
        ];
        let filled: Vec<usize> =
            (0..HEADER.len()).filter(|&c| self.rows.iter().any(|row| !row[c].is_empty())).collect();
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| filled.iter().map(|&c| row[c].clone()).collect()).collect();
        match &self.ceilings {
            Some(c) => print::line(&format!(
                "{}: copies {:.1} GB/s (read and written), computes {:.1} GFLOP/s (f32 multiply and add)",
                self.device,
                c.copy / 1e9,
                c.multiply_add / 1e9
            ))?,
            None => print::line(&self.device)?,
        }
        print::table(&filled.iter().map(|&c| HEADER[c]).collect::<Vec<_>>(), &rows)
    }
}

/// Shares of the copy bandwidth and of the arithmetic. A weight that stays in the caches can pass the former by far.
fn shares(row: &Row, ceilings: &Ceilings) -> (f64, f64) {
    let seconds = row.ms() / 1e3;
    (1e9 * row.gbytes() / seconds / ceilings.copy, 1e9 * row.gflop() / seconds / ceilings.multiply_add)
}
