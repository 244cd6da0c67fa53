//! Element types. Names and meanings are ONNX's.

use bytemuck::Pod;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    F32,
    F64,
    F16,
    BF16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl DType {
    /// Bytes of one element on the host.
    pub fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 | DType::I64 | DType::U64 => 8,
        }
    }

    /// Whether this build computes with the type.
    pub fn is_supported(self) -> bool {
        let common = [DType::F32, DType::F16, DType::I8, DType::I32, DType::I64, DType::U8, DType::Bool];
        cfg!(feature = "full") || common.contains(&self)
    }

    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::F16 | DType::BF16)
    }

    pub fn is_signed_int(self) -> bool {
        matches!(self, DType::I8 | DType::I16 | DType::I32 | DType::I64)
    }

    pub fn is_int(self) -> bool {
        !self.is_float() && self != DType::Bool
    }

    /// ONNX's number of this type (`TensorProto.DataType`), as in Cast's `to`.
    pub fn onnx(self) -> i64 {
        match self {
            DType::F32 => 1,
            DType::U8 => 2,
            DType::I8 => 3,
            DType::U16 => 4,
            DType::I16 => 5,
            DType::I32 => 6,
            DType::I64 => 7,
            DType::Bool => 9,
            DType::F16 => 10,
            DType::F64 => 11,
            DType::U32 => 12,
            DType::U64 => 13,
            DType::BF16 => 16,
        }
    }

    /// The type with ONNX's number `code`; `None` for strings, complex numbers and the types below 8 bits.
    pub fn from_onnx(code: i64) -> Option<DType> {
        use DType::*;
        [F32, U8, I8, U16, I16, I32, I64, Bool, F16, F64, U32, U64, BF16].into_iter().find(|t| t.onnx() == code)
    }

    /// The name used in messages, JSON and numpy: `float32`, `int64`, `bool`, …
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::Bool => "bool",
        }
    }
}

/// A Rust type that stores elements of one dtype. `u8` also reads `Bool` (0 or 1).
pub trait Element: Pod + Default + PartialEq + Send + Sync + std::fmt::Debug {
    const DTYPE: DType;

    fn reads(dtype: DType) -> bool {
        dtype == Self::DTYPE || (Self::DTYPE == DType::U8 && dtype == DType::Bool)
    }
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
elements!(f32 => F32, f64 => F64, f16 => F16, bf16 => BF16, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
          u8 => U8, u16 => U16, u32 => U32, u64 => U64);

/// Runs `$body` with `$t` bound to the Rust type that stores `$dtype` (`u8` for `Bool`).
#[macro_export]
macro_rules! for_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::tensor::DType::F32 => {
                type $t = f32;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::tensor::DType::F16 => {
                type $t = half::f16;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::BF16 => {
                type $t = half::bf16;
                $body
            }
            $crate::tensor::DType::I8 => {
                type $t = i8;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::tensor::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::tensor::DType::I64 => {
                type $t = i64;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::U8 | $crate::tensor::DType::Bool => {
                type $t = u8;
                $body
            }
            // The planner has refused all others by now (`DType::is_supported`).
            #[cfg(not(feature = "full"))]
            _ => {
                type $t = u8;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::U16 => {
                type $t = u16;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::U32 => {
                type $t = u32;
                $body
            }
            #[cfg(feature = "full")]
            $crate::tensor::DType::U64 => {
                type $t = u64;
                $body
            }
        }
    };
}
