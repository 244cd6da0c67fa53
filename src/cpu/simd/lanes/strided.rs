//! Which word of a strided load comes from which vector.

/// Words that lie `STRIDE` apart in `STRIDE` vectors have all different positions, because `STRIDE` and `LANES` have no
/// common factor: one vector of a choice per position, then one permutation, is a strided load.
pub struct Strided<const LANES: usize, const STRIDE: usize>;

impl<const LANES: usize, const STRIDE: usize> Strided<LANES, STRIDE> {
    /// `FROM[w][v]` has bit `p` set if position `p` of vector `v` holds a word of output `w`.
    pub const FROM: [[u32; 5]; 5] = {
        let mut from = [[0; 5]; 5];
        let mut i = 0;
        while i < LANES * STRIDE {
            from[i % STRIDE][i / LANES] |= 1 << (i % LANES);
            i += 1;
        }
        from
    };
    /// `AT[w][lane]` is the position of lane `lane` of output `w`.
    pub const AT: [[u32; 16]; 5] = {
        let mut at = [[0; 16]; 5];
        let mut i = 0;
        while i < LANES * STRIDE {
            at[i % STRIDE][i / STRIDE] = (i % LANES) as u32;
            i += 1;
        }
        at
    };
    /// `FROM` as a word of ones or zeros per lane.
    #[allow(dead_code)] // Where choices are made by vectors.
    pub const MASKS: [[[u32; 16]; 5]; 5] = {
        let mut masks = [[[0; 16]; 5]; 5];
        let mut i = 0;
        while i < LANES * STRIDE {
            masks[i % STRIDE][i / LANES][i % LANES] = u32::MAX;
            i += 1;
        }
        masks
    };
}
