//! One scan: entropy-coded data into coefficients, sequential (ITU-T T.81, F.2) or progressive (G.2).

use super::bits::{Bits, Broken, Huffman};
use super::frame::Frame;
use super::tables::{Tables, ZIGZAG};

/// What a scan's header says of all its blocks.
struct Band {
    progressive: bool,
    /// First and last coefficient in zigzag order.
    first: usize,
    last: usize,
    /// The bit that a refining scan adds to: no value yet if it is false.
    refines: bool,
    /// Low bits that later scans bring.
    shift: u32,
}

/// A component's part of a scan.
struct Part<'a> {
    component: usize,
    dc: Option<&'a Huffman>,
    ac: Option<&'a Huffman>,
    /// The last block's first coefficient, from which the next differs.
    previous: i32,
}

/// Reads a scan from the body of its header and the bytes behind; returns how many of those it took.
pub fn read<'a>(frame: &mut Frame, tables: &'a Tables, header: &[u8], data: &[u8]) -> Result<usize, Broken> {
    let broken = "a scan header is inconsistent";
    let (&count, rest) = header.split_first().ok_or(broken)?;
    let (selectors, band) = rest.split_at_checked(2 * usize::from(count)).ok_or(broken)?;
    let &[first, last, shifts] = band else { return Err(broken) };
    let band = if frame.progressive {
        let (before, shift) = (shifts >> 4, shifts & 15);
        let refines = before != 0;
        let consistent = if first == 0 { last == 0 } else { count == 1 && first <= last && last < 64 };
        if !consistent || shift > 13 || refines && before != shift + 1 {
            return Err(broken);
        }
        Band { progressive: true, first: first.into(), last: last.into(), refines, shift: shift.into() }
    } else {
        Band { progressive: false, first: 0, last: 63, refines: false, shift: 0 }
    };
    let mut parts: Vec<Part> = Vec::new();
    for selector in selectors.chunks_exact(2) {
        let component = frame.components.iter().position(|c| c.id == selector[0]).ok_or(broken)?;
        if parts.iter().any(|part| part.component == component) {
            return Err(broken);
        }
        let find = |tables: &'a [Option<Huffman>; 4], index: u8| tables.get(usize::from(index))?.as_ref();
        let (dc, ac) = (find(&tables.dc, selector[1] >> 4), find(&tables.ac, selector[1] & 15));
        parts.push(Part { component, dc, ac, previous: 0 });
        let component = &mut frame.components[component];
        if component.quantum.is_none() {
            component.quantum = Some(tables.quantum[component.quantum_index].ok_or("a quantization table is missing")?);
        }
    }
    let [units_across, units_down] = match parts.as_slice() {
        [] => return Err(broken),
        // A scan of one component has its blocks in rows, without the padding to units.
        [only] => frame.components[only.component].size.map(|extent| extent.div_ceil(8)),
        _ => frame.units(),
    };
    let single = parts.len() == 1;
    let mut bits = Bits::new(data);
    let mut ended = 0;
    for unit in 0..units_across * units_down {
        if tables.restart > 0 && unit > 0 && unit % tables.restart == 0 {
            bits.restart()?;
            ended = 0;
            parts.iter_mut().for_each(|part| part.previous = 0);
        }
        let (y, x) = (unit / units_across, unit % units_across);
        for part in &mut parts {
            let component = &mut frame.components[part.component];
            let [across, down] = if single { [1, 1] } else { component.sampling };
            for i in 0..across * down {
                let block = (y * down + i / across) * component.blocks[0] + x * across + i % across;
                let block = &mut component.coefficients[block * 64..][..64];
                band.read(&mut bits, part, block, &mut ended)?;
            }
        }
    }
    Ok(bits.position())
}

impl Band {
    /// `ended`: blocks to come that have no further coefficients in this band.
    fn read(&self, bits: &mut Bits, part: &mut Part, block: &mut [i16], ended: &mut u32) -> Result<(), Broken> {
        if self.first == 0 {
            if self.refines {
                block[0] |= (bits.take(1)? << self.shift) as i16;
            } else {
                let size = bits.symbol(part.dc.ok_or("a Huffman table is missing")?)?;
                if size > 15 {
                    return Err("a coefficient is too large");
                }
                part.previous = part.previous.wrapping_add(bits.signed(size.into())?);
                block[0] = (part.previous << self.shift) as i16;
            }
            if self.progressive {
                return Ok(());
            }
        }
        let table = part.ac.ok_or("a Huffman table is missing")?;
        if self.refines {
            return self.refine(bits, table, block, ended);
        }
        if *ended > 0 {
            *ended -= 1;
            return Ok(());
        }
        let mut k = self.first.max(1);
        while k <= self.last {
            let symbol = bits.symbol(table)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            if size == 0 && run < 15 {
                *ended = self.blocks_ended(bits, run)?;
                break;
            }
            k += usize::from(run);
            if size > 0 {
                let place = ZIGZAG.get(k).ok_or("a run of zeros leaves its block")?;
                block[usize::from(*place)] = (bits.signed(size.into())? << self.shift) as i16;
            }
            k += 1;
        }
        Ok(())
    }

    /// How many blocks after this one have ended too.
    fn blocks_ended(&self, bits: &mut Bits, run: u8) -> Result<u32, Broken> {
        match (self.progressive, run) {
            (false, 0) => Ok(0),
            (false, _) => Err("it has an invalid run of zeros"),
            (true, run) => Ok((1 << run) - 1 + bits.take(run.into())? as u32),
        }
    }

    /// Adds one bit to the values that are not 0, and puts in those that become ±1 at this bit (G.1.2.3).
    fn refine(&self, bits: &mut Bits, table: &Huffman, block: &mut [i16], ended: &mut u32) -> Result<(), Broken> {
        let one = 1i16 << self.shift;
        let mut k = self.first;
        while k <= self.last && *ended == 0 {
            let symbol = bits.symbol(table)?;
            let (mut run, size) = (symbol >> 4, symbol & 15);
            let new = match size {
                0 if run < 15 => {
                    // This block is one of those that have ended.
                    *ended = self.blocks_ended(bits, run)? + 1;
                    break;
                }
                0 => 0,
                1 if bits.take(1)? == 1 => one,
                1 => -one,
                _ => return Err("a coefficient is too large"),
            };
            while let Some(place) = ZIGZAG[..=self.last].get(k) {
                let value = &mut block[usize::from(*place)];
                k += 1;
                if *value != 0 {
                    more_precise(bits, value, one)?;
                } else if run == 0 {
                    *value = new;
                    break;
                } else {
                    run -= 1;
                }
            }
        }
        if *ended > 0 {
            for place in &ZIGZAG[k.min(self.last + 1)..=self.last] {
                let value = &mut block[usize::from(*place)];
                if *value != 0 {
                    more_precise(bits, value, one)?;
                }
            }
            *ended -= 1;
        }
        Ok(())
    }
}

fn more_precise(bits: &mut Bits, value: &mut i16, one: i16) -> Result<(), Broken> {
    if bits.take(1)? == 1 && *value & one == 0 {
        *value = value.wrapping_add(if *value > 0 { one } else { -one });
    }
    Ok(())
}
