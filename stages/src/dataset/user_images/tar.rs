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
    /// What has the labels, as the user calls it: a key of JSON, or the ending of files.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    label: String,
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
            samples.push(read_heads(
                &archive.path,
                [&reading.image_column, &reading.label_column],
                &mut notes,
            )?);
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
        let (image, label) = (reading.image_column.clone(), reading.label_column.clone());
        let source = Self { archives, first, image, label, labelled };
        Ok(Described { source: UserImages::Tar(source), classes, form, split: assigned.rule, notes })
    }

    pub(super) fn files(&self) -> Vec<Reads> {
        self.archives.iter().map(|archive| Reads::All(archive.path.clone())).collect()
    }

    pub(super) fn open(&self, classes: &Classes) -> Result<TarRows> {
        let reader = LabelReader::new(classes, None, self.first, false)?;
        let mut samples = Vec::new();
        for archive in &self.archives {
            samples.push(read_heads(&archive.path, [&self.image, &self.label], &mut Vec::new())?);
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
fn read_heads(path: &Path, [image, label]: [&str; 2], notes: &mut Vec<String>) -> Result<Vec<Sample>> {
    let mut keys = BTreeSet::new();
    let members = members(path, label, &mut keys)?;
    let labelled = members.iter().any(|member| member.label.is_some());
    if !label.is_empty() && !labelled {
        return Err(Error::new(format!("download.label_column = {label}: no sample has such a label"))
            .at(path)
            .help(format!(
                "name a key of the samples' JSON ({}), or the ending of files such as cls",
                first_few(keys)
            )));
    }
    if !labelled && !keys.is_empty() {
        notes.push(format!(
            "the JSON of the samples has no label under a usual name, but {}; SET=download.label_column=… names the key",
            first_few(&keys)
        ));
    }
    // WebDataset's names end at the first dot. Where that gives one sample many images, dots are part of the names.
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members.iter().filter(|member| member.is_image("")) {
        *names.entry(member.split(false).0).or_default() += 1;
    }
    let dotted = names.values().any(|count| *count > MOST_IMAGES);
    let mut order: Vec<String> = Vec::new();
    let mut grouped: BTreeMap<String, Vec<&Member>> = BTreeMap::new();
    for member in &members {
        let key = member.split(dotted).0.to_owned();
        if !grouped.contains_key(&key) {
            order.push(key.clone());
        }
        grouped.entry(key).or_default().push(member);
    }
    let (mut samples, mut several, mut unread) = (Vec::new(), BTreeSet::new(), 0);
    for key in order {
        let group = grouped.remove(&key).unwrap_or_default();
        let images: Vec<&Member> = group.iter().copied().filter(|member| member.is_image(image)).collect();
        let labels: Vec<&Member> = group.iter().copied().filter(|member| member.label.is_some()).collect();
        if images.len() > 1 {
            // Each with a label of its own: `a.1.jpg` and `a.1.cls`.
            if images.iter().all(|one| labels.iter().any(|label| label.stem() == one.stem())) {
                for one in images {
                    samples.push(one.sample(labels.iter().copied().find(|label| label.stem() == one.stem())));
                }
                continue;
            }
            several.extend(images.iter().map(|one| one.split(dotted).1.to_owned()));
        }
        // The plain ending beside others such as `seg.png`.
        let plain: Vec<&Member> =
            images.iter().copied().filter(|one| !one.split(dotted).1.contains('.')).collect();
        let one = match (&images[..], &plain[..]) {
            ([], _) => {
                unread += labels.len();
                continue;
            }
            ([one], _) | (_, [one]) => *one,
            _ => {
                let endings: Vec<&str> = images.iter().map(|one| one.split(dotted).1).collect();
                return Err(Error::new(format!(
                    "sample `{key}` has several images: {}",
                    first_few(&endings)
                ))
                .at(path)
                .help(format!(
                    "say how the names of the images end: SET=download.image_column={}",
                    endings[0]
                )));
            }
        };
        let own = labels.iter().copied().find(|label| label.stem() == one.stem());
        let label = own.or_else(|| labels.iter().copied().find(|label| !label.split(dotted).1.contains('.')));
        let label = label.or(if let [only] = labels[..] { Some(only) } else { None });
        if label.is_none() {
            unread += labels.len();
        }
        samples.push(one.sample(label).called(&key));
    }
    if !several.is_empty() {
        notes.push(format!(
            "samples have several images ({}), of which one each is taken, that with the shortest ending; \
             download.image_column=… names another",
            first_few(&several)
        ));
    }
    if unread > 0 {
        notes.push(format!("{unread} files that may hold labels belong to no image, and are passed over"));
    }
    let mut seen = BTreeSet::new();
    match samples.iter().find(|sample| !seen.insert(&sample.key)) {
        Some(twice) => Err(cannot(path).because(format!("sample `{}` is there twice", twice.key))),
        None => Ok(samples),
    }
}

/// So many images may one sample have: the image, a mask, a depth map and the like.
const MOST_IMAGES: usize = 4;

/// A file of an archive.
struct Member {
    name: String,
    start: u64,
    size: u64,
    /// What it says of a class, where its ending promises that.
    label: Option<Written>,
}

impl Member {
    /// The name up to the first dot of its last part, or where names have dots themselves up to the last, and its ending.
    fn split(&self, dotted: bool) -> (&str, &str) {
        let file = self.name.rfind('/').map_or(0, |slash| slash + 1);
        let dot = if dotted { self.name[file..].rfind('.') } else { self.name[file..].find('.') };
        dot.map_or((&self.name, ""), |dot| (&self.name[..file + dot], &self.name[file + dot + 1..]))
    }

    /// The name without its last ending.
    fn stem(&self) -> &str {
        self.split(true).0
    }

    fn is_image(&self, ending: &str) -> bool {
        let last = self.split(true).1.to_lowercase();
        match ending {
            "" => walk::EXTENSIONS.contains(&last.as_str()),
            ending => last == ending.to_lowercase() || self.split(false).1.eq_ignore_ascii_case(ending),
        }
    }

    fn sample(&self, label: Option<&Self>) -> Sample {
        Sample {
            key: self.stem().to_owned(),
            ending: self.split(true).1.to_owned(),
            start: self.start,
            size: self.size,
            label: label.and_then(|member| member.label.clone()).unwrap_or(Written::Unknown),
        }
    }
}

impl Sample {
    fn called(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }
}

fn cannot(path: &Path) -> Error {
    Error::new("cannot read an archive")
        .at(path)
        .help("it must be a plain tar file, neither packed nor cut off: fetch it again, or unpack it")
}

/// The images of an archive and what may hold their labels, in its order.
fn members(path: &Path, column: &str, keys: &mut BTreeSet<String>) -> Result<Vec<Member>> {
    let cannot = || cannot(path);
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
    let mut members = Vec::new();
    for entry in archive.entries_with_seek().or_fail(cannot)? {
        let mut entry = entry.or_fail(cannot)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let hidden = name.rsplit('/').next().is_some_and(|file| file.starts_with('.'));
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > length) {
            return Err(cannot().because(format!("it ends within its member `{name}`")));
        }
        let mut member = Member { name, start, size, label: None };
        let ending = member.split(true).1.to_lowercase();
        if hidden || ending.is_empty() {
            continue;
        }
        let may_be_label = match column {
            "" => {
                matches!(ending.as_str(), "cls" | "json" | "label" | "class")
                    || member.name.ends_with(".cls.txt")
            }
            column => ending == "json" || ending == column.to_lowercase(),
        };
        if may_be_label && size <= LONGEST_LABEL {
            let mut text = String::new();
            entry
                .read_to_string(&mut text)
                .or_fail(|| cannot().because(format!("`{}` is no text", member.name)))?;
            member.label = match ending.as_str() {
                "json" => label_of_json(&text, column, keys),
                _ => Some(label_of_text(&text)),
            };
        }
        members.push(member);
    }
    Ok(members)
}

fn label_of_text(text: &str) -> Written {
    match text.trim().parse() {
        Ok(number) => Written::Number(number),
        Err(_) => Written::of_text(text),
    }
}

/// The label in a sample's JSON, under the name that the user gives or one of the usual names. `keys` are all names that
/// are found.
fn label_of_json(text: &str, column: &str, keys: &mut BTreeSet<String>) -> Option<Written> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    keys.extend(json.as_object().into_iter().flat_map(serde_json::Map::keys).cloned());
    let value = match column {
        "" => LABELS.iter().find_map(|name| json.get(name))?,
        column => json.get(column)?,
    };
    match value {
        serde_json::Value::String(text) => Some(Written::of_text(text)),
        serde_json::Value::Number(number) => Some(number.as_i64().map_or(Written::Unknown, Written::Number)),
        serde_json::Value::Bool(flag) => Some(Written::Number(i64::from(*flag))),
        serde_json::Value::Null => Some(Written::Unknown),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
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
