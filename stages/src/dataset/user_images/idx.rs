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
use super::reading::{LabelsFrom, Reading};
use super::split_names::assign_files;
use super::tables::first_label;
use super::{Described, UserImages};
use crate::dataset::catalog::Classes;
use crate::dataset::first_few;
use crate::dataset::labels::{LabelReader, Written};
use crate::dataset::listing::{EncodedImage, ImageSource, Listing, Taker};
use crate::dataset::split::{Split, id};
use crate::runtime::lfs;

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
    /// The number of the first class.
    first: i64,
}

impl Idx {
    /// `files` are IDX files, from `root`.
    pub(super) fn describe(
        root: &Path,
        files: &[String],
        list: Option<Classes>,
        reading: &Reading,
    ) -> Result<Described> {
        let Some(classes) = list else {
            return Err(Error::new("IDX files number their classes and do not name them")
                .at(root)
                .help("list the classes in the order of their numbers, one a line, and name the file: CLASSES=classes.txt"));
        };
        let mut notes = Vec::new();
        let files = each_once(files, &mut notes);
        let images: Vec<(&str, String)> =
            files.iter().filter(|file| file.contains("idx3")).map(|file| (*file, stem(file))).collect();
        let paths: Vec<&str> = images.iter().map(|(file, _)| *file).collect();
        if paths.is_empty() {
            return Err(Error::new("there are labels and no images: no file is called …idx3-ubyte").at(root));
        }
        let assigned = assign_files(&paths, reading).map_err(|error| error.at(root))?;
        notes.extend(assigned.notes);
        let used =
            || images.iter().zip(&assigned.splits).filter_map(|(image, split)| Some((image, (*split)?)));
        let twice =
            used().enumerate().find(|(at, (_, split))| used().take(*at).any(|(_, before)| before == *split));
        if let Some((_, ((file, _), _))) = twice {
            return Err(Error::new(format!("`{file}` is one file of images too many")).at(root).help(
                "keep one file of training images and one of test images in the folder, or name the two: \
                 SET=\"download.train=… download.test=…\"",
            ));
        }
        let mut pairs = Vec::new();
        let mut numbers: Option<(i64, i64)> = None;
        for ((file, stem), split) in used() {
            let labels = files.iter().find(|other| other.contains("idx1") && self::stem(other) == *stem);
            let labels =
                labels.filter(|_| reading.labels != LabelsFrom::None).map(|labels| root.join(labels));
            if labels.is_none() && reading.labels != LabelsFrom::None {
                notes.push(format!(
                    "there are no labels of `{file}`: no file of the same name is called …idx1-ubyte"
                ));
            }
            if let Some(path) = &labels {
                let values = Values::open(path)?;
                values.shape::<1>()?;
                for number in values.read()?.into_iter().map(i64::from) {
                    let (low, high) = numbers.unwrap_or((number, number));
                    numbers = Some((low.min(number), high.max(number)));
                }
            }
            pairs.push(IdxPair {
                name: stem.rsplit('/').next().unwrap_or(stem).to_owned(),
                split,
                images: root.join(file),
                labelled: labels.is_some(),
                labels,
                first: 0,
            });
        }
        let first = first_label(numbers, &classes.names, reading, &mut notes);
        pairs.iter_mut().for_each(|pair| pair.first = first);
        pairs.sort_by_key(|pair| pair.split);
        let mut side = 0;
        for pair in &pairs {
            let [_, height, width] = Values::open(&pair.images)?.shape::<3>()?;
            side = height.min(width);
        }
        let source = UserImages::Idx(Self { pairs });
        Ok(Described { source, classes, form: Form::new(side, true), split: assigned.rule, notes })
    }

    pub(super) fn files(&self) -> Vec<Reads> {
        let files = self.pairs.iter().flat_map(|pair| std::iter::once(&pair.images).chain(&pair.labels));
        files.cloned().map(Reads::All).collect()
    }

    pub(super) fn open(&self, classes: &Classes) -> IdxRows {
        IdxRows { pairs: self.pairs.clone(), classes: classes.clone() }
    }
}

