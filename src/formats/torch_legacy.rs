//! State dictionaries of `torch.save` before 1.6 (and of `_use_new_zipfile_serialization=False` since): pickles of
//! magic, protocol, system information, the dictionary and its storages' keys, then each storage as an `i64` count
//! and little-endian elements. Tensors are strided views of storages.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::pickle::{Object, Pickle, Value};
use super::strided::gather;
use crate::tensor::{DType, Tensor, TensorType};
use crate::{Error, Result};

/// The first pickle, 0x1950a86a20f9469cfc6c, with its opcodes.
const START: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// How often all tensors together may repeat the bytes of the file.
const SHARING: usize = 2;

const STORAGES: [(&str, DType); 10] = [
    ("FloatStorage", DType::F32),
    ("DoubleStorage", DType::F64),
    ("HalfStorage", DType::F16),
    ("BFloat16Storage", DType::BF16),
    ("CharStorage", DType::I8),
    ("ShortStorage", DType::I16),
    ("IntStorage", DType::I32),
    ("LongStorage", DType::I64),
    ("ByteStorage", DType::U8),
    ("BoolStorage", DType::Bool),
];

/// A view as the pickle describes it.
struct Described<'a> {
    name: &'a str,
    storage: &'a str,
    ty: TensorType,
    offset: usize,
    strides: Vec<usize>,
}

/// Whether bytes are such a file.
pub fn detect(bytes: &[u8]) -> bool {
    bytes.starts_with(START)
}

/// Reads the tensors by name; a dictionary under the key `state_dict` is preferred over the outermost one.
/// Nothing in the file is executed.
pub fn read(file: &str, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    if !detect(bytes) {
        return Err(Error::format(file, "not a legacy torch file"));
    }
    let mut pickle = Pickle::new(file, bytes);
    for _ in ["magic", "protocol", "system information"] {
        pickle.load()?;
    }
    let root = pickle.load()?;
    let described = describe(&pickle, root)?;
    let keys = pickle.load()?;
    let storages = locate(&mut pickle, &described, keys)?;

    let mut tensors = BTreeMap::new();
    let mut budget = bytes.len().saturating_mul(SHARING);
    for view in described {
        let Described { name, storage, ty, offset, strides } = view;
        let data = storages.get(storage).and_then(|range| bytes.get(range.clone()));
        let data = data.ok_or_else(|| pickle.error(&format!("storage {storage} of `{name}` is missing")))?;
        budget =
            budget.checked_sub(ty.bytes()).ok_or_else(|| pickle.error("its tensors repeat each other too often"))?;
        let tensor =
            gather(ty, data, offset, &strides).map_err(|e| Error::format(file, format!("tensor `{name}`: {e}")))?;
        tensors.insert(name.to_string(), tensor);
    }
    Ok(tensors)
}

/// The tensors of the dictionary; other entries (an epoch, an optimiser's state) are passed over.
fn describe<'a>(pickle: &Pickle<'a>, root: Value) -> Result<Vec<Described<'a>>> {
    let dict = |value: Value| match pickle.object(value) {
        Some(Object::Dict(entries)) => Some(entries),
        _ => None,
    };
    let outer = dict(root).ok_or_else(|| pickle.error("it holds no dictionary of tensors"))?;
    let inner = outer.iter().find(|(key, _)| pickle.text(*key) == Some("state_dict"));
    let entries = inner.and_then(|(_, value)| dict(*value)).unwrap_or(outer);
    let mut found = Vec::new();
    for &(key, value) in entries {
        let Some(name) = pickle.text(key) else { continue };
        if let Some(view) = call(pickle, value, "_rebuild_parameter").and_then(|args| args.first().copied()) {
            found.extend(view_of(pickle, name, view)?);
        } else {
            found.extend(view_of(pickle, name, value)?);
        }
    }
    Ok(found)
}

/// Arguments of a recorded call of `torch._utils.<function>`.
fn call<'p>(pickle: &'p Pickle, value: Value, function: &str) -> Option<&'p [Value]> {
    match pickle.object(value)? {
        Object::Call(callee, args) if pickle.global(*callee)? == ("torch._utils", function) => pickle.tuple(*args),
        _ => None,
    }
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, …)`, the storage being
/// `('storage', torch.FloatStorage, key, location, count, view)`.
fn view_of<'a>(pickle: &Pickle<'a>, name: &'a str, value: Value) -> Result<Option<Described<'a>>> {
    let Some(args) = call(pickle, value, "_rebuild_tensor_v2") else { return Ok(None) };
    let bad = || pickle.error(&format!("tensor `{name}` is not described as expected"));
    let [storage, offset, size, stride, ..] = args else { return Err(bad()) };
    let Some(Object::Persistent(id)) = pickle.object(*storage) else { return Err(bad()) };
    // A last entry other than None is how torch 0.3 wrote views of storages.
    let Some([_, class, key, _, _, Value::None]) = pickle.tuple(*id) else { return Err(bad()) };
    let class = pickle.global(*class).map(|(_, class)| class).ok_or_else(bad)?;
    let dtype = STORAGES.iter().find(|(n, _)| *n == class).map(|&(_, d)| d);
    let dtype = dtype.ok_or_else(|| Error::Unsupported(format!("tensor `{name}`: torch type {class}")))?;
    let number = |value: &Value| match value {
        Value::Int(v) => usize::try_from(*v).ok(),
        _ => None,
    };
    let numbers = |value: &Value| pickle.tuple(*value)?.iter().map(number).collect::<Option<Vec<_>>>();
    let (Some(offset), Some(shape), Some(strides)) = (number(offset), numbers(size), numbers(stride)) else {
        return Err(bad());
    };
    let storage = pickle.text(*key).ok_or_else(bad)?;
    Ok(Some(Described { name, storage, ty: TensorType::new(dtype, shape), offset, strides }))
}

/// Where each storage's elements lie; they follow the pickles in the order of `keys`.
fn locate<'a>(
    pickle: &mut Pickle<'a>,
    described: &[Described<'a>],
    keys: Value,
) -> Result<HashMap<&'a str, Range<usize>>> {
    let dtypes: HashMap<&str, DType> = described.iter().map(|d| (d.storage, d.ty.dtype)).collect();
    let keys = match pickle.object(keys) {
        Some(Object::List(keys)) => keys.clone(),
        _ => return Err(pickle.error("the list of storages is missing")),
    };
    let mut storages = HashMap::new();
    for key in keys {
        let key = pickle.text(key).ok_or_else(|| pickle.error("a storage has no name"))?;
        let Some(dtype) = dtypes.get(key) else {
            return Err(pickle.error(&format!("storage {key} belongs to no tensor, so its size is not known")));
        };
        let count = pickle.u64()?;
        let bytes = usize::try_from(count).ok().and_then(|n| n.checked_mul(dtype.size()));
        let bytes = bytes.ok_or_else(|| pickle.error("a storage is larger than memory"))?;
        storages.insert(key, pickle.skip(bytes)?);
    }
    Ok(storages)
}
