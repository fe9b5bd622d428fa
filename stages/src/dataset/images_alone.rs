//! Images of the user's without classes or labels, for a student to look at: read and imported as those are that it
//! learned from.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use rayon::prelude::*;

use super::import::{Import, ImportImages};
use super::listing::{EncodedImage, ImageSource, Read};
use super::user_images::alone::{Alone, Packed, look};

/// Images that are read at a time. Photographs have megabytes.
const AT_ONCE: usize = 64;

/// The images at some places, each of them once.
pub struct ImagesAlone {
    /// What they are called.
    ids: Vec<String>,
    /// Where they are, in the same order.
    groups: Vec<Group>,
    /// What was left out, and what is assumed.
    pub notes: Vec<String>,
    /// The real paths of all files that are read.
    files: HashSet<PathBuf>,
    import: ImportImages,
}

/// Images that are read in the same way.
enum Group {
    /// Files of one image each.
    Files(Vec<PathBuf>),
    /// A file of several.
    Packed { count: usize, source: Box<dyn ImageSource> },
}

/// What is found, place after place.
#[derive(Default)]
struct Gathered {
    ids: Vec<String>,
    groups: Vec<Group>,
    notes: Vec<String>,
    files: HashSet<PathBuf>,
    /// Ids that tables themselves give.
    given: HashSet<String>,
    /// How many images came a second time.
    again: usize,
}

impl ImagesAlone {
    /// Those at `places`: images, folders, tables, IDX files, tar archives, or patterns. An image that is named itself has
    /// that name for its id, a row of a table its `id` where there is such a column; else ids are paths below the folder,
    /// behind the folder where there are several places. A file that is met at two places is read once.
    ///
    /// # Errors
    /// A place where nothing is, or nothing that holds images; a request to stop.
    pub fn at(places: &[PathBuf], import: ImportImages, context: &Context) -> Result<Self> {
        let mut gathered = Gathered::default();
        for place in places {
            context.safe_point()?;
            let alone = look(place, places.len() > 1, import.skip_unreadable, context);
            gathered.add(alone.map_err(in_own_words)?);
        }
        let Gathered { ids, groups, mut notes, files, again, .. } = gathered;
        match again {
            0 => {}
            1 => notes.push("1 image is named twice, and taken once".to_owned()),
            again => notes.push(format!("{again} images are named more than once, and taken once each")),
        }
        if ids.is_empty() {
            return Err(Error::new("there is no image").help("name tables that have rows"));
        }
        let notes = notes.iter().filter_map(|note| without_settings(note)).collect();
        Ok(Self { ids, groups, notes, files, import })
    }

