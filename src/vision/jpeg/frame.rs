//! What a frame header says, and the coefficients that the scans fill.

use super::bits::Broken;

/// One colour component.
pub struct Component {
    pub id: u8,
    /// Samples per unit of the frame's grid, 1–4, across and down.
    pub sampling: [usize; 2],
    pub quantum_index: usize,
    /// Quantization steps in row order, fixed when the component's first scan starts.
    pub quantum: Option<[u16; 64]>,
    /// Samples, width and height, that belong to the photo.
    pub size: [usize; 2],
    /// Blocks across and down, padded to whole units.
    pub blocks: [usize; 2],
    /// `[blocks down, blocks across, 64]`, each block in row order.
    pub coefficients: Vec<i16>,
}

pub struct Frame {
    pub progressive: bool,
    /// Pixels, width and height.
    pub size: [usize; 2],
    /// The largest sampling of any component, across and down.
    pub sampling: [usize; 2],
    pub components: Vec<Component>,
}

impl Frame {
    /// From the body of the marker segment; allocates no coefficients.
    pub fn parse(progressive: bool, body: &[u8]) -> Result<Self, Broken> {
        let [8, h1, h0, w1, w0, count, rest @ ..] = body else {
            return Err("its frame header is short, or it has other than 8 bits per sample");
        };
        let size = [[*w1, *w0], [*h1, *h0]].map(|bytes| usize::from(u16::from_be_bytes(bytes)));
        if size.contains(&0) || !matches!(count, 1 | 3 | 4) || rest.len() != 3 * usize::from(*count) {
            return Err("its frame header has no size, or other than 1, 3 or 4 components");
        }
        let mut components = Vec::new();
        let mut largest = [1, 1];
        for part in rest.chunks_exact(3) {
            let mut sampling = [part[1] >> 4, part[1] & 15].map(usize::from);
            if sampling.iter().any(|s| !(1..=4).contains(s)) || part[2] > 3 {
                return Err("its frame header has an impossible sampling or table");
            }
            if *count == 1 {
                sampling = [1, 1];
            }
            largest = [0, 1].map(|i| largest[i].max(sampling[i]));
            components.push(Component {
                id: part[0],
                sampling,
                quantum_index: usize::from(part[2]),
                quantum: None,
                size: [0, 0],
                blocks: [0, 0],
                coefficients: Vec::new(),
            });
        }
        for component in &mut components {
            if (0..2).any(|i| largest[i] % component.sampling[i] != 0) {
                return Err("its components are sampled in fractions, which is not supported");
            }
            component.size = [0, 1].map(|i| (size[i] * component.sampling[i]).div_ceil(largest[i]));
            component.blocks = [0, 1].map(|i| size[i].div_ceil(8 * largest[i]) * component.sampling[i]);
        }
        Ok(Frame { progressive, size, sampling: largest, components })
    }

    pub fn allocate(&mut self) {
        for component in &mut self.components {
            component.coefficients = vec![0; component.blocks[0] * component.blocks[1] * 64];
        }
    }

    /// Whether every component has had a scan.
    pub fn has_all_scans(&self) -> bool {
        self.components.iter().all(|component| component.quantum.is_some())
    }

    /// Units of interleaved blocks, across and down.
    pub fn units(&self) -> [usize; 2] {
        [0, 1].map(|i| self.size[i].div_ceil(8 * self.sampling[i]))
    }
}