/// The files, of which none is there both packed and not.
fn each_once<'a>(files: &'a [String], notes: &mut Vec<String>) -> Vec<&'a str> {
    let packed = |file: &str| file.strip_suffix(".gz").map(str::to_owned);
    let twice: Vec<&String> =
        files.iter().filter(|file| packed(file).is_some_and(|plain| files.contains(&plain))).collect();
    if !twice.is_empty() {
        notes.push(format!("{} left out: the same files are there unpacked", first_few(&twice)));
    }
    files.iter().filter(|file| !twice.contains(file)).map(String::as_str).collect()
}

/// How many images there are in the IDX files, as far as their heads can be read.
pub(super) fn count(root: &Path, files: &[String]) -> usize {
    let images = files.iter().filter(|file| file.contains("idx3"));
    let counts = images.map(|file| Values::open(&root.join(file)).and_then(|file| file.shape::<3>()));
    // A damaged file is for its reader to refuse.
    counts
        .map(|shape| shape.map_or(1, |[count, ..]| count as usize))
        .sum::<usize>()
        .max(usize::from(!files.is_empty()))
}

/// IDX files as a source of images.
pub(super) struct IdxRows {
    pairs: Vec<IdxPair>,
    classes: Classes,
}

/// Pictures that are encoded between two looks at whether to stop.
const AT_ONCE: usize = 1024;

impl ImageSource for IdxRows {
    fn list(&self, _: &Context) -> Result<Listing> {
        let mut listing = Listing::default();
        for pair in &self.pairs {
            let [count, ..] = Values::open(&pair.images)?.shape::<3>()?;
            let labels = pair.labels.as_deref().map(|path| labels(path, count, pair.first, &self.classes));
            let labels = labels.transpose()?;
            for row in 0..count as usize {
                let label = labels.as_ref().and_then(|labels| labels[row]);
                listing.push(id(&pair.name, row), label, pair.split);
            }
        }
        Ok(listing)
    }

