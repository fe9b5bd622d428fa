//! IDX files, the format of MNIST and its like: grey images in one file, their labels in another.
//!
//! Format (Y. LeCun, "The MNIST database"): two zero bytes, a byte for the type of the values (8: unsigned bytes), a
//! byte for the number of dimensions, each dimension as a big-endian u32, the values. Files may be packed by gzip.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use image::{GrayImage, ImageFormat};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Reads};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::form::Form;
use super::part::{SplitRole, assign_splits};
use super::{Described, UserImages};
use crate::dataset::catalog::Classes;
use crate::dataset::download::Found;
use crate::dataset::split::{Split, id};
use crate::dataset::tables::ImageRow;

/// No file may claim to hold more bytes than this.
const MOST: u64 = 8 << 30;

/// IDX files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idx {
    pairs: Vec<IdxPair>,
}

/// A file of images and the file of their labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct IdxPair {
    /// How the ids of its rows begin: `train`, `t10k`.
    name: String,
    split: Option<Split>,
    images: PathBuf,
    labels: Option<PathBuf>,
    /// Whether there are labels.
    labelled: bool,
}

impl Idx {
    pub(super) fn describe(root: &Path, files: &[String], list: Option<Classes>) -> Result<Described> {
        let Some(classes) = list else {
            return Err(Error::new("IDX files number their classes and do not name them")
                .at(root)
                .help("list the classes in the order of their numbers, one a line, and name the file: CLASSES=classes.txt"));
        };
        let images: Vec<(&String, String)> =
            files.iter().filter(|file| file.contains("idx3")).map(|file| (file, stem(file))).collect();
        let parts: Vec<_> =
            images.iter().map(|(_, stem)| (stem.as_str(), SplitRole::of_path(stem))).collect();
        let twice = (1..parts.len()).find(|&at| parts[..at].iter().any(|part| part.1 == parts[at].1));
        if let Some(at) = twice {
            return Err(Error::new(format!("`{}` is one file of images too many", images[at].0))
                .at(root)
                .help("keep one file of training images and one of test images in the folder"));
        }
        if parts.is_empty() {
            return Err(Error::new("there are labels and no images: no file is called …idx3-ubyte").at(root));
        }
        let (splits, split) = assign_splits(&parts).map_err(|error| error.at(root))?;
        let mut pairs = Vec::new();
        for ((file, stem), part) in images.iter().zip(splits) {
            let Some(part) = part else { continue };
            let labels = files.iter().find(|other| other.contains("idx1") && self::stem(other) == *stem);
            pairs.push(IdxPair {
                name: stem.rsplit('/').next().unwrap_or(stem).to_owned(),
                split: part,
                images: root.join(file),
                labels: labels.map(|labels| root.join(labels)),
                labelled: labels.is_some(),
            });
        }
        pairs.sort_by_key(|pair| pair.split);
        let mut side = 0;
        for pair in &pairs {
            let [_, height, width] = Values::open(&pair.images)?.shape::<3>()?;
            side = height.min(width);
            if let Some(labels) = &pair.labels {
                Values::open(labels)?.shape::<1>()?;
            }
        }
        Ok(Described { source: UserImages::Idx(Self { pairs }), classes, form: Form::new(side, true), split })
    }

    pub(super) fn files(&self) -> Vec<Reads> {
        let files = self.pairs.iter().flat_map(|pair| std::iter::once(&pair.images).chain(&pair.labels));
        files.cloned().map(Reads::All).collect()
    }

