//! What lies in a folder and below it, sorted out by the names of the files, and where a name does not tell, by the first
//! bytes.
//!
//! Links to files and folders are followed; a folder that is its own ancestor is refused. Hidden files are passed over.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

use super::layout::is_of_a_system;
use super::metadata::is_metadata;
use crate::dataset::first_few;
use crate::vision::decode::{ENOUGH, is_image};

/// Endings of the names of images, in lower case.
pub(super) const EXTENSIONS: [&str; 16] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "dib", "tif", "tiff", "webp", "ppm", "pgm", "pbm",
    "pnm", "pam",
];

/// Endings of names of files that are no images, so that their first bytes need not be read.
const NO_IMAGES: [&str; 28] = [
    "txt",
    "md",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "xml",
    "yaml",
    "yml",
    "toml",
    "py",
    "ipynb",
    "html",
    "pdf",
    "mat",
    "npy",
    "npz",
    "pkl",
    "pt",
    "bin",
    "safetensors",
    "zip",
    "gz",
    "7z",
    "rar",
    "mp4",
    "avi",
    "db",
];

/// Endings of archives, which are to be unpacked.
const ARCHIVES: [&str; 8] = ["zip", "7z", "rar", "tgz", "gz", "bz2", "xz", "zst"];

/// What a file is, going by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Image,
    Table,
    Idx,
    Tar,
    Metadata,
}

/// The kind of a file of this name; none for everything else.
pub(super) fn kind(name: &str) -> Option<FileKind> {
    let name = name.to_lowercase();
    if name.contains("idx1-ubyte") || name.contains("idx3-ubyte") {
        return Some(FileKind::Idx);
    }
    if is_metadata(&name) {
        return Some(FileKind::Metadata);
    }
    match name.rsplit_once('.')?.1 {
        // `datasets` keeps what it computed beside what it saved.
        "arrow" if name.starts_with("cache-") => None,
        "parquet" | "arrow" | "feather" => Some(FileKind::Table),
        "tar" => Some(FileKind::Tar),
        ending => EXTENSIONS.contains(&ending).then_some(FileKind::Image),
    }
}

/// Files below a folder, as paths from it with `/` between the parts, sorted.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub images: Vec<String>,
    pub tables: Vec<String>,
    pub idx: Vec<String>,
    pub tars: Vec<String>,
    pub metadata: Vec<String>,
    /// All folders, empty ones too.
    pub folders: Vec<String>,
    /// How many files of other kinds there are, by their endings.
    pub others: BTreeMap<String, usize>,
    /// Tables of text that may hold labels and are called otherwise.
    pub texts: Vec<String>,
    /// Files that would be images and cannot be used, where such are to be left out.
    pub unusable: Vec<String>,
}

impl Tree {
    /// What is there besides, in words.
    pub(super) fn left_out(&self) -> String {
        let count: usize = self.others.values().sum();
        if count == 0 {
            return "it holds no file that is not hidden".to_owned();
        }
        let mut endings: Vec<_> = self.others.iter().collect();
        endings.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
        let endings: Vec<_> =
            endings.iter().take(5).map(|(ending, count)| format!("{ending}: {count}")).collect();
        let files = if count == 1 { "file is no image" } else { "files are no images" };
        let packed = self.others.keys().any(|ending| ARCHIVES.contains(&ending.trim_start_matches('.')));
        let unpack = if packed { "; packed archives are not looked into: unpack them" } else { "" };
        let convert = self
            .others
            .keys()
            .any(|ending| matches!(ending.as_str(), ".heic" | ".heif" | ".avif" | ".jp2" | ".jxl"));
        let convert =
            if convert { "; HEIC, AVIF and the like are not read: convert them to JPEG or PNG" } else { "" };
        format!("{count} {files} by the ending of the name ({}){unpack}{convert}", endings.join(", "))
    }

    /// The files that cannot be used and are left out, in words.
    pub(super) fn unusable_in_words(&self) -> Option<String> {
        let count = self.unusable.len();
        let are = if count == 1 { "file is" } else { "files are" };
        (count > 0).then(|| {
            format!(
                "{count} {are} left out, whose names or links cannot be used: {}",
                first_few(&self.unusable)
            )
        })
    }

    /// Sorts everything, so that the order in which a disk lists files does not matter.
    pub(super) fn sort(&mut self) {
        let lists = [&mut self.images, &mut self.tables, &mut self.idx, &mut self.tars, &mut self.metadata];
        for list in lists.into_iter().chain([&mut self.folders, &mut self.unusable, &mut self.texts]) {
            list.sort_unstable();
            list.dedup();
        }
    }
}

