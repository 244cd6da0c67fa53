//! Damages files, the same way in every run.

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, or 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Lengths, counts and offsets that break arithmetic.
const SIZES: [u64; 8] = [0, 1, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX >> 1, u64::MAX];

/// The largest protobuf varint, and one that never ends.
const VARINTS: [&[u8]; 3] = [
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
];

const NUMBERS: [&str; 8] =
    ["-1", "0", "4294967295", "18446744073709551615", "99999999999999999999", "1e999", "[[[[[[[[", "null"];

/// One to three mutations of a file; pieces may come from `other`.
pub fn mutate(random: &mut Random, file: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(3) {
        once(random, &mut bytes, other);
    }
    bytes
}

/// One byte becomes another one near it, or a run of digits another number: structure mostly survives, so that what
/// comes after parsing is tried too.
pub fn nudge(random: &mut Random, file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    let at = random.below(bytes.len());
    // In text, the numbers; in binary formats any byte.
    if random.below(2) == 0
        && let Some(from) = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit())
    {
        bytes[from] = b'0' + random.below(10) as u8;
    } else {
        bytes[at] = match random.below(4) {
            0 => bytes[at].wrapping_add(1),
            1 => bytes[at].wrapping_sub(1),
            2 => random.below(17) as u8,
            _ => bytes[at] ^ 1 << random.below(8),
        };
    }
    bytes
}

fn once(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(40)).min(bytes.len());
    match random.below(11) {
        0 => bytes.truncate(at),
        1 | 2 => {
            for _ in 0..1 + random.below(8) {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        3 => {
            let value = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
            bytes[at..end].fill(value);
        }
        4 | 5 => {
            let size = SIZES[random.below(SIZES.len())].to_le_bytes();
            let width = [2, 4, 8][random.below(3)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&size[..width]);
        }
        6 => {
            bytes.drain(at..end);
        }
        7 => {
            let from = random.below(other.len());
            let piece = &other[from..(from + random.below(200)).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        8 => {
            let piece = bytes[at..end].to_vec();
            let copies = 1 + random.below(50);
            bytes.splice(at..at, std::iter::repeat_n(piece, copies).flatten());
        }
        9 => {
            let varint = VARINTS[random.below(VARINTS.len())];
            bytes.splice(at..end.min(at + 1), varint.iter().copied());
        }
        // A run of digits becomes another number.
        _ => {
            let Some(from) = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit()) else { return };
            let len = bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
            let number = NUMBERS[random.below(NUMBERS.len())];
            bytes.splice(from..from + len, number.bytes());
        }
    }
}
