//! Reads Python pickles without running what they say: a `REDUCE` is recorded, not called.
//!
//! Covers the opcodes that `torch.save` writes (protocol 2, and their forms of protocol 4). Objects live in an arena
//! and refer to each other by number, so that no depth of nesting or cycle in a hostile file costs stack.

use std::collections::HashMap;
use std::ops::Range;

use crate::{Error, Result};

/// Something on the stack. Text is a range of the file.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    None,
    /// An integer, or a truth value as 0 or 1.
    Int(i64),
    Text(u32, u32),
    /// An integer of more than 8 bytes; only the magic of a file is one.
    Long,
    /// An object of the arena.
    Object(u32),
    Mark,
}

#[derive(Debug)]
pub enum Object {
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A Python name, as ranges: module and name.
    Global(Value, Value),
    /// `callee(*args)`, not called.
    Call(Value, Value),
    /// What `persistent_load` would have been asked for.
    Persistent(Value),
}

pub struct Pickle<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
    pub objects: Vec<Object>,
    /// Values that may still be created: bounds memory by the length of the file.
    budget: usize,
}

impl<'a> Pickle<'a> {
    pub fn new(file: &'a str, bytes: &'a [u8]) -> Self {
        Pickle { file, bytes, at: 0, objects: Vec::new(), budget: 4096 + bytes.len() / 64 }
    }

    pub fn error(&self, what: &str) -> Error {
        Error::format(self.file, format!("not a torch file that can be read: {what} (near byte {})", self.at))
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let bytes = self.bytes;
        let taken = self.at.checked_add(n).and_then(|end| bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.error("it is cut short"))?;
        self.at += n;
        Ok(taken)
    }

    /// Passes over the next `n` bytes and says where they lie.
    pub fn skip(&mut self, n: usize) -> Result<Range<usize>> {
        let from = self.at;
        self.take(n)?;
        Ok(from..self.at)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn text(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(from, to) => std::str::from_utf8(self.bytes.get(from as usize..to as usize)?).ok(),
            _ => None,
        }
    }

