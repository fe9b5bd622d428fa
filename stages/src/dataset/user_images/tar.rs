//! Tar archives as WebDataset writes them: the files of one sample share their name up to the first dot, as
//! `000017.jpg` and `000017.cls`.
//!
//! A `.cls` file holds a class's number or name; a `.json` file may have it under one of the usual names. The archives
//! stay packed: where each image lies is found from the heads of their members.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Reads};
use serde::{Deserialize, Serialize};

use super::columns::LABELS;
use super::form::Form;
use super::found_classes::classes_of;
use super::reading::{LabelsFrom, Reading};
use super::split_names::assign_files;
use super::tables::{first_label, of_names};
use super::{Described, UserImages, walk};
use crate::dataset::catalog::Classes;
use crate::dataset::first_few;
use crate::dataset::labels::{LabelReader, Written};
use crate::dataset::listing::{EncodedImage, ImageSource, Listing, Taker};
use crate::dataset::split::Split;
use crate::runtime::lfs;

/// Archives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TarArchives {
    archives: Vec<TarArchive>,
    /// The number of the first class.
    first: i64,
    /// The ending of images, where samples have several.
    image: String,
    /// Whether there are labels.
    labelled: bool,
}

/// One archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TarArchive {
    /// How the ids of its rows begin.
    name: String,
    split: Option<Split>,
    path: PathBuf,
}

/// One sample of an archive: where its image lies, and what is said of its class.
struct Sample {
    key: String,
    ending: String,
    start: u64,
    size: u64,
    label: Written,
}

/// Images that are in memory at a time.
const AT_ONCE: usize = 64;
/// A label's file is no larger than this; what is larger holds something else.
const LONGEST_LABEL: u64 = 1 << 20;

impl TarArchives {
    /// `files` are archives, from `root`.
    pub(super) fn describe(
        root: &Path,
        files: &[String],
        list: Option<Classes>,
        reading: &Reading,
    ) -> Result<Described> {
        let paths: Vec<&str> = files.iter().map(String::as_str).collect();
        let assigned = assign_files(&paths, reading).map_err(|error| error.at(root))?;
        let mut notes = assigned.notes;
        let mut archives = Vec::new();
        for (file, split) in files.iter().zip(assigned.splits) {
            let Some(split) = split else { continue };
            let name = file.strip_suffix(".tar").unwrap_or(file).to_owned();
            archives.push(TarArchive { name, split, path: root.join(file) });
        }
        archives.sort_by_key(|archive| archive.split);
        let mut samples = Vec::new();
        for archive in &archives {
            samples.push(read_heads(&archive.path, &reading.image_column, &mut notes)?);
        }
        if samples.iter().all(Vec::is_empty) {
            return Err(Error::new("no archive holds an image")
                .at(root)
                .help(format!("images in archives end in {}", walk::EXTENSIONS.join(", "))));
        }
        let named: Vec<BTreeSet<String>> = samples.iter().map(|samples| label_names(samples)).collect();
        let numbers = samples.iter().flatten().filter_map(|sample| match &sample.label {
            Written::Number(number) if *number != -1 => Some(*number),
            _ => None,
        });
        let numbers: Vec<i64> = numbers.collect();
        let use_labels = reading.labels != LabelsFrom::None;
        let found = !numbers.is_empty() || named.iter().any(|names| !names.is_empty());
        // An archive of class folders says its classes by them, and they would be lost.
        let folders = samples.iter().flatten().filter_map(|sample| sample.key.rsplit_once('/'));
        let folders: BTreeSet<&str> = folders.map(|(folder, _)| folder).collect();
        if use_labels && !found && folders.len() > 1 {
            return Err(Error::new(format!(
                "the archive holds folders and no labels: {}",
                first_few(folders)
            ))
            .at(archives.first().map_or(root, |archive| &archive.path))
            .help(
                "unpack it and name the folder; SET=download.labels=none takes all its images as unlabeled",
            ));
        }
        let classes = match list {
            Some(list) => list,
            None if named.iter().any(|names| !names.is_empty()) => {
                of_names(classes_of(&named, "labels", &mut notes))
            }
            None => {
                return Err(Error::new("the archives do not name their classes").at(root).help(
                    "list them in a text file, one a line, in the order of the label numbers if there are any, and \
                     name it: CLASSES=classes.txt",
                ));
            }
        };
        let range = numbers.iter().min().copied().zip(numbers.iter().max().copied());
        let first = first_label(range, &classes.names, reading, &mut notes);
        let form = Form::of_encoded(some_images(&archives, &samples)?.iter().map(Vec::as_slice));
        let labelled = use_labels && found;
        let source = Self { archives, first, image: reading.image_column.clone(), labelled };
        Ok(Described { source: UserImages::Tar(source), classes, form, split: assigned.rule, notes })
    }