    /// Each image becomes a PNG.
    fn read(&self, rows: &[usize], context: &Context, take: &mut Taker) -> Result<()> {
        let (mut base, mut rest) = (0, rows);
        for pair in &self.pairs {
            let mut images = Values::open(&pair.images)?;
            let [count, height, width] = images.shape::<3>()?;
            let size = height as usize * width as usize;
            let (here, later) = rest.split_at(rest.partition_point(|row| *row < base + count as usize));
            rest = later;
            let mut at = 0;
            for rows in here.chunks(AT_ONCE) {
                context.safe_point()?;
                let mut pixels = Vec::with_capacity(rows.len());
                for row in rows {
                    images.skip((row - base - at) * size)?;
                    pixels.push((*row, images.take(size)?));
                    at = row - base + 1;
                }
                let encode = |(row, pixels): (usize, Vec<u8>)| {
                    (row, png(width, height, pixels).map(|bytes| EncodedImage { bytes, path: None }))
                };
                take(pixels.into_par_iter().map(encode).collect())?;
            }
            // A file that is cut off, or that holds more than it says, is damaged, whichever rows are wanted.
            if !here.is_empty() {
                images.skip((count as usize - at) * size)?;
                images.end()?;
            }
            base += count as usize;
        }
        Ok(())
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

fn labels(path: &Path, count: u32, first: i64, classes: &Classes) -> Result<Vec<Option<i32>>> {
    let values = Values::open(path)?;
    let [labels] = values.shape::<1>()?;
    if labels != count {
        return Err(Error::new(format!("{labels} labels for {count} images"))
            .at(path)
            .help("the file of images and the file of labels are not of the same set"));
    }
    let reader = LabelReader::new(classes, None, first, false)?;
    let class = |(row, label): (usize, u8)| {
        reader.class(&Written::Number(label.into())).map_err(|fault| {
            Error::new(format!("row {row} {fault}")).at(path).help(
                "list every class in CLASSES, in the order of their numbers; numbers that begin elsewhere: \
                 SET=download.first_label=1",
            )
        })
    };
    values.read()?.into_iter().enumerate().map(class).collect()
}

fn png(width: u32, height: u32, pixels: Vec<u8>) -> Result<Vec<u8>> {
    let image = GrayImage::from_raw(width, height, pixels);
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
    /// Values that were read or passed over.
    seen: u64,
}

impl Values {
    fn open(path: &Path) -> Result<Self> {
        let cannot = || damaged(path);
        lfs::refuse(path)?;
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
            Some(1..=MOST) => Ok(Self { path: path.to_owned(), shape, rest, seen: 0 }),
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
    fn read(mut self) -> Result<Vec<u8>> {
        let size: u64 = self.shape.iter().map(|&side| u64::from(side)).product();
        let values = self.take(usize::try_from(size).or_fail(|| damaged(&self.path))?)?;
        self.end()?;
        Ok(values)
    }

    /// The next `count` values.
    fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut values = Vec::new();
        self.rest.by_ref().take(count as u64).read_to_end(&mut values).or_fail(|| damaged(&self.path))?;
        self.seen += values.len() as u64;
        if values.len() < count { Err(self.short()) } else { Ok(values) }
    }

    /// Passes over `count` values.
    fn skip(&mut self, count: usize) -> Result<()> {
        let skipped = std::io::copy(&mut self.rest.by_ref().take(count as u64), &mut std::io::sink());
        let skipped = skipped.or_fail(|| damaged(&self.path))?;
        self.seen += skipped;
        if skipped < count as u64 { Err(self.short()) } else { Ok(()) }
    }

    /// Refuses values beyond those that the dimensions say.
    fn end(&mut self) -> Result<()> {
        let mut more = [0];
        match self.rest.read(&mut more).or_fail(|| damaged(&self.path))? {
            0 => Ok(()),
            _ => {
                Err(damaged(&self.path)
                    .because(format!("it holds more values and claims to hold {}", self.seen)))
            }
        }
    }

    fn short(&self) -> Error {
        let size: u64 = self.shape.iter().map(|&side| u64::from(side)).product();
        damaged(&self.path).because(format!("it holds {} values and claims to hold {size}", self.seen))
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

    /// Describes and reads the files: the rows, and the image of each.
    fn read(files: &[(&str, Vec<u8>)]) -> Result<(Listing, Vec<Vec<u8>>)> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        let described = Idx::describe(folder.path(), &names, Some(classes()), &Reading::default())?;
        let context = Context::for_test(folder.path());
        let source = described.source.open(&described.classes)?;
        let listing = source.list(&context)?;
        let mut images = Vec::new();
        let rows: Vec<usize> = (0..listing.ids.len()).collect();
        source.read(&rows, &context, &mut |batch| {
            images.extend(batch.into_iter().map(|(_, image)| image.unwrap().bytes));
            Ok(())
        })?;
        Ok((listing, images))
    }

    #[test]
    fn images_and_labels_of_both_splits_are_read_packed_or_not() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&idx(&[1, 2, 3], &[9; 6])).unwrap();
        let (found, images) = read(&[
            ("t10k-images-idx3-ubyte.gz", packed.finish().unwrap()),
            ("train-images-idx3-ubyte", idx(&[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])),
            ("train-labels-idx1-ubyte", idx(&[2], &[1, 0])),
        ])
        .unwrap();
        assert_eq!(found.ids, ["train/000000", "train/000001", "t10k/000000"]);
        assert_eq!(found.given, [Some(Split::Train), Some(Split::Train), Some(Split::Test)]);
        assert_eq!(found.labels, [Some(1), Some(0), None]);
        let second = image::load_from_memory(&images[1]).unwrap().into_luma8();
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
            (labels(idx(&[2], &[0, 2])), "row 1 has label 2, and there are 2 classes, from 0"),
        ] {
            assert!(error.contains(words) && error.contains("-ubyte"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_there_packed_and_unpacked_is_read_once() {
        let images = || idx(&[1, 2, 2], &[7; 4]);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&images()).unwrap();
        let packed = packed.finish().unwrap();
        let (found, _) =
            read(&[("train-images-idx3-ubyte", images()), ("train-images-idx3-ubyte.gz", packed)]).unwrap();
        assert_eq!(found.ids, ["train/000000"]);
    }

    #[test]
    fn labels_that_go_from_one_to_the_number_of_classes_begin_at_one() {
        let (found, _) = read(&[
            ("train-images-idx3-ubyte", idx(&[3, 1, 1], &[0; 3])),
            ("train-labels-idx1-ubyte", idx(&[3], &[2, 1, 2])),
        ])
        .unwrap();
        assert_eq!(found.labels, [Some(1), Some(0), Some(1)]);
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
