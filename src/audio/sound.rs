//! Sound at 16 kHz, one channel, as it is read.

use std::io::Cursor;
use std::path::Path;

use super::file::File;
use super::resample::Resampler;
use crate::{Error, Result};

/// Samples a second that models of speech take.
pub const RATE: u32 = 16_000;

/// Sound that is read as it is wanted, so that a file of any length takes little memory.
pub struct Sound {
    file: Option<File>,
    resampler: Resampler,
    ready: Vec<f32>,
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
        Self::of(File::open(&name, Box::new(source))?)
    }

    /// The same from memory; `name` names it in messages.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::of(File::open(name, Box::new(Cursor::new(bytes)))?)
    }

    /// Samples of one channel at a rate in Hz, which must not be 0.
    pub fn from_samples(samples: &[f32], rate: u32) -> Result<Self> {
        if rate == 0 {
            return Err(Error::Usage("sound at a rate of 0 samples a second".into()));
        }
        let mut sound = Sound { file: None, resampler: Resampler::new(rate, RATE), ready: Vec::new() };
        sound.resampler.push(samples, &mut sound.ready);
        sound.resampler.finish(&mut sound.ready);
        Ok(sound)
    }

    fn of(file: File) -> Result<Self> {
        Ok(Sound { resampler: Resampler::new(file.rate(), RATE), file: Some(file), ready: Vec::new() })
    }

    /// Appends samples until `out` has `len` of them or there are no more.
    pub fn fill(&mut self, out: &mut Vec<f32>, len: usize) -> Result<()> {
        while out.len() + self.ready.len() < len
            && let Some(file) = &mut self.file
        {
            match file.next()? {
                Some(samples) => self.resampler.push(&samples, &mut self.ready),
                None => {
                    self.resampler.finish(&mut self.ready);
                    self.file = None;
                }
            }
        }
        let count = len.saturating_sub(out.len()).min(self.ready.len());
        out.extend(self.ready.drain(..count));
        Ok(())
    }
}
