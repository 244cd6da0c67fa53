//! Numpy's `.npy`, versions 1 to 3: magic, version, length of the header, a Python dictionary literal, the elements.

use std::path::Path;

use super::strided::gather;
use crate::tensor::{DType, Shape, Tensor, TensorType, element_count};
use crate::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Numpy's name of each type after its byte order. It has no bfloat16; a common extension writes it as `V2`.
const TYPES: [(&str, DType); 13] = [
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("f2", DType::F16),
    ("V2", DType::BF16),
    ("i1", DType::I8),
    ("i2", DType::I16),
    ("i4", DType::I32),
    ("i8", DType::I64),
    ("u1", DType::U8),
    ("u2", DType::U16),
    ("u4", DType::U32),
    ("u8", DType::U64),
    ("b1", DType::Bool),
];

/// Reads a file.
pub fn open(path: impl AsRef<Path>) -> Result<Tensor> {
    let file = path.as_ref().display().to_string();
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&file, e))?;
    read(&file, &bytes)
}

/// Writes a file, as `write` does.
pub fn save(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    let file = path.as_ref().display().to_string();
    std::fs::write(&path, write(tensor)?).map_err(|e| Error::io(file, e))
}

/// Reads a tensor of any dtype; column-major and big-endian files come out row-major and little-endian.
/// `file` names it in messages.
pub fn read(file: &str, bytes: &[u8]) -> Result<Tensor> {
    let bad = |what: &str| Error::format(file, format!("not a valid .npy file: {what}"));
    let cut = || bad("it is cut short");
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| bad("it does not start with the magic"))?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
    let (len, rest) = match major {
        1 => rest.split_first_chunk::<2>().map(|(n, rest)| (u16::from_le_bytes(*n) as usize, rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        _ => return Err(bad(&format!("version {major} is not known"))),
    }
    .ok_or_else(cut)?;
    let (header, data) = rest.split_at_checked(len).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| bad("its header is not text"))?;
    let header = parse(header).ok_or_else(|| bad(&format!("its header is `{}`", header.trim_end())))?;

    let swapped = header.descr.starts_with('>');
    let name = header.descr.trim_start_matches(['<', '>', '|', '=']);
    let dtype = TYPES.iter().find(|(n, _)| *n == name).map(|&(_, d)| d);
    let dtype = dtype.ok_or_else(|| Error::Unsupported(format!("{file}: numpy arrays of type {}", header.descr)))?;
    let count = element_count(&header.shape)?;
    if count.checked_mul(dtype.size()) != Some(data.len()) {
        let what = format!("shape {:?} needs {count} × {} bytes, it has {}", header.shape, dtype.size(), data.len());
        return Err(bad(&what));
    }
    let ty = TensorType::new(dtype, header.shape);
    let mut tensor = match header.fortran {
        true => {
            let strides: Vec<usize> = (0..ty.shape.len()).map(|i| ty.shape[..i].iter().product()).collect();
            gather(ty, data, 0, &strides)?
        }
        false => Tensor::from_bytes(ty, data)?,
    };
    if swapped {
        tensor.bytes_mut().chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    if dtype == DType::Bool {
        tensor.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
    Ok(tensor)
}

/// The bytes of a version 1 file (2 for a header beyond 64 KiB), row-major, little-endian. bfloat16, which numpy cannot
/// read, is widened to float32.
pub fn write(tensor: &Tensor) -> Result<Vec<u8>> {
    if tensor.dtype() == DType::BF16 {
        return write(&Tensor::new(tensor.shape(), &tensor.to_f32()?)?);
    }
    let name = TYPES.iter().find(|(_, d)| *d == tensor.dtype()).map_or("V1", |&(n, _)| n);
    let order = if tensor.dtype().size() == 1 { '|' } else { '<' };
    let dims: Vec<String> = tensor.shape().iter().map(|d| format!("{d},")).collect();
    let mut header = format!("{{'descr': '{order}{name}', 'fortran_order': False, 'shape': ({}), }}", dims.join(" "));
    let fits = header.len() < usize::from(u16::MAX) - 64;
    let prefix = MAGIC.len() + if fits { 4 } else { 6 };
    // The data start at a multiple of 64, after a line end.
    let padding = 63 - (prefix + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    if fits {
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
    } else {
        bytes.extend([2, 0]);
        bytes.extend((header.len() as u32).to_le_bytes());
    }
    bytes.extend(header.as_bytes());
    bytes.extend(tensor.bytes());
    Ok(bytes)
}

struct Header<'a> {
    descr: &'a str,
    fortran: bool,
    shape: Shape,
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, keys in any order; `None` for anything else.
fn parse(text: &str) -> Option<Header<'_>> {
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        let after = match key {
            "descr" => {
                let (text, after) = quoted(value)?;
                descr = Some(text);
                after
            }
            "fortran_order" => {
                fortran = Some(value.starts_with("True"));
                value.strip_prefix("True").or_else(|| value.strip_prefix("False"))?
            }
            "shape" => {
                let (dims, after) = value.strip_prefix('(')?.split_once(')')?;
                let dims = dims.split(',').map(str::trim).filter(|d| !d.is_empty());
                shape = Some(dims.map(|d| d.trim_end_matches('L').parse().ok()).collect::<Option<Shape>>()?);
                after
            }
            _ => return None,
        };
        let after = after.trim_start();
        rest = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
    }
    Some(Header { descr: descr?, fortran: fortran?, shape: shape? })
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_every_type_and_rank() {
        for (_, dtype) in TYPES {
            for shape in [vec![], vec![3], vec![0, 4], vec![2, 1, 3]] {
                let ty = TensorType::new(dtype, shape);
                let bytes: Vec<u8> = (0..ty.bytes()).map(|i| (i % 2) as u8).collect();
                let tensor = Tensor::from_bytes(ty, &bytes).unwrap();
                let file = write(&tensor).unwrap();
                if dtype == DType::BF16 {
                    assert_eq!(read("test", &file).unwrap().to_f32().unwrap(), tensor.to_f32().unwrap());
                    continue;
                }
                assert_eq!((file.len() - bytes.len()) % 64, 0);
                let back = read("test", &file).unwrap();
                assert_eq!((back.ty(), back.bytes()), (tensor.ty(), tensor.bytes()));
            }
        }
    }

    #[test]
    fn column_major_and_big_endian_are_converted() {
        let text = "{'shape': (2, 3), 'fortran_order': True, 'descr': '>i2'}\n";
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((text.len() as u16).to_le_bytes());
        file.extend(text.as_bytes());
        file.extend([0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 1, 6]);
        let tensor = read("test", &file).unwrap();
        assert_eq!(tensor.slice::<i16>().unwrap(), [1, 2, 3, 4, 5, 262]);
    }
}
