//! Products of matrices. Shader: `shaders/gemm.wgsl`.

use super::decode::Coded;
use super::emit::{Emit, GpuKernel, grid, u32_of};
use super::epilogue::Epilogue;
use super::gemm_subgroup;
#[cfg(feature = "full")]
use super::int8;
use super::product::{Operands, Product};
use super::shader::gemm::{Params, decoding_alone, decoding_together};
use super::tile::{Tile, VARIANTS};
use crate::Result;
use crate::ops::product::{BatchedProduct, gemm_sizes};
use crate::tensor::{DType, broadcast_strides};

pub const KERNELS: &[GpuKernel] = &[GpuKernel::new("MatMul", matmul), GpuKernel::new("Gemm", gemm)];

/// Most lanes whose columns fit the chunk of `shaders/shared/staged.wgsl` by eights.
const STAGED_LANES: usize = 8;

/// How invocations share operands.
enum Sharing {
    /// Not at all.
    Alone(Tile),
    /// Few-bit weights, decoded into workgroup memory.
    Together(Tile),
    /// Elements of a, over subgroups.
    Subgroup,
    /// Both operands, as integers of 8 bits.
    #[cfg(feature = "full")]
    Int8(Coded),
}

/// Fewer columns leave too much of the tile of `gemm_subgroup` idle.
pub const SUBGROUP_COLS: usize = 256;

pub fn dispatch(e: &mut Emit, p: &Product, mut o: Operands, epilogue: &Epilogue) -> Result<()> {
    let dense = o.b.is_dense();
    let bytes = o.bytes.take();
    let (tile, alone) = match sharing(e, p, &o.b, bytes) {
        #[cfg(feature = "full")]
        Sharing::Int8(bytes) => return int8::gemm(e, p, o, bytes, epilogue),
        Sharing::Subgroup => return gemm_subgroup::dispatch(e, p, o, epilogue),
        Sharing::Alone(tile) => (tile, true),
        Sharing::Together(tile) => (tile, false),
    };
    let tiles = tile.workgroups().saturating_mul(p.offsets.len());
    let params = Params {
        weight: o.b.form,
        m: u32_of(p.m)?,
        n: u32_of(p.n)?,
        k: u32_of(p.k)?,
        first: u32_of(p.first)?,
        total: u32_of(p.total)?,
        tiles_m: u32_of(tile.rows)?,
        tiles_n: u32_of(tile.cols)?,
        tiles: u32_of(tiles)?,
        a_row: u32_of(p.a[0])?,
        a_col: u32_of(p.a[1])?,
        b_row: u32_of(p.b[0])?,
        b_col: u32_of(p.b[1])?,
        bias_row: u32_of(p.bias[0])?,
        bias_col: u32_of(p.bias[1])?,
        span: o.b.span,
        alpha: p.alpha,
        beta: p.beta,
        act_a: epilogue.activation.a,
        act_b: epilogue.activation.b,
    };
    let shader = if alone { decoding_alone(o.b.stage) } else { decoding_together(o.b.stage) };
    let mut operands = vec![o.a, o.bias, o.residual];
    if dense {
        operands.push(e.constant(bytemuck::cast_slice(&p.offsets))?);
    }
    operands.push(o.c);
    operands.extend(o.b.operands);
    let mut overrides = o.b.overrides;
    overrides.push(("LANES", tile.lanes as f64));
    if alone && !dense {
        let aligned = p.a[0].is_multiple_of(4) && p.a[1] == 1;
        overrides.push(("ALIGNED", u32::from(aligned).into()));
    }
    overrides.extend(epilogue.overrides());
    e.dispatch(shader, &overrides, &operands, &params, grid(tiles)?)
}

