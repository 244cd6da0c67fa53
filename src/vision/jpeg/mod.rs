//! JPEG files, pixel for pixel as libjpeg-turbo decodes them with its defaults: what Pillow gives, and so what models
//! were trained and measured on. Other decoders differ by a few levels, enough to exchange near-equal classes.
//!
//! Sequential and progressive Huffman-coded files of 8 bits a sample. Arithmetic coding, lossless files and a height
//! that follows later are refused, and so are files that end early. Format: ITU-T T.81; colours: JFIF, and
//! Adobe's segment.

mod bits;
mod colour;
mod frame;
mod idct;
mod scan;
mod tables;

use bits::Broken;
use colour::Space;
use frame::Frame;
use tables::Tables;

use super::Photo;
use super::limit::check_size;
use crate::{Error, Result};

/// More scans than this only make work: each costs a walk over all blocks.
const MOST_SCANS: usize = 100;

/// Pixels that one byte can stand for: nine blocks of a 32×32 unit at one bit each are the least.
const PIXELS_PER_BYTE: u64 = 1024;

/// Whether the bytes start as a JPEG file does.
pub fn recognizes(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

pub fn decode(name: &str, bytes: &[u8]) -> Result<Photo> {
    let broken = |what: Broken| Error::format(name, format!("cannot read this JPEG: {what}"));
    let mut file = Segments { bytes, at: 2 };
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let (mut jfif, mut adobe, mut scans) = (false, None, 0);
    loop {
        let (marker, body) = match file.next() {
            Ok(segment) => segment,
            // Some writers forget the end marker; what a progressive file lacks would not be known.
            Err(_) if frame.as_ref().is_some_and(|frame| !frame.progressive && frame.has_all_scans()) => break,
            Err(what) => return Err(broken(what)),
        };
        match (marker, body) {
            (0xc0..=0xc2, _) if frame.is_none() => {
                let mut header = Frame::parse(marker == 0xc2, body).map_err(broken)?;
                check_size(name, header.size.map(|extent| extent as u64), bytes.len(), PIXELS_PER_BYTE)?;
                header.allocate();
                frame = Some(header);
            }
            (0xc4, _) => tables.huffman(body).map_err(broken)?,
            (0xc0..=0xcf, _) => {
                return Err(broken("its coding is not supported: sequential and progressive Huffman are"));
            }
            (0xdb, _) => tables.quantization(body).map_err(broken)?,
            (0xdd, [high, low]) => tables.restart = u16::from_be_bytes([*high, *low]).into(),
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) => jfif = true,
            (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => adobe = Some(*transform),
            (0xda, _) => {
                let frame = frame.as_mut().ok_or("a scan comes before the frame").map_err(broken)?;
                scans += 1;
                if scans > MOST_SCANS {
                    return Err(broken("it has too many scans"));
                }
                file.at += scan::read(frame, &tables, body, &bytes[file.at..]).map_err(broken)?;
            }
            (0xd9, _) => break,
            _ => {}
        }
    }
    let mut frame = frame.ok_or("it has no frame").map_err(broken)?;
    if !frame.has_all_scans() {
        return Err(broken("a component has no scan"));
    }
    let space = Space::of(&frame, jfif, adobe);
    let rgb = colour::rgb(&mut frame, space);
    Photo::from_rgb(frame.size[0], frame.size[1], rgb)
}

/// Walks the marker segments.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    /// The next marker and the body of its segment; what lies between is skipped, as libjpeg does.
    fn next(&mut self) -> std::result::Result<(u8, &'a [u8]), Broken> {
        let ends = "its data end early";
        loop {
            let rest = self.bytes.get(self.at..).ok_or(ends)?;
            self.at += rest.iter().position(|byte| *byte == 0xff).ok_or(ends)? + 1;
            match self.bytes.get(self.at).ok_or(ends)? {
                // Stuffing, fill bytes, and markers that stand alone.
                0 | 1 | 0xff | 0xd0..=0xd8 => {}
                0xd9 => return Ok((0xd9, &[])),
                marker => {
                    let rest = &self.bytes[self.at + 1..];
                    let length =
                        rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))).ok_or(ends)?;
                    let body = rest.get(2..length).ok_or(ends)?;
                    self.at += 1 + length;
                    return Ok((*marker, body));
                }
            }
        }
    }
}
