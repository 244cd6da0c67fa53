//! Products in element types other than f32: half precision goes through f32, the rest through a plain loop.

use std::borrow::Cow;

use half::{bf16, f16};

use crate::tensor::{DType, Element, View, ViewMut};
use crate::{Error, Result};

/// Elements of an f32, f16 or bf16 tensor as f32.
pub fn to_f32(view: View<'_>) -> Result<Cow<'_, [f32]>> {
    Ok(match view.dtype {
        DType::F32 => Cow::Borrowed(view.slice()?),
        DType::F16 => view.slice::<f16>()?.iter().map(|v| v.to_f32()).collect(),
        DType::BF16 => view.slice::<bf16>()?.iter().map(|v| v.to_f32()).collect(),
        other => return Err(Error::Unsupported(format!("this operator on {}", other.name()))),
    })
}

/// Lets `work` fill an f32, f16 or bf16 output with f32 values, rounded once at the end.
pub fn fill_f32(view: &mut ViewMut, work: impl FnOnce(&mut [f32])) -> Result<()> {
    // One copy of what follows serves all closures.
    let mut work = Some(work);
    fill(view, &mut |values| work.take().into_iter().for_each(|work| work(values)))
}

fn fill(view: &mut ViewMut, work: &mut dyn FnMut(&mut [f32])) -> Result<()> {
    if view.dtype == DType::F32 {
        work(view.slice()?);
        return Ok(());
    }
    let mut values = vec![0f32; view.bytes.len() / view.dtype.size()];
    work(&mut values);
    match view.dtype {
        DType::F16 => view.slice::<f16>()?.iter_mut().zip(&values).for_each(|(o, &v)| *o = f16::from_f32(v)),
        DType::BF16 => view.slice::<bf16>()?.iter_mut().zip(&values).for_each(|(o, &v)| *o = bf16::from_f32(v)),
        other => return Err(Error::Unsupported(format!("this operator on {}", other.name()))),
    }
    Ok(())
}

/// Numbers with a sum of products: f64, and integers that wrap around.
pub trait Ring: Element {
    fn add_product(self, a: Self, b: Self) -> Self;
}

impl Ring for f64 {
    fn add_product(self, a: f64, b: f64) -> f64 {
        self + a * b
    }
}

macro_rules! wrapping {
    ($($t:ty)*) => { $(impl Ring for $t {
        fn add_product(self, a: $t, b: $t) -> $t {
            self.wrapping_add(a.wrapping_mul(b))
        }
    })* };
}
wrapping!(i8 i16 i32 i64 u8 u16 u32 u64);

/// `c = a · b` for row-major `[m, k]` and `[k, n]`.
pub fn product<T: Ring>([m, k, n]: [usize; 3], a: &[T], b: &[T], c: &mut [T]) {
    c.fill(T::default());
    for i in 0..m {
        for j in 0..k {
            let x = a[i * k + j];
            for (c, &y) in c[i * n..][..n].iter_mut().zip(&b[j * n..][..n]) {
                *c = c.add_product(x, y);
            }
        }
    }
}

/// Runs `$body` with `$t` bound to the type of a dtype that has a `Ring`.
macro_rules! for_ring {
    ($dtype:expr, $t:ident => $body:expr) => {{
        use $crate::tensor::DType;
        match $dtype {
            DType::F64 => {
                type $t = f64;
                $body
            }
            DType::I8 => {
                type $t = i8;
                $body
            }
            DType::I16 => {
                type $t = i16;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::U8 => {
                type $t = u8;
                $body
            }
            DType::U16 => {
                type $t = u16;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::U64 => {
                type $t = u64;
                $body
            }
            other => Err($crate::Error::Unsupported(format!("products of {}", other.name()))),
        }
    }};
}
pub(crate) use for_ring;
