//! The decode stage: the codes of a quad as numbers.

use super::super::lanes::Lanes;

/// What codes stand for, before scale and offset.
#[derive(Clone, Copy)]
pub struct Values<S: Lanes> {
    table: S::Table,
    /// Added to every value, unless there is nothing to add.
    shift: S::F,
}

impl<S: Lanes> Values<S> {
    /// `table`: the values of all codes, repeated, for a lookup. A conversion takes the middle from all codes.
    ///
    /// # Safety
    /// That of `Lanes`.
    #[inline(always)]
    pub unsafe fn new<const BITS: usize>(table: &[f32; 64]) -> Self {
        // SAFETY: the caller's.
        unsafe { Values { table: S::table(table), shift: S::splat(-((1 << (BITS - 1)) as f32)) } }
    }

    /// The same with a number per lane that is added to the values of the table, or to the codes.
    #[inline(always)]
    pub fn shifted(self, shift: S::F) -> Self {
        Values { shift, ..self }
    }

    /// Values of the four bytes of a quad, which `Unit::quad` made clean unless lookups ignore what is above a code.
    ///
    /// # Safety
    /// That of `Lanes`.
    #[inline(always)]
    pub unsafe fn of<const BITS: usize, const LOOKUP: bool, const SHIFT: bool>(&self, quad: S::I) -> [S::F; 4] {
        // SAFETY: the caller's.
        unsafe {
            let [a, b, c, d] = if LOOKUP { S::lookup::<BITS>(self.table, quad) } else { S::convert(quad) };
            if LOOKUP && !SHIFT {
                return [a, b, c, d];
            }
            [S::add(a, self.shift), S::add(b, self.shift), S::add(c, self.shift), S::add(d, self.shift)]
        }
    }
}
