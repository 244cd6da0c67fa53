//! Pictures with labels: a folder of folders named as labels, or a set in MNIST's idx files.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Photo;
use crate::{Error, Result};

/// Which half of a set in idx files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Train,
    Test,
}

impl Part {
    /// Names of pictures and of labels, without `.gz`.
    fn names(self) -> [&'static str; 2] {
        match self {
            Part::Train => ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
            Part::Test => ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
        }
    }
}

/// Unpacked bytes that one file may have.
const MOST_BYTES: u64 = 1 << 30;

/// Pictures one by one, each with its class.
pub enum Labelled {
    Files(Vec<(PathBuf, usize)>),
    /// u8 `[count, height, width]`, and a class each.
    Pixels {
        sides: [usize; 2],
        pixels: Vec<u8>,
        classes: Vec<u8>,
    },
}

impl Labelled {
    /// `folder` holds folders named as one of `labels` or by its number, or a test set as MNIST's is stored.
    pub fn open(folder: &Path, labels: &[String]) -> Result<Self> {
        match Self::idx(folder, Part::Test)? {
            Some(set) => Ok(set),
            None => Self::folders(folder, labels),
        }
    }

    /// A set as MNIST's is stored, `None` if the folder has none.
    pub fn idx(folder: &Path, part: Part) -> Result<Option<Self>> {
        let both = |name: &str| [name.to_string(), format!("{name}.gz")].map(|name| folder.join(name));
        match part.names().map(|name| both(name).into_iter().find(|path| path.exists())) {
            [Some(images), Some(classes)] => Self::read(&images, &classes).map(Some),
            _ => Ok(None),
        }
    }

    fn folders(folder: &Path, labels: &[String]) -> Result<Self> {
        let mut files = Vec::new();
        for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_string();
            let class = labels.iter().position(|label| label.eq_ignore_ascii_case(&name)).or_else(|| name.parse().ok());
            let class = class.ok_or_else(|| {
                Error::Usage(format!("{}: the model has no label `{name}`, and it is no number", path.display()))
            })?;
            files.extend(entries(&path)?.into_iter().filter(|path| path.is_file()).map(|file| (file, class)));
        }
        if files.is_empty() {
            let (name, [images, _]) = (folder.display(), Part::Test.names());
            return Err(Error::Usage(format!("{name} holds neither FOLDER/LABEL/PICTURE nor `{images}`")));
        }
        Ok(Labelled::Files(files))
    }

    fn read(images: &Path, classes: &Path) -> Result<Self> {
        let (pixels, [count, height, width]) =
            idx(images, 3).map(|(data, sides)| (data, [sides[0], sides[1], sides[2]]))?;
        let (classes, sides) = idx(classes, 1)?;
        if sides[0] != count {
            let (name, labels) = (images.display().to_string(), sides[0]);
            return Err(Error::format(name, format!("has {count} pictures, its labels are {labels}")));
        }
        Ok(Labelled::Pixels { sides: [height, width], pixels, classes })
    }

    pub fn len(&self) -> usize {
        match self {
            Labelled::Files(files) => files.len(),
            Labelled::Pixels { classes, .. } => classes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Picture `i`, below `len()`, and its class.
    pub fn get(&self, i: usize) -> Result<(Photo, usize)> {
        match self {
            Labelled::Files(files) => Ok((Photo::open(&files[i].0)?, files[i].1)),
            Labelled::Pixels { sides: [height, width], pixels, classes } => {
                let grey = &pixels[i * height * width..][..height * width];
                let rgb = grey.iter().flat_map(|&v| [v; 3]).collect();
                Ok((Photo::from_rgb(*width, *height, rgb)?, classes[i].into()))
            }
        }
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io(folder.display().to_string(), e);
    let list = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths = list.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// An idx file of bytes with so many dimensions: two zeros, 8 (bytes), the rank, big-endian sizes, the bytes. Packed with
/// gzip if its name ends so.
fn idx(path: &Path, rank: usize) -> Result<(Vec<u8>, Vec<usize>)> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|e| Error::io(name.clone(), e))?;
    let mut reader: Box<dyn Read> = match path.extension() {
        Some(end) if end == "gz" => Box::new(flate2::read::GzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut data = Vec::new();
    reader.by_ref().take(MOST_BYTES).read_to_end(&mut data).map_err(|e| Error::io(name.clone(), e))?;
    let (magic, rest) = data.split_at_checked(4).ok_or_else(|| Error::format(name.clone(), "is cut off"))?;
    if magic != [0, 0, 8, rank as u8] {
        return Err(Error::format(name, format!("is no idx file of bytes in {rank} dimensions")));
    }
    let (head, pixels) = rest.split_at_checked(4 * rank).ok_or_else(|| Error::format(name.clone(), "is cut off"))?;
    let sides: Vec<usize> =
        head.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let count = sides.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
    if count != Some(pixels.len()) {
        return Err(Error::format(name, format!("holds {} bytes instead of {sides:?}", pixels.len())));
    }
    Ok((pixels.to_vec(), sides))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("fewbit-labelled-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn write(folder: &Path, images: &[u8], labels: &[u8]) {
        std::fs::write(folder.join(Part::Test.names()[0]), images).unwrap();
        std::fs::write(folder.join(Part::Test.names()[1]), labels).unwrap();
    }

    #[test]
    fn idx_files() {
        let folder = folder("idx");
        let images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8, 7, 6];
        let labels = [0, 0, 8, 1, 0, 0, 0, 2, 5, 3];
        write(&folder, &images, &labels);
        let set = Labelled::open(&folder, &[]).unwrap();
        assert_eq!(set.len(), 2);
        let (photo, class) = set.get(1).unwrap();
        assert_eq!((photo.rgb(), photo.width(), class), ([7, 7, 7, 6, 6, 6].as_slice(), 2, 3));
        for (images, labels, said) in [
            (&images[..3], &labels[..], "cut off"),
            (&images[..10], &labels, "cut off"),
            (&images[..19], &labels, "holds 3 bytes"),
            (&labels, &labels, "3 dimensions"),
            (&images, &[0, 0, 8, 1, 0, 0, 0, 1, 5][..], "has 2 pictures"),
        ] {
            write(&folder, images, labels);
            let error = Labelled::open(&folder, &[]).err().expect(said).to_string();
            assert!(error.contains(said), "{error}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn folders_named_as_labels() {
        let folder = folder("names");
        for name in ["Cat", "7"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::fs::write(folder.join(name).join("a.png"), "").unwrap();
        }
        let Labelled::Files(files) = Labelled::open(&folder, &["dog".into(), "cat".into()]).unwrap() else { panic!() };
        assert_eq!(files.iter().map(|(_, class)| *class).collect::<Vec<_>>(), [7, 1]);
        std::fs::create_dir_all(folder.join("unicorn")).unwrap();
        let error = Labelled::open(&folder, &["dog".into(), "cat".into()]).err().unwrap().to_string();
        assert!(error.contains("no label `unicorn`"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
