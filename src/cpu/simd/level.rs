//! Which instruction sets this processor has.

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
            let narrow = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
                && is_x86_feature_detected!("popcnt");
            if narrow {
                levels.push(Level::Avx2);
                let wide = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq");
                if wide && is_x86_feature_detected!("bmi2") {
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
