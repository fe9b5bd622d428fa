//! The tree of folders that the paths of images span, without what systems and programs put beside a user's folders.
//!
//! It sees only paths; what a folder's name means is for others to say.

use std::collections::BTreeMap;

/// Folders that systems and programs make, in lower case. Hidden ones are here for whoever lists them.
const OF_SYSTEMS: [&str; 15] = [
    "lost+found",
    "$recycle.bin",
    "recycler",
    "recycled",
    "system volume information",
    "found.000",
    "__macosx",
    "@eadir",
    "@recycle",
    "#recycle",
    "#snapshot",
    "network trash folder",
    "temporary items",
    "__pycache__",
    ".ipynb_checkpoints",
];

/// Whether systems and programs make folders of this name.
pub(in crate::dataset::user_images) fn is_of_a_system(name: &str) -> bool {
    let name = name.to_lowercase();
    OF_SYSTEMS.contains(&name.as_str()) || name.starts_with(".trash")
}

/// A folder with images in it or below it.
#[derive(Clone, Debug)]
pub(super) struct Branch<'a> {
    /// From the root; empty for the root itself.
    pub path: String,
    /// Names of the images in the folder itself.
    pub loose: Vec<&'a str>,
    /// Folders in it that hold images, by name.
    pub folders: Vec<Branch<'a>>,
    /// Names of folders in it that hold none.
    pub empty: Vec<&'a str>,
}

/// Folders in a folder, as the paths of all folders tell.
type Listed<'a> = BTreeMap<&'a str, Vec<&'a str>>;

impl<'a> Branch<'a> {
    /// The tree of these images and folders, and the folders of systems that were passed over, with their images.
    /// Folders of which `keep` holds are not passed over.
    pub(super) fn grow(
        images: &[&'a str],
        folders: &'a [String],
        keep: &dyn Fn(&str) -> bool,
    ) -> (Self, BTreeMap<String, usize>) {
        let mut listed = Listed::new();
        for folder in folders {
            let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
            listed.entry(parent).or_default().push(name);
        }
        let mut passed_over = BTreeMap::new();
        let tree = Self::below(String::new(), images.to_vec(), &listed, keep, &mut passed_over);
        (tree, passed_over)
    }

    fn below(
        path: String,
        files: Vec<&'a str>,
        listed: &Listed<'a>,
        keep: &dyn Fn(&str) -> bool,
        passed_over: &mut BTreeMap<String, usize>,
    ) -> Self {
        let (mut loose, mut inner) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
        for file in files {
            match file.split_once('/') {
                None => loose.push(file),
                Some((folder, rest)) => inner.entry(folder).or_default().push(rest),
            }
        }
        for name in listed.get(path.as_str()).into_iter().flatten() {
            inner.entry(name).or_default();
        }
        loose.sort_unstable();
        let (mut folders, mut empty) = (Vec::new(), Vec::new());
        for (name, files) in inner {
            let place = joined(&path, name);
            if is_of_a_system(name) && !keep(name) {
                passed_over.insert(place, files.len());
            } else {
                // Without images, too: a system's folder may be all that it holds.
                let folder = Self::below(place, files, listed, keep, passed_over);
                // All that it held may have been a system's.
                if folder.holds_nothing() { empty.push(name) } else { folders.push(folder) }
            }
        }
        Self { path, loose, folders, empty }
    }

    fn holds_nothing(&self) -> bool {
        self.loose.is_empty() && self.folders.is_empty()
    }

    /// The folder's own name; empty for the root.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The names of the folders in it that hold images.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(Self::name)
    }

    /// Whether images lie in it, and in no folder of it.
    pub(super) fn is_flat(&self) -> bool {
        self.folders.is_empty()
    }

    /// The images in it and below it, as paths from it.
    pub(super) fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        self.collect("", &mut all);
        all.sort_unstable();
        all
    }

    fn collect(&self, before: &str, all: &mut Vec<String>) {
        all.extend(self.loose.iter().map(|name| format!("{before}{name}")));
        for folder in &self.folders {
            folder.collect(&format!("{before}{}/", folder.name()), all);
        }
    }

    /// How many images are in it and below it.
    pub(super) fn count(&self) -> usize {
        self.loose.len() + self.folders.iter().map(Self::count).sum::<usize>()
    }

    /// All folders below it that hold images, itself not.
    pub(super) fn descendants(&self) -> Vec<&Self> {
        let mut all = Vec::new();
        for folder in &self.folders {
            all.push(folder);
            all.extend(folder.descendants());
        }
        all
    }

    /// The folder of this path from the root, if it is this one or below it and holds images.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        if self.path == path {
            return Some(self);
        }
        let inside = |folder: &&Self| {
            path.strip_prefix(&folder.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.folders.iter().find(inside)?.find(path)
    }

    /// The folder without those of these paths from the root.
    pub(super) fn without(&self, paths: &[&str]) -> Self {
        let folders = self.folders.iter().filter(|folder| !paths.contains(&folder.path.as_str()));
        let folders = folders.map(|folder| folder.without(paths)).filter(|folder| !folder.holds_nothing());
        Self {
            path: self.path.clone(),
            loose: self.loose.clone(),
            folders: folders.collect(),
            empty: self.empty.clone(),
        }
    }
}

/// A path from the root.
pub(super) fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
