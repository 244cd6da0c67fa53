//! `fewbit.Linear`: `activation(x · Wᵀ + bias + residual)` with a dense or few-bit weight; with `activations` = "int8" a
//! few-bit one may be multiplied with x rounded to 8 bits. GPU twins: `shaders/matvec.wgsl`, `shaders/gemm.wgsl`.

use super::decode::EncodedRows;
use super::fewbit::{self, Activations, Source};
use super::gemm::{Bias, Divide, Epilogue, Operand, Product, Strided};
use super::matvec::matvec;
use super::product::{dense_weight, encoded, gemm_b, operand, shared_b};
use super::{Call, Kernel, Prepare, Prepared, Threads, numeric};
use crate::ops::epilogue::{Activation, Residual};
use crate::ops::product::linear_sizes;
use crate::weights::Encoded;
use crate::{Error, Result};

pub const KERNELS: &[Kernel] =
    &[Kernel { op: "fewbit.Linear", run: linear, prepare: Some(prepare), encoded_inputs: &[1] }];

fn prepare(p: &Prepare) -> Result<Option<Prepared>> {
    let Some(weight) = dense_weight(p, 1) else { return Ok(None) };
    let shape = |i: usize| p.types.get(i).and_then(Option::as_ref).map_or(&[][..], |t| &t.shape);
    let (k, n) = linear_sizes(p.node, shape(0), shape(1))?;
    Ok(shared_b(p, weight, n, k, p.node.attrs.flag("transposed")))
}

fn linear(call: &mut Call) -> Result<()> {
    let node = call.node;
    let x = call.input(0)?;
    let encoded = encoded(call, 1);
    let weight_shape = match encoded {
        Some(weight) => weight.shape(),
        None => call.input(1)?.shape,
    };
    let (k, n) = linear_sizes(node, x.shape, weight_shape)?;
    let m = x.shape[..x.shape.len() - 1].iter().product();
    if encoded.is_some() && !node.attrs.flag("transposed") {
        return Err(node.error("a few-bit weight must be stored [outputs, inputs] (`transposed` = 1)"));
    }

    let dense = if encoded.is_some() { None } else { Some(numeric::to_f32(call.input(1)?)?) };
    let bias = call.opt_input(2)?.map(numeric::to_f32).transpose()?;
    let residual = call.opt_input(3)?.map(numeric::to_f32).transpose()?;
    let epilogue = Epilogue {
        scale: 1.0,
        bias: bias.as_deref().map_or(Bias::None, Bias::PerColumn),
        residual: residual.as_deref(),
        order: Residual::of(node)?,
        activation: Activation::of(node)?,
    };
    let activations: Activations =
        node.attrs.string_or("activations", "f32").parse().map_err(|e: Error| node.error(e.to_string()))?;
    let x = numeric::to_f32(x)?;
    let rows = Strided::rows(&x, k);
    let (threads, prepared) = (call.threads, call.prepared);
    let [out, ..] = &mut *call.outputs else { return Ok(()) };
    match (encoded, &dense) {
        (Some(weight), _) => {
            numeric::fill_f32(out, |out| few_bit(threads, &x, [m, k, n], weight, activations, epilogue, out))
        }
        (None, Some(weight)) => {
            let columns = gemm_b(node.attrs.flag("transposed"), weight, k, n);
            let b = operand(prepared, &columns);
            let divide = if m >= 4 * threads.level().tile_rows() { Divide::Rows } else { Divide::Columns };
            let product = Product { m, n, k, a: Operand::Source(&rows), b, epilogue };
            numeric::fill_f32(out, |out| product.run(threads, divide, out))
        }
        (None, None) => Err(node.error("the weight is missing")),
    }
}

/// `[m, k] · [n, k]ᵀ` with an encoded weight: by a kernel that decodes in registers if one takes it, else decoded row by
/// row.
fn few_bit(
    threads: &Threads,
    x: &[f32],
    [m, k, n]: [usize; 3],
    weight: &Encoded,
    activations: Activations,
    epilogue: Epilogue,
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if let Encoded::HalfFloat(weight) = weight
        && super::halves::product(threads, x, m, weight, &epilogue, out)
    {
        return;
    }
    #[cfg(feature = "full")]
    if let Encoded::Blocks(weight) = weight
        && super::blocks::product(threads, x, m, weight, &epilogue, out)
    {
        return;
    }
    #[cfg(all(target_arch = "x86_64", feature = "full"))]
    if let Encoded::Sparse(weight) = weight
        && super::sparse::product(threads, x, m, weight, &epilogue, out)
    {
        return;
    }
    let source = Source::new(threads.level(), weight);
    if source.is_some_and(|source| fewbit::product(threads, x, m, &source, activations, &epilogue, out)) {
        return;
    }
    if m == 1 {
        return matvec(threads, x, weight, &epilogue, out);
    }
    let (rows, columns) = (Strided::rows(x, k), EncodedRows::new(threads.level(), weight, 0));
    let product = Product { m, n, k, a: Operand::Source(&rows), b: Operand::Source(&columns), epilogue };
    // Decoding costs more than packing x, so each thread decodes its own outputs.
    product.run(threads, Divide::Columns, out);
}
