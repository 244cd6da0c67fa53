//! `fewbit.Linear`: few rows go to `shaders/matvec.wgsl`, which decodes in registers; many to `shaders/gemm.wgsl`, which
//! decodes into workgroup memory.

use super::decode::{Coded, coded};
use super::emit::{Emit, GpuKernel, Operand, u32_of};
use super::epilogue::Epilogue;
use super::gemm::{self, Operands, Product};
use super::shader::matvec::{Params, decoding_four, decoding_one};
use crate::Result;
use crate::graph::Weight;
use crate::ops::product::linear_sizes;
use crate::tensor::{DType, Tensor};

pub const KERNELS: &[GpuKernel] = &[GpuKernel { op: "fewbit.Linear", emit: linear, encoded_inputs: &[1] }];

/// Up to this many rows the bytes of the weight bound the product.
const MATVEC_ROWS: usize = 8;

fn linear(e: &mut Emit) -> Result<()> {
    let x = e.input_type(0)?;
    if x.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let (k, n) = linear_sizes(e.node, &x.shape, &e.input_type(1)?.shape)?;
    let m: usize = x.shape[..x.shape.len() - 1].iter().product();
    let epilogue = Epilogue::of(e, 2, 3)?;
    let transposed = e.node.attrs.flag("transposed");
    if m <= MATVEC_ROWS && (!transposed || e.weight(1).is_some()) {
        return matvec(e, [m, k, n], transposed, &epilogue);
    }
    let mut b = [n, 1];
    let weight = match (e.weight(1), transposed) {
        (Some(Weight::Encoded(encoded)), _) => coded(e, encoded)?,
        (Some(Weight::Dense(_)), true) => Coded::dense(transposed_weight(e, [n, k])?, n)?,
        (None, true) => {
            b = [1, k];
            Coded::dense(e.input(1)?, k)?
        }
        (_, false) => Coded::dense(e.input(1)?, n)?,
    };
    let product = Product { m, n, k, offsets: vec![[0, 0]], a: [k, 1], b, bias: [0, 1], alpha: 1.0, beta: 1.0 };
    let operands =
        Operands { a: e.input(0)?, b: weight, bias: e.opt_input(2)?, residual: e.opt_input(3)?, c: e.output(0)? };
    gemm::dispatch(e, &product, operands, &epilogue)
}

fn matvec(e: &mut Emit, [m, k, n]: [usize; 3], transposed: bool, epilogue: &Epilogue) -> Result<()> {
    let weight = match (e.encoded(1), transposed) {
        (Some(encoded), _) => coded(e, encoded)?,
        (None, true) => Coded::dense(transposed_weight(e, [n, k])?, n)?,
        (None, false) => Coded::dense(e.input(1)?, n)?,
    };
    // Barriers cost a software adapter more than the lanes' partial sums; a GPU needs the lanes for coalesced loads.
    let split = if e.is_software() { 1 } else { 8 };
    let (shader, rows) = if m == 1 { (decoding_one(weight.stage), 1) } else { (decoding_four(weight.stage), 4) };
    let width = 64 / split * (4 / rows as u32);
    let params = Params {
        weight: weight.form,
        m: u32_of(m)?,
        n: u32_of(n)?,
        k: u32_of(k)?,
        a: epilogue.activation.a,
        b: epilogue.activation.b,
    };
    let mut overrides = weight.overrides;
    overrides.push(("SPLIT", f64::from(split)));
    overrides.extend(epilogue.overrides());
    let mut operands: Vec<Operand> = vec![e.input(0)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    operands.extend(weight.operands);
    let groups = [u32_of(n)?.div_ceil(width), u32_of(m.div_ceil(rows))?, 1];
    e.dispatch(shader, &overrides, &operands, &params, groups)
}

/// Dense weight 1 of shape `[rows, cols]` as `[cols, rows]`, made once per session.
fn transposed_weight(e: &mut Emit, [rows, cols]: [usize; 2]) -> Result<Operand> {
    let tensor = e.value(1).ok_or_else(|| e.unsupported("the weight is not constant"))?;
    let layout = format!("transposed {rows}×{cols}");
    e.packed(&tensor, &layout, |tensor: &Tensor| {
        let source: &[u32] = bytemuck::try_cast_slice(tensor.bytes()).unwrap_or(&[]);
        let mut out = Vec::with_capacity(source.len());
        for col in 0..cols {
            out.extend((0..rows).filter_map(|row| source.get(row * cols + col)));
        }
        Ok(out)
    })
}
