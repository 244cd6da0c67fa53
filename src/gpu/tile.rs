//! The tile of a workgroup of 64 invocations that sum 8 × 8 elements each.

/// Rows and columns of an invocation.
pub const SIDE: usize = 8;

/// How many shapes there are.
pub const VARIANTS: usize = 4;

/// A workgroup is `lanes` invocations wide and 64 / `lanes` high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub lanes: usize,
    /// Workgroups along rows and columns.
    pub rows: usize,
    pub cols: usize,
}

impl Tile {
    /// The shape that wastes least of a product of `rows` × `cols`; of equals the squarest, which reads least. At least
    /// 8 lanes: a multiple of the widest SIMD of software adapters (4 in SwiftShader, 8 in lavapipe), and a whole sector
    /// of a GPU's memory.
    pub fn of(rows: usize, cols: usize, most_lanes: usize) -> Self {
        let shapes = [8, 16, 32, 64].map(|lanes| Self::with(rows, cols, lanes));
        let allowed = shapes.into_iter().filter(|t| t.lanes <= most_lanes);
        allowed.min_by_key(|t| t.rows.saturating_mul(t.cols)).unwrap_or(shapes[0])
    }

    /// The shape of this number: 8, 16, 32, 64 lanes.
    pub fn variant(rows: usize, cols: usize, number: usize) -> Self {
        Self::with(rows, cols, 8 << number)
    }

    /// The number of the shape.
    pub fn number(&self) -> usize {
        self.lanes.ilog2() as usize - 3
    }

    fn with(rows: usize, cols: usize, lanes: usize) -> Self {
        let (high, wide) = (64 / lanes * SIDE, lanes * SIDE);
        Tile { lanes, rows: rows.div_ceil(high), cols: cols.div_ceil(wide) }
    }

    pub fn workgroups(&self) -> usize {
        self.rows.saturating_mul(self.cols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_the_product_and_follows_its_shape() {
        for (rows, cols, lanes) in [(1, 1, 8), (8, 4000, 64), (4000, 8, 8), (96, 12544, 16), (257, 1536, 64), (0, 5, 8)]
        {
            let tile = Tile::of(rows, cols, 64);
            assert!(tile.rows * (64 / tile.lanes) * SIDE >= rows && tile.cols * tile.lanes * SIDE >= cols);
            assert_eq!(tile.lanes, lanes, "{rows} × {cols}");
        }
        assert_eq!(Tile::of(8, 4000, 16).lanes, 16);
    }
}
