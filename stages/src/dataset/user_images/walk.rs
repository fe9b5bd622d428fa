//! What lies in a folder and below it, sorted out by the names of the files.
//!
//! Links to files and folders are followed; a folder that is its own ancestor is refused. Hidden files, and folders
//! that only programs make, are passed over. It opens no file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

/// Endings of the names of images, in lower case.
pub(super) const EXTENSIONS: [&str; 11] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "dib", "tif", "tiff", "webp"];

/// Folders that macOS's archives and Synology's file servers put beside the user's.
const NOT_THE_USERS: [&str; 2] = ["__MACOSX", "@eaDir"];

/// What a file is, going by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Image,
    Table,
    Idx,
}

/// The kind of a file of this name; none for everything else.
pub(super) fn kind(name: &str) -> Option<FileKind> {
    let name = name.to_lowercase();
    if name.contains("idx1-ubyte") || name.contains("idx3-ubyte") {
        return Some(FileKind::Idx);
    }
    match name.rsplit_once('.')?.1 {
        "parquet" => Some(FileKind::Table),
        ending => EXTENSIONS.contains(&ending).then_some(FileKind::Image),
    }
}

/// Files below a folder, as paths from it with `/` between the parts, sorted.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub images: Vec<String>,
    pub tables: Vec<String>,
    pub idx: Vec<String>,
    /// All folders, empty ones too.
    pub folders: Vec<String>,
    /// How many files of other kinds there are, by their endings.
    pub others: BTreeMap<String, usize>,
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
        format!("{count} {files} by the ending of the name ({})", endings.join(", "))
    }
}

/// Everything below `root`, but for the folders below it that are `excluded`.
///
/// # Errors
/// A folder that cannot be listed, a link that leads nowhere or back, a name that is not UTF-8.
pub(super) fn walk(root: &Path, excluded: &dyn Fn(&Path) -> bool) -> Result<Tree> {
    let mut tree = Tree::default();
    below(root, "", excluded, &mut Vec::new(), &mut tree)?;
    for list in [&mut tree.images, &mut tree.tables, &mut tree.idx, &mut tree.folders] {
        list.sort_unstable();
    }
    Ok(tree)
}

fn below(
    folder: &Path,
    prefix: &str,
    excluded: &dyn Fn(&Path) -> bool,
    ancestors: &mut Vec<(u64, u64)>,
    tree: &mut Tree,
) -> Result<()> {
    let cannot = || Error::new("cannot list the folder").at(folder).help("make it readable for this user");
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
        if name.as_encoded_bytes().starts_with(b".") || NOT_THE_USERS.iter().any(|other| name == *other) {
            continue;
        }
        let Some(name) = name.to_str() else {
            if kind(&name.to_string_lossy()).is_none() && !path.is_dir() {
                continue;
            }
            return Err(Error::new("a file's name is not UTF-8").at(&path).help("rename it"));
        };
        let kind = kind(name);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Whatever the link was to, it would not have been used.
            Err(_) if kind.is_none() => continue,
            Err(error) => {
                let error = Error::new("a file cannot be used").at(&path).because(error);
                return Err(error.help("mend it or remove it: it may be a link that leads nowhere"));
            }
        };
        let place = format!("{prefix}{name}");
        if metadata.is_dir() {
            if !excluded(&path) {
                below(&path, &format!("{place}/"), excluded, ancestors, tree)?;
                tree.folders.push(place);
            }
            continue;
        }
        match kind.filter(|_| metadata.is_file()) {
            Some(FileKind::Image) => tree.images.push(place),
            Some(FileKind::Table) => tree.tables.push(place),
            Some(FileKind::Idx) => tree.idx.push(place),
            None => {
                let ending = name.rsplit_once('.').map_or("no ending".to_owned(), |(_, e)| format!(".{e}"));
                *tree.others.entry(ending.to_lowercase()).or_default() += 1;
            }
        }
    }
    ancestors.pop();
    Ok(())
}
