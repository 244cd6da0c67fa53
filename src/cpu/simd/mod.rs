//! The processor's vector instructions: which there are, micro-kernels written for them, and a way to compile a safe
//! function once per instruction set. The only files of the crate with `unsafe`.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub mod math;
pub mod tile;

/// An instruction set. `Portable` is plain Rust: the definition, and what the compiler makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Portable,
    Avx2,
    Avx512,
    Neon,
    Simd128,
}

impl Level {
    /// The best that this processor has; `FEWBIT_SIMD=portable|avx2` asks for less.
    pub fn best() -> Level {
        let all = Level::available();
        let wanted = std::env::var("FEWBIT_SIMD").unwrap_or_default();
        let named = all.iter().copied().find(|l| l.name() == wanted);
        named.or(all.last().copied()).unwrap_or(Level::Portable)
    }

    /// All that this processor has, worst first.
    pub fn available() -> Vec<Level> {
        #[allow(unused_mut)]
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                levels.push(Level::Avx2);
                if ["avx512f", "avx512bw", "avx512vl", "avx512dq"].iter().all(|f| x86::detected(f)) {
                    levels.push(Level::Avx512);
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        levels.push(Level::Neon);
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        levels.push(Level::Simd128);
        levels
    }

    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Neon => "neon",
            Level::Simd128 => "simd128",
        }
    }
}

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
