//! The processor's vector instructions: which there are, micro-kernels written for them, and a way to compile a safe
//! function once per instruction set. The only files of the crate with `unsafe`.

mod depthwise_kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod spread;
mod tile_kernel;
#[cfg(target_arch = "x86_64")]
mod unpack_words;
mod unroll;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(any(test, not(target_arch = "x86_64")))]
pub mod codes;
pub mod decoding;
pub mod depthwise;
#[cfg(feature = "full")]
pub mod expand;
#[cfg(target_arch = "x86_64")]
pub mod fewbit;
#[cfg(feature = "cli")]
pub mod fma_rate;
#[cfg(target_arch = "x86_64")]
pub mod halves;
#[cfg(target_arch = "x86_64")]
pub mod lanes;
mod level;
pub mod lookup;
pub mod math;
pub mod table;
pub mod tile;
pub mod unpack;

pub use level::Level;

/// `c + a · b`, fused where the instruction set has it: a call to libm for `mul_add` would cost a hundred times more.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Whether plain Rust in this build may use `mul_add`.
pub const NATIVE_FMA: bool = cfg!(target_arch = "aarch64");

/// Declares `fn name(level, …)` that runs `body::<FMA>(…)`, a safe `#[inline(always)]` function, compiled for `level`.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident = $body:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(level: $crate::cpu::simd::Level, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                match level {
                    // SAFETY: `Level::available` found these features before anybody could hold the value.
                    $crate::cpu::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::cpu::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            let _ = level;
            $body::<{ $crate::cpu::simd::NATIVE_FMA }>($($arg),*)
        }
    };
}
pub(crate) use multiversion;