/// Variants are the tiles of the invocations that are alone, those together, those of subgroups, those of `bytes`.
fn sharing(e: &mut Emit, p: &Product, b: &Coded, bytes: Option<Coded>) -> Sharing {
    let dense = b.is_dense();
    if b.bulky {
        return Sharing::Together(Tile::of(p.m, p.n, STAGED_LANES));
    }
    let tile = Tile::of(p.m, p.n, 64);
    let mut variants: Vec<Sharing> =
        (0..VARIANTS).map(|number| Sharing::Alone(Tile::variant(p.m, p.n, number))).collect();
    let mut default = tile.number();
    if !dense {
        // Barriers cost a software adapter more than decoding a weight for every eight rows anew.
        default = if e.is_software() { default } else { variants.len() };
        variants.push(Sharing::Together(Tile::of(p.m, p.n, STAGED_LANES)));
    }
    if gemm_subgroup::suits(e, p, dense) {
        // A load costs a software adapter as much as some ten operations.
        default = if e.is_software() && !dense && p.n >= SUBGROUP_COLS { variants.len() } else { default };
        variants.push(Sharing::Subgroup);
    }
    #[cfg(feature = "full")]
    if let Some(bytes) = bytes {
        // A software adapter multiplies integers no faster.
        default = if e.is_software() { default } else { variants.len() };
        variants.push(Sharing::Int8(bytes));
    }
    #[cfg(not(feature = "full"))]
    let _ = bytes;
    variants.swap_remove(e.choose([p.m, p.k, p.total], variants.len(), default))
}

fn require_f32(e: &Emit) -> Result<()> {
    if (0..e.node.inputs.len()).any(|i| e.has(i) && e.input_type(i).is_ok_and(|t| t.dtype != DType::F32)) {
        return Err(e.unsupported("only f32"));
    }
    Ok(())
}

fn matmul(e: &mut Emit) -> Result<()> {
    require_f32(e)?;
    let p = BatchedProduct::new(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    let (mut m, batches) = (p.m, p.batches());
    let pairs: Vec<(usize, usize)> = (0..batches).map(|i| p.operands(i)).collect();
    // One matrix b for all: the rows of all a's are one tall matrix.
    let tall = pairs.iter().enumerate().all(|(i, &(a, b))| a == i && b == 0);
    let mut offsets = Vec::with_capacity(batches);
    if tall && batches > 0 {
        m *= batches;
        offsets.push([0, 0]);
    } else {
        for (a, b) in pairs {
            offsets.push([u32_of(a * p.m * p.k)?, u32_of(b * p.k * p.n)?]);
        }
    }
    let product = Product {
        m,
        n: p.n,
        k: p.k,
        first: 0,
        total: p.n,
        offsets,
        a: [p.k, 1],
        b: [p.n, 1],
        bias: [0, 0],
        alpha: 1.0,
        beta: 0.0,
    };
    let (bias, residual) = (e.absent(), e.absent());
    let operands =
        Operands { a: e.input(0)?, b: Coded::dense(e.input(1)?, p.n)?, bytes: None, bias, residual, c: e.output(0)? };
    dispatch(e, &product, operands, &Epilogue::plain(false))
}

fn gemm(e: &mut Emit) -> Result<()> {
    require_f32(e)?;
    let (m, k, n) = gemm_sizes(e.node, &e.input_type(0)?.shape, &e.input_type(1)?.shape)?;
    let attrs = &e.node.attrs;
    let has_bias = e.has(2);
    let bias = if has_bias { broadcast_strides(&e.input_type(2)?.shape, &[m, n]) } else { vec![0, 0] };
    let product = Product {
        m,
        n,
        k,
        first: 0,
        total: n,
        offsets: vec![[0, 0]],
        a: if attrs.flag("transA") { [1, m] } else { [k, 1] },
        b: if attrs.flag("transB") { [1, k] } else { [n, 1] },
        bias: [bias[0], bias[1]],
        alpha: attrs.float_or("alpha", 1.0),
        beta: attrs.float_or("beta", 1.0),
    };
    let residual = e.absent();
    let operands = Operands {
        a: e.input(0)?,
        b: Coded::dense(e.input(1)?, n)?,
        bytes: None,
        bias: e.opt_input(2)?,
        residual,
        c: e.output(0)?,
    };
    dispatch(e, &product, operands, &Epilogue::plain(has_bias))
}