/// How a folder is walked.
pub(super) struct Walk<'a> {
    /// Folders that are not looked into.
    pub excluded: &'a dyn Fn(&Path) -> bool,
    /// Names of folders that are looked into whatever systems call so: the user's classes.
    pub keep: &'a dyn Fn(&str) -> bool,
    /// Whether files that cannot be used are left out, where they would otherwise be an error.
    pub skip_unusable: bool,
}

impl Walk<'_> {
    /// Everything below `root`.
    ///
    /// # Errors
    /// A folder that cannot be listed, a link that leads nowhere or back, a name that is not UTF-8.
    pub(super) fn all(&self, root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        self.below(root, "", &mut Vec::new(), &mut tree)?;
        tree.sort();
        Ok(tree)
    }

    /// Adds everything below `folder`, whose path from the root is `prefix`.
    pub(super) fn below(
        &self,
        folder: &Path,
        prefix: &str,
        ancestors: &mut Vec<(u64, u64)>,
        tree: &mut Tree,
    ) -> Result<()> {
        let cannot =
            || Error::new("cannot list the folder").at(folder).help("make it readable for this user");
        let own = fs::metadata(folder).or_fail(cannot)?;
        let identity = (own.dev(), own.ino());
        if ancestors.contains(&identity) {
            return Err(Error::new("a link leads back to a folder that it lies in")
                .at(folder)
                .help("remove the link"));
        }
        ancestors.push(identity);
        for entry in fs::read_dir(folder).or_fail(cannot)? {
            let entry = entry.or_fail(cannot)?;
            let (name, path) = (entry.file_name(), entry.path());
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Some(name) = name.to_str() else {
                let shown = format!("{prefix}{}", name.to_string_lossy());
                if kind(&shown).is_none() && !path.is_dir() {
                    continue;
                }
                if self.skip_unusable {
                    tree.unusable.push(shown);
                    continue;
                }
                return Err(Error::new("a file's name is not UTF-8")
                    .at(&path)
                    .help("rename it, or leave such files out: SET=download.skip_unreadable=true"));
            };
            self.add(name, &path, prefix, ancestors, tree)?;
        }
        ancestors.pop();
        Ok(())
    }

    /// Adds one file or folder.
    pub(super) fn add(
        &self,
        name: &str,
        path: &Path,
        prefix: &str,
        ancestors: &mut Vec<(u64, u64)>,
        tree: &mut Tree,
    ) -> Result<()> {
        let kind = kind(name);
        let place = format!("{prefix}{name}");
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // Whatever the link was to, it would not have been used.
            Err(_) if kind.is_none() => return Ok(()),
            Err(_) if self.skip_unusable => {
                tree.unusable.push(place);
                return Ok(());
            }
            Err(error) => {
                let error = Error::new("a file cannot be used").at(path).because(error);
                return Err(error.help(
                    "mend it or remove it: it may be a link that leads nowhere; SET=download.skip_unreadable=true \
                     leaves it out",
                ));
            }
        };
        if metadata.is_dir() {
            if is_of_a_system(name) && !(self.keep)(name) {
                // Not even looked into: only the system itself may. The layout says that it is passed over.
                tree.folders.push(place);
            } else if !(self.excluded)(path) {
                self.below(path, &format!("{place}/"), ancestors, tree)?;
                tree.folders.push(place);
            }
            return Ok(());
        }
        match kind.filter(|_| metadata.is_file()) {
            Some(FileKind::Image) => tree.images.push(place),
            Some(FileKind::Table) => tree.tables.push(place),
            Some(FileKind::Idx) => tree.idx.push(place),
            Some(FileKind::Tar) => tree.tars.push(place),
            Some(FileKind::Metadata) => tree.metadata.push(place),
            None if metadata.is_file() && begins_as_image(name, path) => tree.images.push(place),
            None => {
                let ending = name.rsplit_once('.').map_or("no ending".to_owned(), |(_, e)| format!(".{e}"));
                if matches!(ending.to_lowercase().as_str(), ".csv" | ".tsv" | ".jsonl") {
                    tree.texts.push(place);
                }
                *tree.others.entry(ending.to_lowercase()).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// Whether the first bytes of a file are an image's, where its name does not tell.
fn begins_as_image(name: &str, path: &Path) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
    if ending.is_some_and(|ending| NO_IMAGES.contains(&ending.as_str())) {
        return false;
    }
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ENOUGH as u64).read_to_end(&mut first));
    read.is_ok() && is_image(&first)
}
