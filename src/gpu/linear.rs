//! `fewbit.Linear`: few rows go to `shaders/matvec.wgsl`, which decodes in registers; many to `shaders/gemm.wgsl`. Weights
//! that one binding does not hold are taken window by window of their rows.

#[cfg(feature = "full")]
use super::decode::byte_coded;
use super::decode::{Coded, Window, coded, ranges};
use super::emit::{Emit, GpuKernel, Operand, u32_of};
use super::epilogue::Epilogue;
use super::gemm::{self, SUBGROUP_COLS};
#[cfg(feature = "full")]
use super::int8;
use super::product::{Operands, Product};
use super::shader::matvec::{Params, decoding_four, decoding_one};
#[cfg(feature = "full")]
use super::{matvec_sparse, matvec_subgroup, matvec_wide};
use crate::Result;
use crate::ops::product::linear_sizes;
use crate::tensor::DType;

pub const KERNELS: &[GpuKernel] = &[GpuKernel { op: "fewbit.Linear", emit: linear, encoded_inputs: &[1] }];

/// Up to this many rows the bytes of the weight bound the product.
const MATVEC_ROWS: usize = 8;

/// Parts into which a workgroup may split a column: the variants of `matvec`.
const SPLITS: [u32; 4] = [1, 4, 8, 16];

/// Longest run of columns that one of several parts takes at a time, a power of two.
const LONGEST_SPAN: u32 = 32;

/// Columns `first … first + n` of the output and what computes them.
struct Part {
    first: usize,
    n: usize,
    weight: Coded,
    /// The weight as bytes, if activations may be rounded and there are kernels for it.
    bytes: Option<Coded>,
    /// Elements between rows and columns of a dense weight.
    strides: [usize; 2],
}

fn linear(e: &mut Emit) -> Result<()> {
    let x = e.input_type(0)?;
    if x.dtype != DType::F32 {
        return Err(e.unsupported("only f32"));
    }
    let (k, n) = linear_sizes(e.node, &x.shape, &e.input_type(1)?.shape)?;
    let m: usize = x.shape[..x.shape.len() - 1].iter().product();
    let epilogue = Epilogue::of(e, 2, 3)?;
    // A software adapter is bound by loads of x unless subgroups share them.
    let most = if e.is_software() && n >= SUBGROUP_COLS { 1 } else { MATVEC_ROWS };
    let few = m <= most && (!e.node.attrs.flag("transposed") || e.weight(1).is_some());
    for part in parts(e, [k, n])? {
        match few {
            true => matvec(e, [m, k, n], part, &epilogue)?,
            false => product(e, [m, k, n], part, &epilogue)?,
        }
    }
    Ok(())
}

fn parts(e: &mut Emit, [k, n]: [usize; 2]) -> Result<Vec<Part>> {
    let transposed = e.node.attrs.flag("transposed");
    let limit = e.binding_limit();
    if let Some(encoded) = e.encoded(1) {
        let part = |window: Window| {
            let (weight, bytes) = (coded(e, &window)?, as_bytes(e, &window)?);
            Ok(Part { first: window.first, n: window.rows(), weight, bytes, strides: [n, 1] })
        };
        return Window::split(encoded, limit).into_iter().map(part).collect();
    }
    let most = usize::try_from(limit / 4).unwrap_or(usize::MAX) / k.max(1);
    if e.weight(1).is_none() || (!transposed && most >= n) {
        let strides = if transposed { [1, k] } else { [n, 1] };
        return Ok(vec![Part { first: 0, n, weight: Coded::dense(e.input(1)?, n)?, bytes: None, strides }]);
    }
    let part = |cols: std::ops::Range<usize>| {
        let (first, len) = (cols.start, cols.len());
        let weight = Coded::dense(e.dense_columns(1, [k, n], transposed, cols)?, len)?;
        Ok(Part { first, n: len, weight, bytes: None, strides: [len, 1] })
    };
    ranges(n, most, 1).map(part).collect()
}

/// What may compute a product with few rows.
#[cfg(feature = "full")]
#[derive(Clone, Copy)]
enum Variant {
    /// `matvec`, columns split into so many parts.
    Split(u32),
    Subgroup,
    /// `matvec_wide`.
    Wide(u32),
    /// `matvec_int8`.
    Rounded(u32),
    /// `matvec_sparse`.
    Sparse(u32),
}

