//! Operators whose output is one rectangular read of their input, as that read. Both backends execute it.

use super::params::Ints;
use super::{movement, slice};
use crate::graph::Node;
use crate::tensor::{broadcast_strides, strides};
use crate::{Error, Result};

/// Element `[i, j, …]` of `shape` is `source[offset + i·strides[0] + j·strides[1] + …]`.
#[derive(Clone, Debug)]
pub struct Read {
    pub shape: Vec<usize>,
    pub offset: usize,
    pub strides: Vec<isize>,
}

/// One axis of a copy: its length and the elements between neighbours on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub len: usize,
    pub from: isize,
    pub to: usize,
}

impl Read {
    /// The read that computes `node` from an input of shape `shape`, for the operators that are one.
    pub fn of(node: &Node, shape: &[usize], out: &[usize], ints: Ints) -> Result<Self> {
        match node.op.as_str() {
            "Transpose" => Ok(Self::transposed(shape, &movement::permutation(node, shape.len())?)),
            "Slice" => Ok(Self::sliced(shape, &slice::ranges(node, shape, ints)?)),
            "Expand" => {
                let strides = broadcast_strides(shape, out).iter().map(|&s| s as isize).collect();
                Ok(Read { shape: out.to_vec(), offset: 0, strides })
            }
            "Tile" => Ok(Self::tiled(shape, out)),
            "DepthToSpace" => Self::depth_to_space(node, shape),
            "SpaceToDepth" => Self::space_to_depth(node, shape),
            other => Err(Error::UnknownOperator(other.into())),
        }
    }

    /// `shape` with permuted axes.
    pub fn transposed(shape: &[usize], perm: &[usize]) -> Self {
        let own = strides(shape);
        Read {
            shape: perm.iter().map(|&p| shape[p]).collect(),
            offset: 0,
            strides: perm.iter().map(|&p| own[p] as isize).collect(),
        }
    }

    fn sliced(shape: &[usize], ranges: &[slice::Range]) -> Self {
        let own = strides(shape);
        Read {
            shape: ranges.iter().map(|r| r.count).collect(),
            offset: ranges.iter().zip(&own).map(|(r, s)| r.start * s).sum(),
            strides: ranges.iter().zip(&own).map(|(r, &s)| r.step * s as isize).collect(),
        }
    }

    /// Each axis becomes two: the repeats, which do not move in the source, and the axis itself.
    fn tiled(shape: &[usize], out: &[usize]) -> Self {
        let own = strides(shape);
        let axes = 0..shape.len();
        Read {
            shape: axes.clone().flat_map(|i| [out[i] / shape[i].max(1), shape[i]]).collect(),
            offset: 0,
            strides: axes.flat_map(|i| [0, own[i] as isize]).collect(),
        }
    }

    fn depth_to_space(node: &Node, shape: &[usize]) -> Result<Self> {
        let &[n, c, h, w] = shape else { return Err(node.error("needs an image")) };
        let b = movement::block(node)?;
        let depth = c / (b * b);
        Ok(if movement::column_row_depth(node)? {
            Self::transposed(&[n, depth, b, b, h, w], &[0, 1, 4, 2, 5, 3])
        } else {
            Self::transposed(&[n, b, b, depth, h, w], &[0, 3, 4, 1, 5, 2])
        })
    }

    fn space_to_depth(node: &Node, shape: &[usize]) -> Result<Self> {
        let &[n, c, h, w] = shape else { return Err(node.error("needs an image")) };
        let b = movement::block(node)?;
        let split = [n, c, h / b, b, w / b, b];
        Ok(if movement::column_row_depth(node)? {
            Self::transposed(&split, &[0, 1, 3, 5, 2, 4])
        } else {
            Self::transposed(&split, &[0, 3, 5, 1, 2, 4])
        })
    }

    /// The copy to a destination with strides `to`, its axes of length 1 dropped and neighbours merged where both
    /// sides allow it.
    pub fn axes(&self, to: &[usize]) -> Vec<Axis> {
        let mut axes: Vec<Axis> = Vec::with_capacity(self.shape.len());
        for ((&len, &from), &to) in self.shape.iter().zip(&self.strides).zip(to) {
            if len == 1 {
                continue;
            }
            match axes.last_mut() {
                Some(last) if last.from == from.wrapping_mul(len as isize) && last.to == to * len => {
                    *last = Axis { len: last.len * len, from, to };
                }
                _ => axes.push(Axis { len, from, to }),
            }
        }
        axes
    }
}