    /// Whether the file at `path` is one of those that are read.
    pub fn reads(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|real| self.files.contains(&real))
    }

    /// Gives their ids and encoded bytes, a batch at a time, none of which is empty; says how many images there are before
    /// the first.
    ///
    /// # Errors
    /// A source that cannot be read, images that cannot unless they are to be left out, images of which none can be read,
    /// a request to stop, and the taker's own.
    pub fn each(
        &self,
        context: &Context,
        mut take: impl FnMut(&[String], Vec<Vec<u8>>) -> Result<()>,
    ) -> Result<()> {
        context.progress().begin(self.ids.len() as u64, "images");
        let mut import = Import::new(Some(self.import), self.ids.len());
        let mut good = 0;
        let mut pass = |images: Vec<Read>| -> Result<()> {
            let count = images.len() as u64;
            let (ids, bytes): (Vec<String>, Vec<Vec<u8>>) = import
                .good(images, &self.ids)
                .into_iter()
                .map(|(row, image)| (self.ids[row].clone(), image.bytes))
                .unzip();
            good += ids.len();
            // Of a batch nothing may be left.
            if !ids.is_empty() {
                take(&ids, bytes)?;
            }
            context.progress().advance(count);
            Ok(())
        };
        let mut first = 0;
        for group in &self.groups {
            let count = match group {
                Group::Files(paths) => {
                    for (batch, paths) in paths.chunks(AT_ONCE).enumerate() {
                        context.safe_point()?;
                        let base = first + batch * AT_ONCE;
                        pass(
                            paths.par_iter().enumerate().map(|(at, path)| (base + at, read(path))).collect(),
                        )?;
                    }
                    paths.len()
                }
                Group::Packed { count, source } => {
                    let rows: Vec<usize> = (0..*count).collect();
                    let mut shifted = |mut images: Vec<Read>| {
                        images.iter_mut().for_each(|(row, _)| *row += first);
                        pass(images)
                    };
                    source.read(&rows, context, &mut shifted).map_err(in_own_words)?;
                    *count
                }
            };
            first += count;
        }
        import.finish(context).map_err(in_own_words)?;
        if good == 0 {
            return Err(Error::new(match self.ids.len() {
                1 => "the image cannot be read".to_owned(),
                count => format!("none of {count} images can be read"),
            })
            .help("name images that are whole; what is wrong with the first is said above"));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<EncodedImage> {
    let bytes = std::fs::read(path).or_fail(|| Error::new("cannot read the file").at(path))?;
    Ok(EncodedImage { bytes, path: None })
}

impl Gathered {
    /// Adds what is at one place. What was met at another place before is not taken again; links to one image at one place
    /// are as many images.
    fn add(&mut self, Alone { files, packed, notes }: Alone) {
        let mut new = Vec::with_capacity(files.len() + packed.len());
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        for (id, path) in files {
            let file = real(&path);
            if self.files.contains(&file) {
                self.again += 1;
                continue;
            }
            new.push(file);
            self.ids.push(id);
            match self.groups.last_mut() {
                Some(Group::Files(paths)) => paths.push(path),
                _ => self.groups.push(Group::Files(vec![path])),
            }
        }
        for Packed { path, own, ids, source } in packed {
            let file = real(&path);
            if self.files.contains(&file) {
                self.again += ids.len();
                continue;
            }
            new.push(file);
            let count = ids.len();
            let own = match own {
                Some(own) if own.iter().any(|id| self.given.contains(id)) => {
                    self.notes.push(format!(
                        "another table has the ids of {} too: its images are called by their rows",
                        path.display()
                    ));
                    None
                }
                own => own,
            };
            self.given.extend(own.iter().flatten().cloned());
            self.ids.extend(own.unwrap_or(ids));
            self.groups.push(Group::Packed { count, source });
        }
        self.files.extend(new);
        for note in notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
}

/// What is said of images on their way to a training, for whoever has none of its settings: advice to set one is left
/// out. None if nothing else was said.
pub fn without_settings(text: &str) -> Option<String> {
    let text = text.replace("SET=download.skip_unreadable=true", "--skip-unreadable");
    let clauses: Vec<&str> = text.split("; ").filter(|clause| !names_setting(clause)).collect();
    (!clauses.is_empty()).then(|| clauses.join("; "))
}

/// Whether words name a setting: `SET=…`, `CLASSES=…`, `download.shrink=0`.
fn names_setting(words: &str) -> bool {
    let of_stage = words.split("download.").skip(1);
    let mut keys = of_stage.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_'));
    ["SET=", "CLASSES="].iter().any(|setting| words.contains(setting))
        || keys.any(|rest| rest.starts_with('='))
}

/// An error whose help is for whoever has no settings.
fn in_own_words(error: Error) -> Error {
    let text = error.to_string();
    // The help of a cause stands further right.
    let Some((_, help)) = text.rsplit_once("\n  help: ") else { return error };
    match without_settings(help) {
        Some(kept) if kept == help => error,
        Some(kept) => error.help(kept),
        None => error.help("name the image files themselves, or a table with one column of images"),
    }
}

#[cfg(test)]
#[path = "images_alone_tests.rs"]
mod tests;