    /// A row for each image, as PNG.
    pub(super) fn rows(&self, classes: &Classes, context: &Context) -> Result<Found> {
        let mut found = Found::default();
        for pair in &self.pairs {
            let images = Values::open(&pair.images)?;
            let [count, height, width] = images.shape::<3>()?;
            let pixels = images.read()?;
            let labels = pair.labels.as_deref().map(|path| labels(path, count, classes)).transpose()?;
            context.progress().begin(u64::from(count), "images read");
            let each: Vec<&[u8]> = pixels.chunks_exact((height * width) as usize).collect();
            for (first, chunk) in each.chunks(1024).enumerate() {
                context.safe_point()?;
                let encoded: Vec<_> = chunk.par_iter().map(|pixels| png(width, height, pixels)).collect();
                for (at, bytes) in encoded.into_iter().enumerate() {
                    let row = first * 1024 + at;
                    let label = labels.as_ref().map(|labels| i32::from(labels[row]));
                    found.push(
                        ImageRow { bytes: bytes?, path: None, label },
                        id(&pair.name, row),
                        pair.split,
                    );
                }
                context.progress().advance(chunk.len() as u64);
            }
        }
        Ok(found)
    }
}

/// What a file of images and that of its labels share: `train` of `train-images-idx3-ubyte.gz`.
fn stem(file: &str) -> String {
    let name = file.to_lowercase();
    let end = ["idx3-ubyte", "idx1-ubyte"].iter().find_map(|mark| name.find(mark)).unwrap_or(name.len());
    let name = name[..end].trim_end_matches(['-', '.', '_']);
    let name = ["images", "labels"].iter().find_map(|what| name.strip_suffix(what)).unwrap_or(name);
    match name.trim_end_matches(['-', '.', '_']) {
        "" => "images".to_owned(),
        name => name.to_owned(),
    }
}

fn labels(path: &Path, count: u32, classes: &Classes) -> Result<Vec<u8>> {
    let values = Values::open(path)?;
    let [labels] = values.shape::<1>()?;
    if labels != count {
        return Err(Error::new(format!("{labels} labels for {count} images"))
            .at(path)
            .help("the file of images and the file of labels are not of the same set"));
    }
    let (labels, names) = (values.read()?, classes.names.len());
    match labels.iter().position(|&label| usize::from(label) >= names) {
        None => Ok(labels),
        Some(row) => Err(Error::new(format!(
            "row {row} has label {}, and there are {names} classes, from 0",
            labels[row]
        ))
        .at(path)
        .help("list every class in CLASSES, in the order of their numbers")),
    }
}

fn png(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>> {
    let image = GrayImage::from_raw(width, height, pixels.to_vec());
    let image = image.ok_or_else(|| Error::new("an IDX image is cut off"))?;
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .or_fail(|| Error::new("cannot encode an IDX image as PNG"))?;
    Ok(bytes.into_inner())
}

/// An IDX file of unsigned bytes, after its head.
struct Values {
    path: PathBuf,
    shape: Vec<u32>,
    rest: Box<dyn Read>,
}

impl Values {
    fn open(path: &Path) -> Result<Self> {
        let cannot = || damaged(path);
        let file = BufReader::new(File::open(path).or_fail(cannot)?);
        let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
        let mut rest: Box<dyn Read> =
            if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let mut word = [0; 4];
        rest.read_exact(&mut word).or_fail(cannot)?;
        let [0, 0, 8, dimensions] = word else {
            return Err(cannot().because(format!("it begins with the bytes {word:?}, not with 0, 0, 8")));
        };
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            rest.read_exact(&mut word).or_fail(cannot)?;
            shape.push(u32::from_be_bytes(word));
        }
        let size = shape.iter().try_fold(1u64, |size, &side| size.checked_mul(u64::from(side)));
        match size {
            Some(1..=MOST) => Ok(Self { path: path.to_owned(), shape, rest }),
            _ => Err(cannot().because(format!("it claims to hold {shape:?} values"))),
        }
    }

    /// Its dimensions, of which there must be `D`.
    fn shape<const D: usize>(&self) -> Result<[u32; D]> {
        <[u32; D]>::try_from(self.shape.as_slice()).map_err(|_| {
            damaged(&self.path).because(format!("it has {} dimensions, not {D}", self.shape.len()))
        })
    }

    /// Its values, of which there must be as many as its dimensions say.
    fn read(self) -> Result<Vec<u8>> {
        let size: u64 = self.shape.iter().map(|&side| u64::from(side)).product();
        let mut values = Vec::new();
        self.rest.take(size + 1).read_to_end(&mut values).or_fail(|| damaged(&self.path))?;
        if values.len() as u64 != size {
            let found = if values.len() as u64 > size { "more".to_owned() } else { values.len().to_string() };
            return Err(
                damaged(&self.path).because(format!("it holds {found} values and claims to hold {size}"))
            );
        }
        Ok(values)
    }
}

