//! The weight of a convolution.

use crate::weights::Encoded;

/// `[out_channels, in_group · taps]`.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    Dense(&'a [f32]),
    Encoded(&'a Encoded),
}
