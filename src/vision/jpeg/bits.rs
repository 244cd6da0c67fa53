//! Entropy-coded bits and Huffman codes (ITU-T T.81, F.2.2 and annex C).

/// What is wrong with a file.
pub type Broken = &'static str;

/// Reads bits, high ones first, up to the next marker; a zero byte after 0xFF is stuffing and dropped.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next `count` bits are its highest; those below are 0.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0, buffer: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let step = match self.bytes.get(self.at..) {
                Some([0xff, 0, ..]) => 2,
                Some([0xff, ..] | []) | None => return,
                Some(_) => 1,
            };
            self.buffer |= u64::from(self.bytes[self.at]) << (56 - self.count);
            self.count += 8;
            self.at += step;
        }
    }

    fn skip(&mut self, count: u32) -> Result<(), Broken> {
        if self.count < count {
            return Err("its data end early");
        }
        self.buffer <<= count;
        self.count -= count;
        Ok(())
    }

    /// At most 16 bits, as a number.
    pub fn take(&mut self, count: u32) -> Result<i32, Broken> {
        if self.count < count {
            self.fill();
        }
        let value = if count == 0 { 0 } else { self.buffer >> (64 - count) };
        self.skip(count)?;
        Ok(value as i32)
    }

    /// A difference or coefficient of `size` bits: those that start with 0 are negative (table F.1).
    pub fn signed(&mut self, size: u32) -> Result<i32, Broken> {
        let value = self.take(size)?;
        Ok(if size > 0 && value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// The next code's symbol.
    pub fn symbol(&mut self, table: &Huffman) -> Result<u8, Broken> {
        if self.count < 16 {
            self.fill();
        }
        let next = (self.buffer >> 48) as u32;
        let (mut length, mut symbol) = table.short[(next >> (16 - SHORT)) as usize];
        if length == 0 {
            (length, symbol) = table.long(next)?;
        }
        self.skip(u32::from(length))?;
        Ok(symbol)
    }

    /// Passes a restart marker, which starts at a byte.
    pub fn restart(&mut self) -> Result<(), Broken> {
        (self.buffer, self.count) = (0, 0);
        let marker = self.bytes.get(self.at + 1).copied();
        if !matches!(marker, Some(0xd0..=0xd7)) {
            return Err("a restart marker is missing");
        }
        self.at += 2;
        Ok(())
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }
}

/// Codes up to this long are looked up in one step.
const SHORT: u32 = 9;

pub struct Huffman {
    /// By the next `SHORT` bits: length of the code, or 0 if it is longer, and its symbol.
    short: Vec<(u8, u8)>,
    /// Per length, 1 first: the smallest 16 bits behind which codes are longer, and what to add to a code for the
    /// index of its symbol.
    lengths: [(u32, i32); 16],
    symbols: Vec<u8>,
}

impl Huffman {
    /// `counts`: codes of each length from 1 to 16. Codes of one length are consecutive (annex C).
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Broken> {
        let mut table = Huffman { short: vec![(0, 0); 1 << SHORT], lengths: [(0, 0); 16], symbols: symbols.to_vec() };
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(counts) {
            let first = index as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return Err("a Huffman table has too many codes");
                }
                if length <= SHORT {
                    let from = (code << (SHORT - length)) as usize;
                    table.short[from..from + (1 << (SHORT - length))].fill((length as u8, symbols[index]));
                }
                code += 1;
                index += 1;
            }
            table.lengths[length as usize - 1] = (code << (16 - length), first);
            code <<= 1;
        }
        Ok(table)
    }

    /// Length and symbol of the code at the start of 16 bits.
    fn long(&self, next: u32) -> Result<(u8, u8), Broken> {
        let length = self.lengths.iter().position(|(end, _)| next < *end).ok_or("it has an invalid Huffman code")?;
        let code = (next >> (15 - length)) as i32;
        let symbol = self.symbols.get((code + self.lengths[length].1) as usize);
        symbol.map(|symbol| (length as u8 + 1, *symbol)).ok_or("it has an invalid Huffman code")
    }
}
