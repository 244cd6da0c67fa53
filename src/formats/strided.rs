//! Row-major tensors from arrays with other strides.

use crate::tensor::{Tensor, TensorType, element_count};
use crate::{Error, Result};

/// Gathers a tensor of type `ty` whose element `[i, j, …]` lies at `offset + i·strides[0] + j·strides[1] + …` of
/// `source`, all counted in elements. An error if that leaves `source`, or if there are more elements than it has.
pub fn gather(ty: TensorType, source: &[u8], offset: usize, strides: &[usize]) -> Result<Tensor> {
    let size = ty.dtype.size();
    let have = source.len() / size;
    let count = element_count(&ty.shape)?;
    if strides.len() != ty.shape.len() || count > have {
        return Err(Error::Usage(format!("a view {:?} of {have} elements repeats some of them", ty.shape)));
    }
    if count > 0 {
        let reach = |(&d, &stride): (&usize, &usize)| (d - 1).checked_mul(stride);
        let last = ty.shape.iter().zip(strides).try_fold(offset, |at, axis| at.checked_add(reach(axis)?));
        if last.is_none_or(|last| last >= have) {
            return Err(Error::Usage(format!("a view {:?} with strides {strides:?} leaves its storage", ty.shape)));
        }
    }
    let shape = ty.shape.clone();
    let mut tensor = Tensor::zeros(ty)?;
    let mut index = vec![0usize; shape.len()];
    let mut at = offset;
    for element in tensor.bytes_mut().chunks_exact_mut(size) {
        element.copy_from_slice(&source[at * size..][..size]);
        // The next index, like an odometer. Wrapping: along an axis of one element any stride is allowed.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at = at.wrapping_add(strides[axis]);
            if index[axis] < shape[axis] {
                break;
            }
            at = at.wrapping_sub(strides[axis].wrapping_mul(shape[axis]));
            index[axis] = 0;
        }
    }
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    #[test]
    fn gathers_columns_and_refuses_what_lies_outside() {
        let ty = TensorType::new(DType::U8, [2, 3]);
        let gathered = gather(ty.clone(), &[9, 1, 4, 2, 5, 3, 6], 1, &[1, 2]).unwrap();
        assert_eq!(gathered.bytes(), [1, 2, 3, 4, 5, 6]);
        assert!(gather(ty.clone(), &[0; 7], 2, &[1, 2]).is_err());
        assert!(gather(ty.clone(), &[0; 7], 0, &[usize::MAX, 1]).is_err());
        assert!(gather(ty, &[0; 5], 0, &[0, 0]).is_err());
        assert_eq!(gather(TensorType::new(DType::U8, [1]), &[1, 2], 1, &[usize::MAX]).unwrap().bytes(), [2]);
    }
}
