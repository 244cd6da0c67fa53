//! What a CPU kernel receives.

use super::Threads;
use super::packs::{Packs, Prepared};
use crate::Result;
use crate::graph::{Node, Weight};
use crate::tensor::{Element, TensorType, View, ViewMut};
use crate::weights::Encoded;

/// One operator on the CPU.
pub struct Kernel {
    pub op: &'static str,
    pub run: fn(&mut Call) -> Result<()>,
    /// Called once per plan; what it returns comes back as `Call::prepared`.
    pub prepare: Option<fn(&Prepare) -> Result<Option<Prepared>>>,
    /// Inputs that may arrive in a few-bit encoding. The planner decodes any other encoded input to f32 at load.
    pub encoded_inputs: &'static [usize],
}

impl Kernel {
    /// A kernel without preparation, for dense inputs.
    pub const fn new(op: &'static str, run: fn(&mut Call) -> Result<()>) -> Self {
        Kernel { op, run, prepare: None, encoded_inputs: &[] }
    }
}

/// What `prepare` sees: types of all inputs, and the inputs that are weights.
pub struct Prepare<'a> {
    pub node: &'a Node,
    pub types: &'a [Option<TensorType>],
    pub weights: &'a [Option<&'a Weight>],
    pub threads: &'a Threads,
    /// Of the session that the plan belongs to.
    pub packs: &'a Packs,
}

/// One input of a call.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    Dense(View<'a>),
    Encoded(&'a Encoded),
}

/// One execution of a node. Output types are the inferred ones; outputs left out by the node are still present here.
pub struct Call<'a> {
    pub node: &'a Node,
    pub inputs: &'a [Option<Arg<'a>>],
    pub outputs: &'a mut [ViewMut<'a>],
    pub prepared: Option<&'a Prepared>,
    pub threads: &'a Threads,
}

impl<'a> Call<'a> {
    pub fn arg(&self, i: usize) -> Option<Arg<'a>> {
        self.inputs.get(i).copied().flatten()
    }

    /// Dense input `i`.
    pub fn input(&self, i: usize) -> Result<View<'a>> {
        match self.arg(i) {
            Some(Arg::Dense(view)) => Ok(view),
            Some(Arg::Encoded(_)) => Err(self.node.error(format!("input {i} is in a few-bit encoding"))),
            None => Err(self.node.error(format!("input {i} is missing"))),
        }
    }

    pub fn opt_input(&self, i: usize) -> Result<Option<View<'a>>> {
        if self.arg(i).is_some() { self.input(i).map(Some) } else { Ok(None) }
    }

    /// Elements of dense input `i`.
    pub fn slice<T: Element>(&self, i: usize) -> Result<&'a [T]> {
        self.input(i)?.slice()
    }

    pub fn opt_slice<T: Element>(&self, i: usize) -> Result<Option<&'a [T]>> {
        self.opt_input(i)?.map(|v| v.slice()).transpose()
    }

    /// Integer list of small input `i` (axes, shapes, indices), any integer dtype.
    pub fn ints(&self, i: usize) -> Result<Vec<i64>> {
        self.input(i)?.to_tensor()?.to_i64()
    }

    /// Output `i`, to be written.
    pub fn out(&mut self, i: usize) -> Result<&mut ViewMut<'a>> {
        let node = self.node;
        self.outputs.get_mut(i).ok_or_else(|| node.error(format!("output {i} is missing")))
    }

    /// Elements of output `i`, to be written.
    pub fn output<T: Element>(&mut self, i: usize) -> Result<&mut [T]> {
        self.out(i)?.slice()
    }

    pub fn output_shape(&self, i: usize) -> &'a [usize] {
        self.outputs[i].shape
    }
}

/// Reads a call's small integer inputs, for the functions of `ops` that also serve the planner.
pub fn ints<'a>(call: &'a Call) -> impl Fn(usize) -> Result<Option<Vec<i64>>> + 'a {
    |i| if call.arg(i).is_some() { call.ints(i).map(Some) } else { Ok(None) }
}
