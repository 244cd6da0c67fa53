//! Packed operands: a matrix cut into panels of as many lanes as a tile has rows (or columns), so that the inner
//! kernel reads both operands front to back.

use std::cell::RefCell;

use crate::cpu::Threads;
use crate::cpu::simd::Level;

/// f32 buffer that starts at a cache line: no vector load of a panel crosses lines.
#[derive(Default)]
pub struct Aligned {
    data: Vec<f32>,
    start: usize,
}

impl Aligned {
    /// Grows to at least `len` elements.
    fn reserve(&mut self, len: usize) {
        const LINE: usize = 64;
        if self.data.len() < self.start + len {
            self.data = vec![0.0; len + LINE / 4];
            self.start = self.data.as_ptr().align_offset(LINE).min(LINE / 4);
        }
    }

    fn as_mut_slice(&mut self, len: usize) -> &mut [f32] {
        &mut self.data[self.start..][..len]
    }

    fn as_slice(&self) -> &[f32] {
        &self.data[self.start..]
    }
}

thread_local! {
    /// Buffers of earlier calls on this thread.
    static SPARE: RefCell<Vec<Aligned>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with a buffer of `len` elements of arbitrary content, reused from call to call.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(len);
    let result = work(buffer.as_mut_slice(len));
    SPARE.with_borrow_mut(|spare| spare.push(buffer));
    result
}

/// A matrix `[lanes, depth]` that is brought into panels while it is used: dense, few-bit, or an image seen by a kernel.
pub trait Pack: Sync {
    /// Writes `panel[k · width + i] = self[first + i, start + k]` for `i < lanes`, `k < depth`; 0 for `lanes ≤ i < width`.
    fn pack(&self, level: Level, tile: PanelSpan, panel: &mut [f32]);

    /// The same matrix, if it lies in memory as it is.
    fn dense(&self) -> Option<Strided<'_>> {
        None
    }
}

/// The part of a matrix that one panel holds.
#[derive(Clone, Copy, Debug)]
pub struct PanelSpan {
    pub width: usize,
    pub first: usize,
    pub lanes: usize,
    pub start: usize,
    pub depth: usize,
}

/// A whole matrix `[lanes, depth]`, packed once.
pub struct Panels {
    width: usize,
    /// A buffer each: the thread that fills it takes and clears it, while it is in that thread's cache.
    panels: Vec<Aligned>,
}

impl Panels {
    /// Packs `source` of `lanes × depth` into panels of `width` lanes.
    pub fn new(threads: &Threads, width: usize, lanes: usize, depth: usize, source: &dyn Pack) -> Self {
        let mut panels: Vec<Aligned> = Vec::new();
        panels.resize_with(lanes.div_ceil(width), Aligned::default);
        threads.for_chunks(&mut panels, 1, |i, panel| {
            let first = i * width;
            let lanes = width.min(lanes - first);
            for panel in panel {
                panel.reserve(width * depth);
                let span = PanelSpan { width, first, lanes, start: 0, depth };
                source.pack(threads.level(), span, panel.as_mut_slice(width * depth));
            }
        });
        Panels { width, panels }
    }

    /// Steps `start .. start + depth` of the panel whose first lane is `lane`.
    pub fn panel(&self, lane: usize, start: usize, depth: usize) -> &[f32] {
        &self.panels[lane / self.width].as_slice()[start * self.width..][..depth * self.width]
    }

    pub fn bytes(&self) -> usize {
        self.panels.iter().map(|panel| 4 * panel.data.len()).sum()
    }
}

/// A dense matrix anywhere in memory: element `(lane, k)` is `data[lane · lane_stride + k · depth_stride]`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    pub data: &'a [f32],
    pub lane_stride: usize,
    pub depth_stride: usize,
}

impl<'a> Strided<'a> {
    /// Lanes are the rows of a row-major matrix of `width` columns.
    pub fn rows(data: &'a [f32], width: usize) -> Self {
        Strided { data, lane_stride: width, depth_stride: 1 }
    }

    /// Lanes are the columns of a row-major matrix of `width` columns.
    pub fn columns(data: &'a [f32], width: usize) -> Self {
        Strided { data, lane_stride: 1, depth_stride: width }
    }
}

impl Pack for Strided<'_> {
    fn dense(&self) -> Option<Strided<'_>> {
        Some(*self)
    }

    fn pack(&self, level: Level, span: PanelSpan, panel: &mut [f32]) {
        let PanelSpan { width, first, lanes, start, depth } = span;
        let data = self.data.get(first * self.lane_stride + start * self.depth_stride..).unwrap_or(&[]);
        if self.depth_stride == 1 {
            return super::transpose::transpose(level, data, self.lane_stride, lanes, depth, width, panel);
        }
        for (k, out) in panel[..depth * width].chunks_exact_mut(width).enumerate() {
            let row = &data[k * self.depth_stride..];
            if self.lane_stride == 1 {
                out[..lanes].copy_from_slice(&row[..lanes]);
            } else {
                for (i, out) in out[..lanes].iter_mut().enumerate() {
                    *out = row[i * self.lane_stride];
                }
            }
            out[lanes..].fill(0.0);
        }
    }
}
