//! Operators that sample images at computed places, or scatter windows back into images.

use super::InferFn;
use super::params::{self, known};
use crate::graph::Node;
use crate::tensor::{Shape, TensorType};
use crate::{Error, Result};

pub const OPS: &[(&str, InferFn)] = &[
    ("GridSample", |i| {
        let (x, grid) = (i.shape(0)?, i.shape(1)?);
        let n = x.len();
        if n < 3 || grid.len() != n || grid[0] != x[0] || grid[n - 1] != n - 2 || x[2..].contains(&0) {
            return Err(i.node.error(format!("a grid of shape {grid:?} for images of shape {x:?}")));
        }
        let out: Shape = [&x[..2], &grid[1..n - 1]].concat();
        params::product(i.node, &out)?;
        i.one(i.dtype(0)?, out)
    }),
    ("AffineGrid", |i| {
        let size = i.value(1)?.to_i64()?;
        let size = size.iter().map(|&d| params::dim(i.node, d.into())).collect::<Result<Shape>>()?;
        let theta = i.shape(0)?;
        let axes = size.len().saturating_sub(2);
        if !(2..=3).contains(&axes) || theta != [size[0], axes, axes + 1] {
            return Err(i.node.error(format!("matrices of shape {theta:?} for a grid of size {size:?}")));
        }
        let out: Shape = [&size[..1], &size[2..], &[axes]].concat();
        params::product(i.node, &out)?;
        i.one(i.dtype(0)?, out)
    }),
    ("RoiAlign", |i| {
        let channels = params::rank(i, 0, 4)?[1];
        let &[rois, 4] = i.shape(1)? else { return Err(i.node.error("regions must be [n, 4]")) };
        if i.shape(2)? != [rois] {
            return Err(i.node.error("needs one image number for each region"));
        }
        let size = |name| match i.node.attrs.int_or(name, 1) {
            v @ 1..=65_536 => Ok(v as usize),
            v => Err(i.node.error(format!("attribute `{name}` is {v}"))),
        };
        i.one(i.dtype(0)?, [rois, channels, size("output_height")?, size("output_width")?])
    }),
    ("Col2Im", |i| {
        let plan = Columns::new(i.node, i.shape(0)?, &known(i))?;
        let shape: Shape = [plan.batch, plan.channels].into_iter().chain(plan.axes.iter().map(|a| a.image)).collect();
        params::product(i.node, &shape)?;
        i.one(i.dtype(0)?, shape)
    }),
    ("Det", |i| {
        let ty = i.ty(0)?;
        match ty.shape[..] {
            [.., a, b] if a == b => Ok(vec![TensorType::new(ty.dtype, &ty.shape[..ty.shape.len() - 2])]),
            _ => Err(i.node.error(format!("needs square matrices, got the shape {:?}", ty.shape))),
        }
    }),
];

/// One image axis of Col2Im.
#[derive(Clone, Copy, Debug)]
pub struct ColumnAxis {
    pub image: usize,
    pub block: usize,
    pub blocks: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
}

/// How the columns `[batch, channels · block, blocks]` of Col2Im lie on the image.
pub struct Columns {
    pub batch: usize,
    pub channels: usize,
    pub axes: Vec<ColumnAxis>,
}

impl Columns {
    /// Inputs 1 and 2 are the shapes of image and block.
    pub fn new(node: &Node, shape: &[usize], ints: params::Ints) -> Result<Self> {
        let &[batch, rows, columns] = shape else {
            return Err(node.error(format!("needs [batch, channels · block, blocks], got {shape:?}")));
        };
        let (image, block) = (params::required(node, ints, 1)?, params::required(node, ints, 2)?);
        let n = image.len();
        let list = |name: &str, len: usize, default: i64, least: i64| {
            let list = node.attrs.ints(name).map_or_else(|| vec![default; len], <[i64]>::to_vec);
            if list.len() != len || list.iter().any(|v| !(least..1 << 31).contains(v)) {
                return Err(node.error(format!("attribute `{name}` is {list:?}")));
            }
            Ok(list)
        };
        let (strides, dilations, pads) =
            (list("strides", n, 1, 1)?, list("dilations", n, 1, 1)?, list("pads", 2 * n, 0, 0)?);
        let misfit = || node.error(format!("columns {shape:?} for image {image:?} and block {block:?}"));
        if block.len() != n || image.iter().chain(&block).any(|v| !(1..1 << 31).contains(v)) {
            return Err(misfit());
        }
        let axes = (0..n).map(|a| {
            let room = image[a] + pads[a] + pads[a + n] - dilations[a] * (block[a] - 1) - 1;
            Ok(ColumnAxis {
                image: image[a] as usize,
                block: block[a] as usize,
                blocks: usize::try_from(room).map_err(|_| misfit())? / strides[a] as usize + 1,
                stride: strides[a] as usize,
                dilation: dilations[a] as usize,
                before: pads[a] as usize,
            })
        });
        let axes = axes.collect::<Result<Vec<_>>>()?;
        let block = params::product(node, &axes.iter().map(|a| a.block).collect::<Vec<_>>())?;
        let blocks = params::product(node, &axes.iter().map(|a| a.blocks).collect::<Vec<_>>())?;
        if rows % block != 0 || columns != blocks {
            return Err(misfit());
        }
        Ok(Columns { batch, channels: rows / block, axes })
    }
}

/// How GridSample treats places outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    Zeros,
    Border,
    Reflection,
}

pub fn outside(node: &Node) -> Result<Outside> {
    match node.attrs.string_or("padding_mode", "zeros") {
        "zeros" => Ok(Outside::Zeros),
        "border" => Ok(Outside::Border),
        "reflection" => Ok(Outside::Reflection),
        other => Err(Error::Unsupported(format!("GridSample with padding mode {other}"))),
    }
}
