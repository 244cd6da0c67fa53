//! Sound at 16 kHz, one channel, as it is read.

use std::io::Cursor;
use std::path::Path;

use super::file::{File, RATES};
use super::resample::Resampler;
use crate::{Error, Result};

/// Samples a second that models of speech take.
pub const RATE: u32 = 16_000;

/// Samples that are resampled at a time.
const PIECE: usize = 4_096;

/// Sound that is read as it is wanted, so that a file of any length takes little memory.
pub struct Sound {
    source: Option<Source>,
    resampler: Resampler,
    ready: Vec<f32>,
}

enum Source {
    File(Box<File>),
    Samples(std::vec::IntoIter<f32>),
}

impl Source {
    /// What comes next; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<f32>>> {
        match self {
            Source::File(file) => file.next(),
            Source::Samples(samples) => {
                let piece: Vec<f32> = samples.take(PIECE).collect();
                Ok((!piece.is_empty()).then_some(piece))
            }
        }
    }
}

impl Sound {
    /// Opens a WAV, MP3, FLAC or Ogg Vorbis file, recognised by its content.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let source = std::fs::File::open(path).map_err(|e| Error::io(&name, e))?;
        if source.metadata().is_ok_and(|info| info.is_dir()) {
            return Err(Error::Usage(format!("{name} is a folder, not a sound file")));
        }
        Ok(Self::of(File::open(&name, Box::new(source))?))
    }

    /// The same from memory; `name` names it in messages.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        Ok(Self::of(File::open(name, Box::new(Cursor::new(bytes)))?))
    }

    /// Samples of one channel at a rate in Hz. Fails for rates that nothing is recorded with, and for samples that are no
    /// numbers.
    pub fn from_samples(samples: Vec<f32>, rate: u32) -> Result<Self> {
        if !RATES.contains(&rate) {
            let (least, most) = (RATES.start(), RATES.end());
            let what = format!("sound at a rate of {rate} samples a second; expected {least} to {most}");
            return Err(Error::Usage(what));
        }
        if let Some(i) = samples.iter().position(|v| !v.is_finite()) {
            return Err(Error::Usage(format!("sample {i} of the sound is {}", samples[i])));
        }
        Ok(Self::new(Source::Samples(samples.into_iter()), rate))
    }

    fn of(file: File) -> Self {
        let rate = file.rate();
        Self::new(Source::File(Box::new(file)), rate)
    }

    fn new(source: Source, rate: u32) -> Self {
        Sound { resampler: Resampler::new(rate, RATE), source: Some(source), ready: Vec::new() }
    }

    /// Appends samples until `out` has `len` of them or there are no more.
    pub fn fill(&mut self, out: &mut Vec<f32>, len: usize) -> Result<()> {
        while out.len() + self.ready.len() < len
            && let Some(source) = &mut self.source
        {
            match source.next()? {
                Some(samples) => self.resampler.push(&samples, &mut self.ready),
                None => {
                    self.resampler.finish(&mut self.ready);
                    self.source = None;
                }
            }
        }
        let count = len.saturating_sub(out.len()).min(self.ready.len());
        out.extend(self.ready.drain(..count));
        Ok(())
    }
}
