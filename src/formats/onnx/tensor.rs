//! `TensorProto` → host tensor: raw little-endian bytes, typed fields, or a file beside the model.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::proto::{EXTERNAL, TensorProto};
use crate::tensor::{DType, Shape, Tensor, TensorType, element_count};
use crate::{Error, Result};

/// `TensorProto.DataType` → dtype; an error names the types that nothing here computes with.
pub fn dtype(code: i32) -> Result<DType> {
    let unsupported = match code {
        1 => return Ok(DType::F32),
        2 => return Ok(DType::U8),
        3 => return Ok(DType::I8),
        4 => return Ok(DType::U16),
        5 => return Ok(DType::I16),
        6 => return Ok(DType::I32),
        7 => return Ok(DType::I64),
        9 => return Ok(DType::Bool),
        10 => return Ok(DType::F16),
        11 => return Ok(DType::F64),
        12 => return Ok(DType::U32),
        13 => return Ok(DType::U64),
        16 => return Ok(DType::BF16),
        8 => "string",
        14 => "complex64",
        15 => "complex128",
        17 => "float8e4m3fn",
        18 => "float8e4m3fnuz",
        19 => "float8e5m2",
        20 => "float8e5m2fnuz",
        21 => "uint4",
        22 => "int4",
        23 => "float4e2m1",
        24 => "float8e8m0",
        25 => "uint2",
        26 => "int2",
        other => return Err(Error::Unsupported(format!("ONNX element type number {other}"))),
    };
    Err(Error::Unsupported(format!("tensors of {unsupported}")))
}

/// Reads tensors of one model; remembers its external files.
pub struct TensorReader<'a> {
    /// Name of the model file, for messages.
    file: &'a str,
    /// Folder of the model; `None` when it came as bytes, without files beside it.
    folder: Option<&'a Path>,
    external: HashMap<PathBuf, ExternalFile>,
}

struct ExternalFile {
    file: File,
    len: u64,
    /// Bytes read so far. Tensors may share a range, but not so often that memory grows out of proportion.
    read: u64,
}

impl<'a> TensorReader<'a> {
    pub fn new(file: &'a str, folder: Option<&'a Path>) -> Self {
        TensorReader { file, folder, external: HashMap::new() }
    }

    pub fn read(&mut self, proto: &TensorProto) -> Result<Tensor> {
        let name = proto.name.as_deref().unwrap_or("");
        let shape: Shape = proto
            .dims
            .iter()
            .map(|&d| usize::try_from(d).map_err(|_| self.error(name, format!("has a dimension of {d}"))))
            .collect::<Result<_>>()?;
        element_count(&shape)?;
        let ty = TensorType::new(dtype(proto.data_type.unwrap_or(0))?, shape);
        if proto.data_location == Some(EXTERNAL) {
            return self.read_external(name, ty, proto);
        }
        let have = match &proto.raw_data {
            Some(raw) => raw.len() / ty.dtype.size(),
            None => typed_len(&ty, proto),
        };
        let exact = proto.raw_data.as_ref().is_none_or(|raw| raw.len() % ty.dtype.size() == 0);
        if have != ty.len() || !exact {
            let what = format!("has shape {:?}, but data for {have} elements", ty.shape);
            return Err(self.error(name, what));
        }
        match &proto.raw_data {
            Some(raw) => Tensor::from_bytes(ty, raw),
            None => typed(ty, proto),
        }
    }

    /// Reads integers of 2 or 4 bits, one a byte, with their bits; `None` if the tensor is of another type. Packed, the
    /// first lies in the low bits.
    #[cfg(feature = "full")]
    pub fn read_small(&mut self, proto: &TensorProto) -> Result<Option<(Tensor, u32)>> {
        let (bits, signed) = match proto.data_type {
            Some(21) => (4, false),
            Some(22) => (4, true),
            Some(25) => (2, false),
            Some(26) => (2, true),
            _ => return Ok(None),
        };
        let dims: Option<Shape> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let name = proto.name.as_deref().unwrap_or("");
        let shape = dims.ok_or_else(|| self.error(name, "has a negative dimension".into()))?;
        let count = element_count(&shape)?;
        let ty = TensorType::new(if signed { DType::I8 } else { DType::U8 }, shape);
        let packed = TensorType::new(DType::U8, [crate::tensor::bits::packed_len(count, bits)]);
        let bytes = match (&proto.raw_data, proto.data_location == Some(EXTERNAL)) {
            (_, true) => self.read_external(name, packed.clone(), proto)?,
            (Some(raw), _) if raw.len() == packed.len() => Tensor::from_bytes(packed.clone(), raw)?,
            // The typed field holds a byte in each number.
            (None, _) if proto.int32_data.len() == packed.len() => {
                fill::<1>(packed.clone(), proto.int32_data.iter().map(|&v| [v as u8]))?
            }
            _ => return Err(self.error(name, format!("has shape {:?}, but not {} bytes", ty.shape, packed.len()))),
        };
        let top = 1u8 << (bits - 1);
        let value = |i: usize| match (crate::tensor::bits::get(bytes.bytes(), i, bits), signed) {
            // The sign reaches up from the highest bit.
            (code, true) => (code ^ top).wrapping_sub(top),
            (code, false) => code,
        };
        let values: Vec<u8> = (0..count).map(value).collect();
        Ok(Some((Tensor::from_bytes(ty, &values)?, bits)))
    }

