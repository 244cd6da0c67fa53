//! Plain Rust, for processors without vectors and for tests of the kernels' text.

#[cfg(not(target_arch = "wasm32"))]
use super::vector::ByteVector;
#[cfg(feature = "full")]
use super::vector::Integers;
use super::vector::Vector;

#[derive(Clone, Copy)]
#[repr(align(16))]
pub struct Portable([u8; 16]);

fn words(x: Portable, y: Portable, f: impl Fn(u16, u16) -> u16) -> Portable {
    let [x, y] = [x, y].map(|v| bytemuck::cast::<_, [u16; 8]>(v.0));
    Portable(bytemuck::cast(std::array::from_fn::<u16, 8, _>(|i| f(x[i], y[i]))))
}

fn floats(x: Portable) -> [f32; 4] {
    bytemuck::cast(x.0)
}

// SAFETY of all blocks: the trait's.
impl Vector for Portable {
    unsafe fn load(from: *const u8) -> Self {
        Portable(unsafe { from.cast::<[u8; 16]>().read() })
    }

    unsafe fn store(self, to: *mut u8) {
        unsafe { to.cast::<[u8; 16]>().write(self.0) };
    }

    unsafe fn splat_bytes(x: u8) -> Self {
        Portable([x; 16])
    }

    unsafe fn splat(x: f32) -> Self {
        Portable(bytemuck::cast([x; 4]))
    }

    unsafe fn and(self, other: Self) -> Self {
        words(self, other, |x, y| x & y)
    }

    unsafe fn lookup(self, index: Self) -> Self {
        Portable(index.0.map(|i| self.0.get(usize::from(i)).copied().unwrap_or(0)))
    }

    unsafe fn zip_bytes(self, other: Self) -> [Self; 2] {
        let byte = |half: usize, i: usize| [self.0, other.0][i % 2][8 * half + i / 2];
        std::array::from_fn(|half| Portable(std::array::from_fn(|i| byte(half, i))))
    }

    unsafe fn zip_words(self, other: Self) -> [Self; 2] {
        let byte = |half: usize, i: usize| [self.0, other.0][i / 2 % 2][8 * half + i / 4 * 2 + i % 2];
        std::array::from_fn(|half| Portable(std::array::from_fn(|i| byte(half, i))))
    }

    unsafe fn multiply(self, other: Self) -> Self {
        words(self, other, u16::wrapping_mul)
    }

    unsafe fn shift(self, count: u32) -> Self {
        words(self, self, |x, _| x >> count)
    }

    unsafe fn upper_bytes(self, other: Self) -> Self {
        Portable(std::array::from_fn(|i| [self.0, other.0][i / 8][i % 8 * 2 + 1]))
    }

    unsafe fn add(self, other: Self) -> Self {
        let (x, y) = (floats(self), floats(other));
        Portable(bytemuck::cast(std::array::from_fn::<f32, 4, _>(|i| x[i] + y[i])))
    }

    unsafe fn multiply_add(self, other: Self, sum: Self) -> Self {
        let (x, y, sum) = (floats(self), floats(other), floats(sum));
        Portable(bytemuck::cast(std::array::from_fn::<f32, 4, _>(|i| sum[i] + x[i] * y[i])))
    }

    unsafe fn sum(self) -> f32 {
        floats(self).iter().sum()
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn integers(x: Portable) -> [i32; 4] {
    bytemuck::cast(x.0)
}

// SAFETY of all blocks: the trait's.
#[cfg(not(target_arch = "wasm32"))]
impl ByteVector for Portable {
    unsafe fn flip(self, bits: Self) -> Self {
        words(self, bits, |x, y| x ^ y)
    }

    unsafe fn dot<const FAST: bool>(self, other: Self, sum: Self) -> Self {
        let (sums, [x, y]) = (integers(sum), [self, other].map(|v| v.0.map(|byte| i32::from(byte as i8))));
        let four = |lane: usize| (4 * lane..4 * lane + 4).map(|i| x[i] * y[i]).sum::<i32>();
        Portable(bytemuck::cast(std::array::from_fn::<i32, 4, _>(|lane| sums[lane] + four(lane))))
    }

    unsafe fn floats([a, b]: [Self; 2]) -> Self {
        let (a, b) = (integers(a), integers(b));
        Portable(bytemuck::cast(std::array::from_fn::<f32, 4, _>(|i| (a[i] + b[i]) as f32)))
    }
}

#[cfg(feature = "full")]
impl Integers for Portable {
    unsafe fn splat_word(x: i16) -> Self {
        Portable(bytemuck::cast([x; 8]))
    }

    unsafe fn add_words(self, other: Self) -> Self {
        words(self, other, u16::wrapping_add)
    }

    unsafe fn dot_words(self, other: Self) -> Self {
        let [x, y] = [self, other].map(|v| bytemuck::cast::<_, [i16; 8]>(v.0));
        let product = |i: usize| i32::from(x[i]) * i32::from(y[i]);
        Portable(bytemuck::cast(std::array::from_fn::<i32, 4, _>(|i| product(2 * i) + product(2 * i + 1))))
    }

    unsafe fn add_integers(self, other: Self) -> Self {
        let [x, y] = [self, other].map(|v| bytemuck::cast::<_, [i32; 4]>(v.0));
        Portable(bytemuck::cast(std::array::from_fn::<i32, 4, _>(|i| x[i] + y[i])))
    }

    unsafe fn to_floats(self) -> Self {
        Portable(bytemuck::cast(bytemuck::cast::<_, [i32; 4]>(self.0).map(|v| v as f32)))
    }
}
