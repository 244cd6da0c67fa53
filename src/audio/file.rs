//! WAV, MP3, FLAC and Ogg Vorbis files, packet by packet.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Cause;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::{Error, Result};

/// Rates that sound is recorded with.
pub const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Frames by which the length that a compressed file tells may differ from what it holds: what encoders put in front.
const SLACK: u64 = 4_096;

const NO_SOUND: &str = "no sound that can be read: expected WAV, MP3, FLAC or Ogg Vorbis";

/// An open file.
pub struct File {
    name: String,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    rate: u32,
    /// Frames that the file says it has, and those that have come.
    frames: Option<u64>,
    seen: u64,
    /// Whether its last bytes are there, as far as its format tells.
    ends: bool,
}

impl File {
    /// Reads as far as the first samples. `name` names the file in messages.
    pub fn open(name: &str, mut source: Box<dyn MediaSource>) -> Result<Self> {
        let ends = ends(&mut source).map_err(|e| Error::io(name, e))?;
        let stream = MediaSourceStream::new(source, Default::default());
        let probed = symphonia::default::get_probe().probe(
            &Hint::new(),
            stream,
            FormatOptions::default(),
            MetadataOptions::default(),
        );
        let format = probed.map_err(|cause| match cause {
            Cause::IoError(e) if e.kind() != ErrorKind::UnexpectedEof => Error::io(name, e),
            Cause::IoError(_) => Error::format(name, format!("it is incomplete, or {NO_SOUND}")),
            _ => Error::format(name, NO_SOUND),
        })?;
        let unsupported = |what: &str| Error::Unsupported(format!("{name}: {what}"));
        let track = format.default_track(TrackType::Audio).ok_or_else(|| unsupported("no sound in it"))?;
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
        let parameters = parameters.ok_or_else(|| unsupported("its kind of sound is not known"))?;
        let rate = parameters.sample_rate.ok_or_else(|| unsupported("it does not say its sample rate"))?;
        if !RATES.contains(&rate) {
            return Err(unsupported(&format!("a sample rate of {rate} Hz")));
        }
        let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default());
        let decoder = decoder.map_err(|cause| unsupported(&cause.to_string()))?;
        let (track, frames) = (track.id, track.num_frames);
        Ok(File { name: name.into(), format, decoder, track, rate, frames, seen: 0, ends })
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The mean of the channels of the next packet; `None` at the end. Fails for files that are damaged or end early.
    pub fn next(&mut self) -> Result<Option<Vec<f32>>> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => continue,
                Ok(Some(packet)) => packet,
                Ok(None) => return self.end(),
                // Files written as they were recorded do not know their length.
                Err(Cause::IoError(e)) if e.kind() == ErrorKind::UnexpectedEof && self.frames.is_none() => {
                    return self.end();
                }
                Err(cause) => return Err(self.error(cause)),
            };
            let mut samples: Vec<f32> = Vec::new();
            let (rate, channels) = match self.decoder.decode(&packet) {
                Ok(block) => {
                    block.copy_to_vec_interleaved(&mut samples);
                    (block.spec().rate(), block.spec().channels().count())
                }
                // A cut-out piece may begin with a packet that needs the one before it.
                Err(Cause::DecodeError(_)) if self.seen == 0 => continue,
                Err(cause) => return Err(self.error(cause)),
            };
            if rate != self.rate {
                let what = format!("{}: its sample rate changes from {} to {rate} Hz", self.name, self.rate);
                return Err(Error::Unsupported(what));
            }
            if samples.iter().any(|v| !v.is_finite()) {
                return Err(Error::format(&self.name, "a sample is not a number"));
            }
            let channels = channels.max(1);
            self.seen += (samples.len() / channels) as u64;
            let mean = samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32);
            return Ok(Some(mean.collect()));
        }
    }

    fn end(&self) -> Result<Option<Vec<f32>>> {
        match self.frames {
            Some(frames) if self.seen.saturating_add(SLACK) < frames => Err(self.cut_short()),
            _ if !self.ends => Err(self.cut_short()),
            _ => Ok(None),
        }
    }

    fn cut_short(&self) -> Error {
        let seconds = self.seen as f64 / f64::from(self.rate);
        let what = format!("it ends after {seconds:.1} s, before its end; the download is probably incomplete");
        Error::format(&self.name, what)
    }

    fn error(&self, cause: Cause) -> Error {
        match cause {
            Cause::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => self.cut_short(),
            Cause::IoError(e) => Error::io(&self.name, e),
            Cause::Unsupported(what) => Error::Unsupported(format!("{}: {what}", self.name)),
            other => {
                let seconds = self.seen as f64 / f64::from(self.rate);
                Error::format(&self.name, format!("it is damaged {seconds:.1} s from its beginning: {other}"))
            }
        }
    }
}

/// An Ogg page has at most this many bytes (RFC 3533, section 6).
const PAGE: u64 = 65_307;
const OGG: &[u8] = b"OggS";
/// Where a page says what it is, and that it is the last.
const FLAGS: usize = 5;
const LAST: u8 = 4;

/// False for an Ogg file without the page that says that it is the last. Other formats say their length, if they say it, in
/// front.
fn ends(source: &mut Box<dyn MediaSource>) -> io::Result<bool> {
    if !source.is_seekable() {
        return Ok(true);
    }
    let mut first = Vec::new();
    source.by_ref().take(OGG.len() as u64).read_to_end(&mut first)?;
    let mut ends = true;
    if first == OGG {
        let len = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(len.saturating_sub(PAGE)))?;
        let mut tail = Vec::new();
        source.by_ref().take(PAGE).read_to_end(&mut tail)?;
        let page = tail.windows(OGG.len()).rposition(|bytes| bytes == OGG);
        ends = page.and_then(|at| tail.get(at + FLAGS)).is_some_and(|flags| flags & LAST != 0);
    }
    source.seek(SeekFrom::Start(0))?;
    Ok(ends)
}
