//! Writing files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file in the place of any that is there. A failure leaves no half-written one.
pub fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let file = path.display().to_string();
    let part = PathBuf::from(format!("{file}.part"));
    let io = |e| Error::io(&file, e);
    let written = File::create(&part)
        .map_err(io)
        .and_then(|out| {
            let mut out = BufWriter::new(out);
            write(&mut out)?;
            out.flush().map_err(io)
        })
        .and_then(|()| std::fs::rename(&part, path).map_err(io));
    if written.is_err() {
        // The first failure is what matters; the part file may not even exist.
        std::fs::remove_file(&part).ok();
    }
    written
}