    fn read_external(&mut self, name: &str, ty: TensorType, proto: &TensorProto) -> Result<Tensor> {
        let entry = |key: &str| {
            let found = proto.external_data.iter().find(|e| e.key.as_deref() == Some(key));
            found.and_then(|e| e.value.as_deref())
        };
        let number = |key: &str| match entry(key) {
            Some(text) => text.parse().map(Some).map_err(|_| self.error(name, format!("has external {key} `{text}`"))),
            None => Ok(None::<u64>),
        };
        let location = entry("location").ok_or_else(|| self.error(name, "is external, but names no file".into()))?;
        let offset = number("offset")?.unwrap_or(0);
        let bytes = ty.bytes() as u64;
        if let Some(length) = number("length")?
            && length != bytes
        {
            let what = format!("needs {bytes} bytes, but its external length is {length}");
            return Err(self.error(name, what));
        }
        let path = self.locate(name, location)?;
        let io = |e| Error::io(path.display().to_string(), e);
        if !self.external.contains_key(&path) {
            let file = File::open(&path).map_err(io)?;
            let len = file.metadata().map_err(io)?.len();
            self.external.insert(path.clone(), ExternalFile { file, len, read: 0 });
        }
        let model = self.file;
        let Some(external) = self.external.get_mut(&path) else {
            return Err(Error::format(model, format!("external file `{location}` cannot be used")));
        };
        external.read = external.read.saturating_add(bytes);
        let end = offset.checked_add(bytes);
        if end.is_none_or(|end| end > external.len) || external.read > external.len.saturating_mul(2) {
            return Err(Error::format(
                model,
                format!(
                    "tensor `{name}` needs {bytes} bytes at {offset} of `{location}`, which has {}; \
                     the download is probably incomplete",
                    external.len
                ),
            ));
        }
        let mut tensor = Tensor::zeros(ty)?;
        external.file.seek(SeekFrom::Start(offset)).map_err(io)?;
        external.file.read_exact(tensor.bytes_mut()).map_err(io)?;
        Ok(tensor)
    }

    /// An external file must lie in the model's folder, also after following links.
    fn locate(&self, name: &str, location: &str) -> Result<PathBuf> {
        let Some(folder) = self.folder else {
            return Err(Error::Unsupported(format!(
                "tensor `{name}` of {} lies in the file `{location}`; open the model by its path",
                self.file
            )));
        };
        let relative = Path::new(location);
        let plain = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        let outside = || self.error(name, format!("lies in `{location}`, which is outside the model's folder"));
        if !plain {
            return Err(outside());
        }
        let path = folder.join(relative);
        let real = |p: &Path| p.canonicalize().map_err(|e| Error::io(p.display().to_string(), e));
        let (folder, path) = (real(folder)?, real(&path)?);
        if path.starts_with(folder) { Ok(path) } else { Err(outside()) }
    }

    fn error(&self, tensor: &str, what: String) -> Error {
        Error::format(self.file, format!("tensor `{tensor}` {what}"))
    }
}

/// Elements in the typed field that holds this dtype.
fn typed_len(ty: &TensorType, proto: &TensorProto) -> usize {
    match ty.dtype {
        DType::F32 => proto.float_data.len(),
        DType::F64 => proto.double_data.len(),
        DType::I64 => proto.int64_data.len(),
        DType::U32 | DType::U64 => proto.uint64_data.len(),
        _ => proto.int32_data.len(),
    }
}

/// From the typed fields; narrow types (also the bits of f16 and bf16) are stored one an `int32`.
fn typed(ty: TensorType, proto: &TensorProto) -> Result<Tensor> {
    let shape = ty.shape.clone();
    let narrow = proto.int32_data.iter();
    match ty.dtype {
        DType::F32 => Tensor::new(shape, &proto.float_data),
        DType::F64 => Tensor::new(shape, &proto.double_data),
        DType::I64 => Tensor::new(shape, &proto.int64_data),
        DType::U64 => Tensor::new(shape, &proto.uint64_data),
        DType::I32 => Tensor::new(shape, &proto.int32_data),
        DType::U32 => fill::<4>(ty, proto.uint64_data.iter().map(|&v| (v as u32).to_le_bytes())),
        DType::Bool => fill::<1>(ty, narrow.map(|&v| [u8::from(v != 0)])),
        DType::I8 | DType::U8 => fill::<1>(ty, narrow.map(|&v| [v as u8])),
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => fill::<2>(ty, narrow.map(|&v| (v as u16).to_le_bytes())),
    }
}

fn fill<const SIZE: usize>(ty: TensorType, elements: impl Iterator<Item = [u8; SIZE]>) -> Result<Tensor> {
    let mut tensor = Tensor::zeros(ty)?;
    for (slot, element) in tensor.bytes_mut().chunks_exact_mut(SIZE).zip(elements) {
        slot.copy_from_slice(&element);
    }
    Ok(tensor)
}