/// The one measured to be fastest, or else the usual one for such an adapter.
#[cfg(feature = "full")]
fn variant(e: &mut Emit, [m, k, n]: [usize; 3], total: usize, weight: &Coded, bytes: Option<&Coded>) -> Variant {
    let mut all = SPLITS.map(Variant::Split).to_vec();
    if m == 1 && k.is_multiple_of(8) && e.subgroup_lanes().is_some() && !weight.is_bulky() {
        all.push(Variant::Subgroup);
    }
    if matvec_wide::suits(e, [m, k, n], weight) {
        all.extend(matvec_wide::SPLITS.map(Variant::Wide));
    }
    if matvec_sparse::suits(m, weight) {
        all.extend(matvec_sparse::SPLITS.map(Variant::Sparse));
    }
    if bytes.is_some() {
        all.extend(int8::SPLITS.map(Variant::Rounded));
    }
    let software = e.is_software();
    // Subgroups save loads, of x if they have many lanes, of tables in any case.
    let held = weight.held.is_some_and(|[_, few]| few > 0.0);
    let usual = |variant: &Variant| match *variant {
        // Barriers cost a software adapter more than the lanes' partial sums; a GPU needs the lanes for coalesced loads.
        Variant::Split(parts) | Variant::Sparse(parts) => parts == if software { 1 } else { 8 },
        Variant::Subgroup => software && (e.subgroup_lanes() >= Some(8) || held),
        Variant::Wide(parts) | Variant::Rounded(parts) => !software && parts == 8,
    };
    let default = all.iter().rposition(usual).unwrap_or(0);
    all[e.choose([m, k, total], all.len(), default)]
}

#[cfg(feature = "full")]
fn as_bytes(e: &mut Emit, window: &Window) -> Result<Option<Coded>> {
    if !e.may_round() {
        return Ok(None);
    }
    Ok(byte_coded(e, window)?.filter(int8::suits))
}

/// Small builds compute in f32.
#[cfg(not(feature = "full"))]
fn as_bytes(_: &mut Emit, _: &Window) -> Result<Option<Coded>> {
    Ok(None)
}

fn product(e: &mut Emit, [m, k, total]: [usize; 3], part: Part, epilogue: &Epilogue) -> Result<()> {
    let Part { first, n, weight, bytes, strides } = part;
    let product = Product {
        m,
        n,
        k,
        first,
        total,
        offsets: vec![[0, 0]],
        a: [k, 1],
        b: strides,
        bias: [0, 1],
        alpha: 1.0,
        beta: 1.0,
    };
    let operands = Operands {
        a: e.input(0)?,
        b: weight,
        bytes,
        bias: e.opt_input(2)?,
        residual: e.opt_input(3)?,
        c: e.output(0)?,
    };
    gemm::dispatch(e, &product, operands, epilogue)
}

fn matvec(e: &mut Emit, [m, k, total]: [usize; 3], part: Part, epilogue: &Epilogue) -> Result<()> {
    let Part { first, n, weight, .. } = part;
    #[cfg(feature = "full")]
    let split = match variant(e, [m, k, n], total, &weight, part.bytes.as_ref()) {
        Variant::Split(parts) => parts,
        Variant::Subgroup => return matvec_subgroup::dispatch(e, [k, n], first, weight, epilogue),
        Variant::Wide(parts) => {
            return matvec_wide::dispatch(e, [m, k, n], [first, total], weight, parts, epilogue);
        }
        Variant::Sparse(parts) => return matvec_sparse::dispatch(e, [k, n], first, weight, parts, epilogue),
        Variant::Rounded(parts) => {
            let bytes = part.bytes.ok_or_else(|| e.unsupported("no bytes"))?;
            return int8::matvec(e, [m, k, n], [first, total], bytes, parts, epilogue);
        }
    };
    // Small builds have one kernel.
    #[cfg(not(feature = "full"))]
    let split = SPLITS[e.choose([m, k, total], SPLITS.len(), if e.is_software() { 0 } else { 2 })];
    let alone = m == 1 && !weight.is_bulky();
    let (shader, rows) = if alone { (decoding_one(weight.stage), 1) } else { (decoding_four(weight.stage), 4) };
    let width = 64 / split * (4 / rows as u32);
    let params = Params {
        weight: weight.form,
        m: u32_of(m)?,
        n: u32_of(n)?,
        k: u32_of(k)?,
        span: if split == 1 { weight.span } else { weight.span.min(LONGEST_SPAN) },
        first: u32_of(first)?,
        total: u32_of(total)?,
        a: epilogue.activation.a,
        b: epilogue.activation.b,
    };
    let mut overrides = weight.overrides;
    let aligned = m == 1 || k.is_multiple_of(4);
    overrides.extend([("SPLIT", f64::from(split)), ("ALIGNED", u32::from(aligned).into())]);
    overrides.extend(epilogue.overrides());
    let mut operands: Vec<Operand> = vec![e.input(0)?, e.opt_input(2)?, e.opt_input(3)?, e.output(0)?];
    operands.extend(weight.operands);
    let groups = [u32_of(n)?.div_ceil(width), u32_of(m.div_ceil(rows))?, 1];
    e.dispatch(shader, &overrides, &operands, &params, groups)
}
