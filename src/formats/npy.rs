//! NumPy's `.npy` files, versions 1 to 3, little-endian and C order (numpy.lib.format).

use std::path::Path;

use crate::tensor::{DType, Tensor, TensorType, element_count};
use crate::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Type codes of the header's `descr`, without the byte order.
const DESCRIPTIONS: &[(&str, DType)] = &[
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("f2", DType::F16),
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
    let name = path.as_ref().display().to_string();
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&name, e))?;
    read(&name, &bytes)
}

/// Reads the bytes of a file; `name` is for messages.
pub fn read(name: &str, bytes: &[u8]) -> Result<Tensor> {
    let broken = |what: String| Error::format(name, what);
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| broken("not a .npy file".into()))?;
    // Version 1 has a 2-byte header length, versions 2 and 3 have 4 bytes.
    let short = || broken("the header is cut short".into());
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [version, ..] if *version > 3 => return Err(broken(format!("version {version} of .npy is not known"))),
        _ => return Err(short()),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| broken("the header is not text".into()))?;

    let description = after(header, "'descr':").and_then(|s| s.strip_prefix('\'')).and_then(|s| s.split('\'').next());
    let description = description.ok_or_else(|| broken("the header gives no simple element type".into()))?;
    let code = description.trim_start_matches(['<', '|', '=']);
    let dtype = DESCRIPTIONS.iter().find(|(c, _)| *c == code).map(|&(_, d)| d);
    let dtype = dtype.ok_or_else(|| broken(format!("elements of type `{description}` are not supported")))?;
    if after(header, "'fortran_order':").is_none_or(|s| !s.starts_with("False")) {
        return Err(broken("only C order is supported; save with numpy.ascontiguousarray".into()));
    }
    let shape = after(header, "'shape':").and_then(|s| s.strip_prefix('(')).and_then(|s| s.split(')').next());
    let shape = shape.ok_or_else(|| broken("the header gives no shape".into()))?;
    let dims = shape.split(',').map(str::trim).filter(|d| !d.is_empty());
    let shape: Vec<usize> = dims
        .map(|d| d.trim_end_matches('L').parse().map_err(|_| broken(format!("`{d}` is not a size"))))
        .collect::<Result<_>>()?;

    let ty = TensorType::new(dtype, shape);
    element_count(&ty.shape)?;
    if ty.bytes() != data.len() {
        let what =
            format!("shape {:?} of {} needs {} bytes, the file has {}", ty.shape, dtype.name(), ty.bytes(), data.len());
        return Err(broken(what));
    }
    Tensor::from_bytes(ty, data)
}

/// What follows a key of the header, without leading blanks.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    header.split_once(key).map(|(_, rest)| rest.trim_start())
}

/// Writes a file of version 1. bfloat16, which NumPy lacks, is widened to float32.
pub fn save(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    let name = path.as_ref().display().to_string();
    std::fs::write(&path, write(tensor)?).map_err(|e| Error::io(name, e))
}

/// The bytes of a file of version 1.
pub fn write(tensor: &Tensor) -> Result<Vec<u8>> {
    if tensor.dtype() == DType::BF16 {
        return write(&Tensor::new(tensor.shape(), &tensor.to_f32()?)?);
    }
    let code = DESCRIPTIONS.iter().find(|(_, d)| *d == tensor.dtype()).map_or("f4", |(c, _)| c);
    let order = if tensor.dtype().size() == 1 { '|' } else { '<' };
    let dims: String = tensor.shape().iter().map(|d| format!("{d},")).collect();
    let mut header = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({dims}), }}");
    // Data start at a multiple of 64 bytes; the header ends in a newline.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| Error::Usage("too many dimensions for a .npy file".into()))?;

    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(tensor.bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_and_rank_round_trips() {
        for &(_, dtype) in DESCRIPTIONS {
            for shape in [vec![], vec![0], vec![3], vec![2, 0, 4], vec![2, 3, 4]] {
                let mut tensor = Tensor::zeros(TensorType::new(dtype, shape)).unwrap();
                tensor.bytes_mut().fill(1);
                let back = read("t", &write(&tensor).unwrap()).unwrap();
                assert_eq!((back.ty(), back.bytes()), (tensor.ty(), tensor.bytes()));
            }
        }
    }

    #[test]
    fn broken_files_are_errors() {
        let good = write(&Tensor::new([2, 2], &[1f32, 2.0, 3.0, 4.0]).unwrap()).unwrap();
        for length in 0..good.len() {
            assert!(read("cut", &good[..length]).is_err(), "{length} bytes");
        }
        for (from, to) in
            [("<f4", ">f4"), ("<f4", "<c8"), ("False", "True "), ("(2,2,)", "(9999999999999,9999999999,)")]
        {
            let text: Vec<u8> = replace(&good, from.as_bytes(), to.as_bytes());
            assert!(read("odd", &text).is_err(), "{to}");
        }
    }

    fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    }
}