    pub(super) fn files(&self) -> Vec<Reads> {
        self.archives.iter().map(|archive| Reads::All(archive.path.clone())).collect()
    }

    pub(super) fn open(&self, classes: &Classes) -> Result<TarRows> {
        let reader = LabelReader::new(classes, None, self.first)?;
        let mut samples = Vec::new();
        for archive in &self.archives {
            samples.push(read_heads(&archive.path, &self.image, &mut Vec::new())?);
        }
        Ok(TarRows { source: self.clone(), samples, reader })
    }
}

/// Archives as a source of images.
pub(super) struct TarRows {
    source: TarArchives,
    /// The samples of each archive.
    samples: Vec<Vec<Sample>>,
    reader: LabelReader,
}

impl TarRows {
    fn class(&self, archive: &TarArchive, sample: &Sample) -> Result<Option<i32>> {
        if !self.source.labelled {
            return Ok(None);
        }
        self.reader.class(&sample.label).map_err(|fault| {
            Error::new(format!("sample `{}` {fault}", sample.key)).at(&archive.path).help(
                "list every class in CLASSES=classes.txt, as the labels call it or in the order of their numbers; \
                 numbers that begin elsewhere than at 0: SET=download.first_label=1",
            )
        })
    }
}

impl ImageSource for TarRows {
    fn list(&self, _: &Context) -> Result<Listing> {
        let mut listing = Listing::default();
        for (archive, samples) in self.source.archives.iter().zip(&self.samples) {
            for sample in samples {
                let id = format!("{}/{}", archive.name, sample.key);
                listing.push(id, self.class(archive, sample)?, archive.split);
            }
        }
        Ok(listing)
    }