fn damaged(path: &Path) -> Error {
    Error::new("cannot read an IDX file").at(path).help("the file is damaged or cut off: fetch it again")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        shape.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    fn classes() -> Classes {
        let names = ["one", "two"].map(str::to_owned).to_vec();
        Classes { texts: names.clone(), names, renamed: Vec::new() }
    }

    /// Describes and reads the files.
    fn read(files: &[(&str, Vec<u8>)]) -> Result<Found> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        let described = Idx::describe(folder.path(), &names, Some(classes()))?;
        described.source.rows(&described.classes, &Context::for_test(folder.path()))
    }

    #[test]
    fn images_and_labels_of_both_splits_are_read_packed_or_not() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&idx(&[1, 2, 3], &[9; 6])).unwrap();
        let found = read(&[
            ("t10k-images-idx3-ubyte.gz", packed.finish().unwrap()),
            ("train-images-idx3-ubyte", idx(&[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])),
            ("train-labels-idx1-ubyte", idx(&[2], &[1, 0])),
        ])
        .unwrap();
        assert_eq!(found.ids, ["train/000000", "train/000001", "t10k/000000"]);
        assert_eq!(found.given, [Some(Split::Train), Some(Split::Train), Some(Split::Test)]);
        assert_eq!(found.rows.iter().map(|row| row.label).collect::<Vec<_>>(), [Some(1), Some(0), None]);
        let second = image::load_from_memory(&found.rows[1].bytes).unwrap().into_luma8();
        assert_eq!((second.dimensions(), second.into_raw()), ((3, 2), vec![6, 7, 8, 9, 10, 11]));
    }

    #[test]
    fn a_file_that_contradicts_itself_or_its_labels_is_refused() {
        let good = || idx(&[2, 2, 2], &[0; 8]);
        let images = |bytes: Vec<u8>| read(&[("train-images-idx3-ubyte", bytes)]).err().unwrap().to_string();
        let labels = |bytes: Vec<u8>| {
            let files = [("train-images-idx3-ubyte", good()), ("train-labels-idx1-ubyte", bytes)];
            read(&files).err().unwrap().to_string()
        };
        for (error, words) in [
            (images(good()[..20].to_vec()), "holds 4 values and claims to hold 8"),
            (images([good(), vec![0]].concat()), "holds more values"),
            (images(idx(&[8], &[0; 8])), "1 dimensions, not 3"),
            (images(b"\x89PNG and so on".to_vec()), "begins with the bytes"),
            (images(idx(&[u32::MAX, u32::MAX, u32::MAX], &[])), "claims to hold"),
            (images(Vec::new()), "train-images-idx3-ubyte"),
            (labels(idx(&[3], &[0; 3])), "3 labels for 2 images"),
            (labels(idx(&[2], &[0, 2])), "row 1 has label 2, and there are 2 classes"),
        ] {
            assert!(error.contains(words) && error.contains("-ubyte"), "{error}");
        }
    }

    #[test]
    fn the_names_of_a_pair_are_told_apart_however_they_are_written() {
        for name in ["train-images-idx3-ubyte.gz", "train-labels.idx1-ubyte", "Train_images_idx3-ubyte"] {
            assert_eq!(stem(name), "train", "{name}");
        }
        assert_eq!(stem("images-idx3-ubyte"), "images");
        assert_eq!(stem("raw/emnist-letters-test-labels-idx1-ubyte"), "raw/emnist-letters-test");
    }
}
