//! Convolutions whose output lies channels last (`cpu::layout`): their weights, and the 1×1 ones.

use std::sync::Arc;

use super::channelwise::Filters;
use super::weights::Weights;
use crate::cpu::decode::EncodedRows;
use crate::cpu::fewbit::{self, Activations, Source};
use crate::cpu::gemm::{Divide, Epilogue, Operand, Panels, Product, Strided};
use crate::cpu::panel_codes::PanelCodes;
use crate::cpu::product::shared_b;
use crate::cpu::simd::Level;
use crate::cpu::{Prepare, Prepared, Threads};
use crate::ops::conv::ConvShape;
use crate::weights::Encoded;

/// Rows of a product from which each thread may read the whole weight for itself: even decoding it is then below a
/// tenth of the work.
const MANY_ROWS: usize = 128;

/// Bytes of codes from which no copy is kept in the order of panels. Below, a model of a few MiB runs quicker with it;
/// above, it would take a large model's memory twice.
const LARGE: usize = 512 << 10;

/// A 1×1 convolution on channels last: one product, a row per pixel.
pub fn pointwise(
    threads: &Threads,
    shape: &ConvShape,
    x: &[f32],
    weights: Weights,
    prepared: Option<&Prepared>,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let (n, k) = shape.group_size();
    let m = shape.batch * shape.out_pixels();
    // For few pixels, decoding a large weight in registers is quicker than packing it.
    if let (None, Weights::Encoded(weight)) = (prepared, weights)
        && m < MANY_ROWS
        && weight.bytes() >= LARGE
    {
        let source = Source::new(threads.level(), weight);
        if source.is_some_and(|s| fewbit::product(threads, x, m, &s, Activations::F32, &epilogue, y)) {
            return;
        }
    }
    let rows = Strided::rows(x, k);
    with_lanes(threads.level(), weights, prepared, k, |b| {
        let panels = n.div_ceil(threads.level().tile_cols());
        let divide = if m < MANY_ROWS && panels >= 2 * threads.count() { Divide::Columns } else { Divide::Rows };
        Product { m, n, k, a: Operand::Source(&rows), b, epilogue }.run(threads, divide, y);
    });
}

/// Calls `work` with the weight as B: the panels of the plan, or what they are packed from.
pub fn with_lanes(
    level: Level,
    weights: Weights,
    prepared: Option<&Prepared>,
    depth: usize,
    work: impl FnOnce(Operand),
) {
    let panels = prepared.and_then(|p| p.downcast_ref::<Panels>());
    let codes = prepared.and_then(|p| p.downcast_ref::<PanelCodes>());
    match (panels, codes, weights) {
        (Some(panels), ..) => work(Operand::Panels(panels)),
        (_, Some(codes), _) => work(Operand::Source(codes)),
        (.., Weights::Dense(weight)) => work(Operand::Source(&Strided::rows(weight, depth))),
        (.., Weights::Encoded(weight)) => work(Operand::Source(&EncodedRows::new(level, weight, 0))),
    }
}

/// What a plan prepares for a convolution with channels last. Few-bit weights stay few-bit: each run decodes them.
pub fn prepare(p: &Prepare, shape: &ConvShape, weights: Weights) -> Option<Prepared> {
    let (n, k) = shape.group_size();
    let level = p.threads.level();
    match weights {
        Weights::Dense(_) if shape.groups > 1 => Some(Arc::new(Filters::new(level, shape, weights))),
        Weights::Encoded(_) if shape.groups > 1 => None,
        Weights::Dense(weight) => shared_b(p, weight, n, k, true),
        Weights::Encoded(Encoded::Palette(weight)) if weight.codes().bytes().len() < LARGE => {
            PanelCodes::new(level, level.tile_cols(), weight).map(|codes| Arc::new(codes) as Prepared)
        }
        Weights::Encoded(_) => None,
    }
}