    fn read(&self, rows: &[usize], context: &Context, take: &mut Taker) -> Result<()> {
        let (mut base, mut rest) = (0, rows);
        for (archive, samples) in self.source.archives.iter().zip(&self.samples) {
            let (here, later) = rest.split_at(rest.partition_point(|row| *row < base + samples.len()));
            rest = later;
            for rows in here.chunks(AT_ONCE) {
                context.safe_point()?;
                let mut file = open(&archive.path)?;
                let mut image = |row: &usize| {
                    let sample = &samples[row - base];
                    let bytes = bytes_at(&mut file, sample).or_fail(|| {
                        Error::new(format!("cannot read sample `{}`", sample.key)).at(&archive.path)
                    })?;
                    Ok(EncodedImage { bytes, path: Some(format!("{}.{}", sample.key, sample.ending)) })
                };
                take(rows.iter().map(|row| (*row, image(row))).collect())?;
            }
            base += samples.len();
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).or_fail(|| Error::new("cannot open an archive").at(path))
}

fn bytes_at(file: &mut File, sample: &Sample) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(sample.start))?;
    let mut bytes = Vec::new();
    file.take(sample.size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The samples of an archive that have an image, in its order. Images end in `image` where that is given.
fn read_heads(path: &Path, image: &str, notes: &mut Vec<String>) -> Result<Vec<Sample>> {
    let cannot = || {
        Error::new("cannot read an archive")
            .at(path)
            .help("it must be a plain tar file, neither packed nor cut off: fetch it again, or unpack it")
    };
    lfs::refuse(path)?;
    let mut file = open(path)?;
    let length = file.metadata().or_fail(cannot)?.len();
    // An archive ends with a block of zeros; what was cut off between two members could not be told from a whole one.
    let mut last = [1; 512];
    let end = file.seek(SeekFrom::End(-512)).and_then(|_| file.read_exact(&mut last));
    if end.is_err() || last != [0; 512] {
        return Err(cannot().because("it does not end as archives do, with zeros"));
    }
    file.rewind().or_fail(cannot)?;
    let mut archive = tar::Archive::new(file);
    let mut order: Vec<String> = Vec::new();
    let mut images: BTreeMap<String, Vec<(String, u64, u64)>> = BTreeMap::new();
    let mut labels: BTreeMap<String, Written> = BTreeMap::new();
    for entry in archive.entries_with_seek().or_fail(cannot)? {
        let mut entry = entry.or_fail(cannot)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let (folder, file) =
            name.rsplit_once('/').map_or(("", name.as_str()), |(folder, file)| (folder, file));
        let Some((stem, ending)) = file.split_once('.').filter(|(stem, _)| !stem.is_empty()) else {
            continue;
        };
        let key = if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") };
        let ending = ending.to_lowercase();
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > length) {
            return Err(cannot().because(format!("it ends within its member `{name}`")));
        }
        let last = ending.rsplit('.').next().unwrap_or_default();
        let is_image =
            if image.is_empty() { walk::EXTENSIONS.contains(&last) } else { ending == image.to_lowercase() };
        if is_image {
            if !images.contains_key(&key) {
                order.push(key.clone());
            }
            images.entry(key).or_default().push((ending, start, size));
        } else if matches!(ending.as_str(), "cls" | "json" | "label" | "class" | "cls.txt")
            && size <= LONGEST_LABEL
        {
            let mut text = String::new();
            entry.read_to_string(&mut text).or_fail(|| cannot().because(format!("`{name}` is no text")))?;
            let label = if ending == "json" { label_of_json(&text) } else { Some(label_of_text(&text)) };
            if let Some(label) = label {
                labels.entry(key).or_insert(label);
            }
        }
    }
    let mut samples = Vec::new();
    let mut several = BTreeSet::new();
    for key in order {
        let mut found = images.remove(&key).unwrap_or_default();
        if found.len() > 1 {
            // The plain ending beside others such as `seg.png`.
            let plain: Vec<_> = found.iter().filter(|(ending, ..)| !ending.contains('.')).cloned().collect();
            several.extend(found.iter().map(|(ending, ..)| ending.clone()));
            match plain.len() {
                1 => found = plain,
                _ => {
                    return Err(Error::new(format!(
                        "sample `{key}` has several images: {}",
                        first_few(found.iter().map(|(ending, ..)| ending))
                    ))
                    .at(path)
                    .help("say how the names of the images end: SET=download.image_column=jpg"));
                }
            }
        }
        let label = labels.remove(&key).unwrap_or(Written::Unknown);
        samples.extend(found.into_iter().next().map(|(ending, start, size)| Sample {
            key,
            ending,
            start,
            size,
            label,
        }));
    }
    if !several.is_empty() {
        notes.push(format!(
            "samples have several images ({}), and those with the shortest ending are taken; download.image_column=… \
             names another",
            first_few(&several)
        ));
    }
    let mut keys = BTreeSet::new();
    match samples.iter().find(|sample| !keys.insert(&sample.key)) {
        Some(twice) => Err(cannot().because(format!("sample `{}` is there twice", twice.key))),
        None => Ok(samples),
    }
}

fn label_of_text(text: &str) -> Written {
    match text.trim().parse() {
        Ok(number) => Written::Number(number),
        Err(_) => Written::of_text(text),
    }
}

/// The label in a sample's JSON, under one of the usual names.
fn label_of_json(text: &str) -> Option<Written> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let value = LABELS.iter().find_map(|name| json.get(name))?;
    Some(match value {
        serde_json::Value::String(text) => Written::of_text(text),
        serde_json::Value::Number(number) => number.as_i64().map_or(Written::Unknown, Written::Number),
        serde_json::Value::Bool(flag) => Written::Number(i64::from(*flag)),
        _ => Written::Unknown,
    })
}

fn label_names(samples: &[Sample]) -> BTreeSet<String> {
    let names = samples.iter().filter_map(|sample| match &sample.label {
        Written::Name(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Some images, for their form.
fn some_images(archives: &[TarArchive], samples: &[Vec<Sample>]) -> Result<Vec<Vec<u8>>> {
    let mut images = Vec::new();
    for (archive, samples) in archives.iter().zip(samples) {
        let mut file = open(&archive.path)?;
        images.extend(samples.iter().take(64).filter_map(|sample| bytes_at(&mut file, sample).ok()));
    }
    Ok(images)
}