    pub fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(id) => self.objects.get(id as usize),
            _ => None,
        }
    }

    pub fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// `module.name` of a global.
    pub fn global(&self, value: Value) -> Option<(&'a str, &'a str)> {
        match self.object(value)? {
            Object::Global(module, name) => Some((self.text(*module)?, self.text(*name)?)),
            _ => None,
        }
    }

    fn text_of(&mut self, len: usize) -> Result<Value> {
        let Range { start, end } = self.skip(len)?;
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(from), Ok(to)) => Ok(Value::Text(from, to)),
            _ => Err(self.error("text beyond 4 GiB")),
        }
    }

    fn line(&mut self) -> Result<Value> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let len = rest.iter().position(|&b| b == b'\n').ok_or_else(|| self.error("it is cut short"))?;
        let text = self.text_of(len)?;
        self.at += 1;
        Ok(text)
    }

    fn new_object(&mut self, object: Object) -> Result<Value> {
        let id = u32::try_from(self.objects.len()).map_err(|_| self.error("too many objects"))?;
        self.objects.push(object);
        Ok(Value::Object(id))
    }

    /// Runs one pickle to its `STOP` and returns what it leaves.
    pub fn load(&mut self) -> Result<Value> {
        let mut stack: Vec<Value> = Vec::new();
        let mut memo: HashMap<u32, Value> = HashMap::new();
        loop {
            let [op] = self.array()?;
            let missing = |p: &Self| p.error("it takes from an empty stack");
            let pushed = match op {
                b'.' => return stack.pop().ok_or_else(|| missing(self)),
                0x80 => {
                    self.take(1)?;
                    continue;
                }
                0x95 => {
                    self.take(8)?;
                    continue;
                }
                b'(' => Value::Mark,
                b'N' => Value::None,
                0x88 => Value::Int(1),
                0x89 => Value::Int(0),
                b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
                b'K' => Value::Int(u8::from_le_bytes(self.array()?).into()),
                b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
                0x8a => {
                    let [len] = self.array()?;
                    self.integer(len.into())?
                }
                b'X' | b'T' => {
                    let len = u32::from_le_bytes(self.array()?);
                    self.text_of(len as usize)?
                }
                0x8c | b'U' => {
                    let [len] = self.array()?;
                    self.text_of(len.into())?
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.new_object(Object::Global(module, name))?
                }
                0x93 => {
                    let (name, module) = (stack.pop(), stack.pop());
                    let (Some(module), Some(name)) = (module, name) else { return Err(missing(self)) };
                    self.new_object(Object::Global(module, name))?
                }
                b'}' => self.new_object(Object::Dict(Vec::new()))?,
                b']' => self.new_object(Object::List(Vec::new()))?,
                b')' => self.new_object(Object::Tuple(Vec::new()))?,
                0x85..=0x87 => {
                    let from = stack.len().checked_sub(usize::from(op - 0x84)).ok_or_else(|| missing(self))?;
                    let items = stack.split_off(from);
                    self.new_object(Object::Tuple(items))?
                }
                b't' => {
                    let items = self.since_mark(&mut stack)?;
                    self.new_object(Object::Tuple(items))?
                }
                b'q' | b'r' | 0x94 => {
                    let slot = match op {
                        b'q' => u8::from_le_bytes(self.array()?).into(),
                        b'r' => u32::from_le_bytes(self.array()?),
                        _ => memo.len() as u32,
                    };
                    self.spend(1)?;
                    memo.insert(slot, *stack.last().ok_or_else(|| missing(self))?);
                    continue;
                }
                b'h' | b'j' => {
                    let slot = match op {
                        b'h' => u8::from_le_bytes(self.array()?).into(),
                        _ => u32::from_le_bytes(self.array()?),
                    };
                    *memo.get(&slot).ok_or_else(|| self.error("it recalls what it never stored"))?
                }
                b's' | b'u' | b'a' | b'e' => {
                    let items = match op {
                        b's' => stack.split_off(stack.len().saturating_sub(2)),
                        b'a' => stack.split_off(stack.len().saturating_sub(1)),
                        _ => self.since_mark(&mut stack)?,
                    };
                    self.extend(stack.last().copied(), items)?;
                    continue;
                }
                b'R' => {
                    let (args, callee) = (stack.pop(), stack.pop());
                    let (Some(callee), Some(args)) = (callee, args) else { return Err(missing(self)) };
                    // The one constructor whose result is filled by later opcodes.
                    match self.global(callee) {
                        Some(("collections", "OrderedDict")) => self.new_object(Object::Dict(Vec::new()))?,
                        _ => self.new_object(Object::Call(callee, args))?,
                    }
                }
                // The attributes of an object, such as a state dictionary's versions: nothing that counts.
                b'b' => {
                    stack.pop();
                    continue;
                }
                b'Q' => {
                    let id = stack.pop().ok_or_else(|| missing(self))?;
                    self.new_object(Object::Persistent(id))?
                }
                other => return Err(self.error(&format!("pickle opcode {other:#04x} is not one that torch writes"))),
            };
            self.spend(1)?;
            stack.push(pushed);
        }
    }

    fn spend(&mut self, values: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(values).ok_or_else(|| self.error("it holds more objects than bytes"))?;
        Ok(())
    }

    fn integer(&mut self, len: usize) -> Result<Value> {
        if len > 8 {
            self.take(len)?;
            return Ok(Value::Long);
        }
        let digits = self.take(len)?;
        // Two's complement: the top bit of the last byte is the sign.
        let mut bytes = [if digits.last().is_some_and(|d| d & 0x80 != 0) { 0xff } else { 0 }; 8];
        bytes[..len].copy_from_slice(digits);
        Ok(Value::Int(i64::from_le_bytes(bytes)))
    }

    fn since_mark(&self, stack: &mut Vec<Value>) -> Result<Vec<Value>> {
        let mark =
            stack.iter().rposition(|v| matches!(v, Value::Mark)).ok_or_else(|| self.error("a mark is missing"))?;
        let items = stack.split_off(mark + 1);
        stack.pop();
        Ok(items)
    }

    /// Adds items to a list, or pairs of them to a dictionary.
    fn extend(&mut self, target: Option<Value>, items: Vec<Value>) -> Result<()> {
        let id = match target {
            Some(Value::Object(id)) => id as usize,
            _ => usize::MAX,
        };
        match self.objects.get_mut(id) {
            Some(Object::List(list)) => list.extend(items),
            Some(Object::Dict(dict)) if items.len().is_multiple_of(2) => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err(self.error("it adds to what is no collection")),
        }
        Ok(())
    }
}
