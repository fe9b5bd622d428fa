//! Where the files of a data set are at the hub: as its description has them or, where the repository was laid out
//! anew, in other shards, or on the branch that hubs convert to Parquet by themselves.

use std::collections::BTreeMap;

use pipeline::error::{Error, Result};

use super::catalog::{Repository, SourceFile};
use crate::hub::client::{Fetched, FileRequest, Hub, ProgressMonitor, RepoKind};
use crate::hub::request::{ListedFile, shown};

/// The branch with the hub's own conversion to Parquet: `{config}/{split}/0000.parquet` and so on.
const CONVERTED: &str = "refs/convert/parquet";

/// Files that together hold the rows of one file of the description, or of several shards of one split.
pub(super) struct Piece {
    /// Which file of the description it is, or begins with.
    pub first: usize,
    /// Rows that the description expects, where it knows.
    pub rows: Option<u64>,
    /// The files, in the order of their rows.
    pub shards: Vec<Shard>,
}

/// One file that was fetched.
pub(super) struct Shard {
    /// Path in the repository.
    pub path: String,
    pub fetched: Fetched,
}

/// What a file's path says of its rows: `data/train-00001-of-00002.parquet` is shard 1 of 2 of the split `train` in
/// the folder `data`. Some writers put a hash behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'a> {
    folder: &'a str,
    split: &'a str,
    shard: usize,
    of: usize,
}

impl<'a> Name<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = file.strip_suffix(".parquet")?;
        let sharded = || {
            let (left, right) = stem.split_once("-of-")?;
            let (split, shard) = left.rsplit_once('-')?;
            let of = right.split('-').next()?;
            Some(Self { folder, split, shard: shard.parse().ok()?, of: of.parse().ok()? })
        };
        Some(sharded().unwrap_or(Self { folder, split: stem, shard: 0, of: 1 }))
    }

    /// What the hub's conversion calls the folder: `data` is where a repository with one configuration has its files.
    fn config(&self) -> &'a str {
        match self.folder.rsplit('/').next() {
            None | Some("" | "data") => "default",
            Some(name) => name,
        }
    }

    /// What the hub's conversion calls the split.
    fn converted_split(&self) -> &'a str {
        match self.split {
            "valid" | "val" | "dev" => "validation",
            "testing" | "eval" | "evaluation" => "test",
            "training" => "train",
            other => other,
        }
    }
}

/// Fetches the files of a data set, or what holds the same rows in their place; a note says what was taken.
///
/// # Errors
/// Those of [`Hub::fetch`]; for a file that has nothing in its place, what was looked for and what is there.
pub(super) fn fetch(hub: &Hub, source: &Repository, monitor: &ProgressMonitor) -> Result<Vec<Piece>> {
    let mut search = Search { hub, source, monitor, revision: source.revision.clone() };
    let mut here = Vec::new();
    for file in &source.files {
        let fetched = hub.fetch_if_there(&search.request(file), monitor)?;
        if let Some(fetched) = &fetched {
            // The other files are to be of the same commit as the first.
            search.revision.clone_from(&fetched.commit);
        }
        here.push(fetched);
    }
    search.tell_revision(here.iter().flatten().next());
    let mut pieces = Vec::new();
    for (at, file) in source.files.iter().enumerate() {
        let group: Vec<usize> = (0..source.files.len())
            .filter(|other| at == *other || belong(file, &source.files[*other]))
            .collect();
        if group.iter().all(|file| here[*file].is_some()) {
            let shards = here[at].clone().map(|fetched| Shard { path: file.path.clone(), fetched });
            pieces.push(Piece { first: at, rows: file.rows, shards: shards.into_iter().collect() });
        } else if group[0] == at {
            // The shards of a split are replaced together: what has another number of them has other rows in each.
            let files: Vec<&SourceFile> = group.iter().map(|file| &source.files[*file]).collect();
            let missing = group.iter().find(|file| here[**file].is_none()).map_or(at, |file| *file);
            let shards = search.instead_of(&files, &source.files[missing])?;
            let rows = files.iter().map(|file| file.rows).sum();
            pieces.push(Piece { first: at, rows, shards });
        }
    }
    Ok(pieces)
}

/// Whether two files are shards of one split.
fn belong(one: &SourceFile, other: &SourceFile) -> bool {
    let name = |file: &SourceFile| {
        let Name { folder, split, .. } = Name::parse(&file.path)?;
        Some((folder.to_owned(), split.to_owned(), file.split))
    };
    name(one).is_some() && name(one) == name(other)
}

struct Search<'a> {
    hub: &'a Hub,
    source: &'a Repository,
    monitor: &'a ProgressMonitor<'a>,
    /// The description's revision; once a file is here, the commit that it stood for.
    revision: String,
}

impl Search<'_> {
    fn request<'b>(&'b self, file: &'b SourceFile) -> FileRequest<'b> {
        FileRequest {
            kind: RepoKind::Dataset,
            repo: &self.source.repo,
            revision: &self.revision,
            file: &file.path,
            sha256: file.sha256.as_deref(),
        }
    }

    /// Says that the user chose another revision than the description's, and which commit that was, if a file was there.
    fn tell_revision(&self, first: Option<&Fetched>) {
        let Repository { repo, revision, instead_of, .. } = self.source;
        if let Some(before) = instead_of {
            let commit = first.map_or_else(String::new, |file| format!(" (commit {})", file.commit));
            self.monitor.progress.note(format!(
                "takes {repo} at {revision}{commit} where the catalog has {before}, whose checksums and numbers of \
                 rows are not demanded"
            ));
        }
    }

    /// What holds the rows of `files` in their place, one of which is `missing`.
    fn instead_of(&self, files: &[&SourceFile], missing: &SourceFile) -> Result<Vec<Shard>> {
        let here = self.list(&self.revision, missing)?;
        let name = Name::parse(&missing.path);
        if let Some(paths) = name.and_then(|name| other_shards(&here, name)) {
            let shards = self.bring(paths, &self.revision)?;
            self.tell(files, missing, &shards, "");
            return Ok(shards);
        }
        let converted = self.list(CONVERTED, missing)?;
        // A conversion does not say how many shards it has, and offline the listing is what happens to be cached: then
        // only a number of rows tells whether they are all there.
        let countable = !self.hub.settings.offline || files.iter().all(|file| file.rows.is_some());
        if countable && let Some(paths) = name.and_then(|name| conversion(&converted, name)) {
            let shards = self.bring(paths, CONVERTED)?;
            self.tell(files, missing, &shards, ", the hub's own conversion");
            return Ok(shards);
        }
        Err(self.nothing(missing, name, &here, &converted))
    }

    /// The files at a revision, where one is looked for in place of `missing`; none if there is no such revision.
    fn list(&self, revision: &str, missing: &SourceFile) -> Result<Vec<ListedFile>> {
        let request = FileRequest { revision, sha256: None, ..self.request(missing) };
        Ok(self.hub.list_if_there(&request, self.monitor)?.unwrap_or_default())
    }

    /// Fetches files of one commit.
    fn bring(&self, paths: Vec<String>, revision: &str) -> Result<Vec<Shard>> {
        let mut revision = revision.to_owned();
        let mut shards = Vec::new();
        for path in paths {
            let request = FileRequest {
                kind: RepoKind::Dataset,
                repo: &self.source.repo,
                revision: &revision,
                file: &path,
                sha256: None,
            };
            let fetched = self.hub.fetch(&request, self.monitor)?;
            revision.clone_from(&fetched.commit);
            shards.push(Shard { path, fetched });
        }
        Ok(shards)
    }

    fn tell(&self, files: &[&SourceFile], missing: &SourceFile, shards: &[Shard], of: &str) {
        let checksums = match files.iter().any(|file| file.sha256.is_some()) {
            true => "; the catalog's checksum is of another file and cannot be checked",
            false => "",
        };
        let commit = shards.first().map_or("", |shard| &shard.fetched.commit);
        let taken: Vec<&str> = shards.iter().map(|shard| shard.path.as_str()).collect();
        self.monitor.progress.note(format!(
            "{} has no `{}` at revision {}: takes {} of commit {commit}{of}, instead{checksums}",
            self.source.repo,
            missing.path,
            self.source.revision,
            taken.join(", ")
        ));
    }

    fn nothing(
        &self,
        missing: &SourceFile,
        name: Option<Name>,
        here: &[ListedFile],
        converted: &[ListedFile],
    ) -> Error {
        if self.hub.settings.offline {
            return self.hub.missing_error(&self.request(missing), self.monitor);
        }
        let Repository { repo, revision, .. } = self.source;
        let error = Error::new(format!(
            "{} has no `{}` of data set {repo}, revision {revision}",
            self.hub.settings.endpoint, missing.path
        ));
        let error = match name {
            None => error,
            Some(name) => {
                let folder = if name.folder.is_empty() { String::new() } else { format!("{}/", name.folder) };
                error.because(format!(
                    "neither is there a whole set of {folder}{}-…-of-….parquet, nor on {CONVERTED} of \
                     {}/{}/….parquet",
                    name.split,
                    name.config(),
                    name.converted_split()
                ))
            }
        };
        let there = |files: &[ListedFile]| if files.is_empty() { "nothing".to_owned() } else { shown(files) };
        error.help(format!("the repository has: {}; {CONVERTED} has: {}", there(here), there(converted)))
    }
}

/// All shards of the same split in the same folder, in order, if a whole set of them is there.
fn other_shards(files: &[ListedFile], missing: Name) -> Option<Vec<String>> {
    // By how many there should be.
    let mut sets: BTreeMap<usize, BTreeMap<usize, &str>> = BTreeMap::new();
    for file in files {
        if let Some(name) = Name::parse(&file.path)
            && (name.folder, name.split) == (missing.folder, missing.split)
        {
            sets.entry(name.of).or_default().entry(name.shard).or_insert(&file.path);
        }
    }
    sets.into_iter().find_map(|(count, shards)| in_order(shards, Some(count)))
}

/// The files of the split on the branch of the conversion: those of the configuration that the folder is called
/// after, or of the only one that has the split.
fn conversion(files: &[ListedFile], missing: Name) -> Option<Vec<String>> {
    let mut configs: BTreeMap<&str, BTreeMap<usize, &str>> = BTreeMap::new();
    for file in files {
        let parts: Vec<&str> = file.path.split('/').collect();
        if let [config, split, name] = parts[..]
            && split == missing.converted_split()
            && let Some(Ok(number)) = name.strip_suffix(".parquet").map(str::parse)
        {
            configs.entry(config).or_default().insert(number, &file.path);
        }
    }
    let shards = match configs.remove(missing.config()) {
        Some(shards) => shards,
        None if configs.len() == 1 => configs.into_values().next()?,
        None => return None,
    };
    in_order(shards, None)
}

/// Shards numbered from 0 on without a gap, as many as there should be.
fn in_order(shards: BTreeMap<usize, &str>, count: Option<usize>) -> Option<Vec<String>> {
    let whole = shards.keys().copied().eq(0..count.unwrap_or(shards.len())) && !shards.is_empty();
    whole.then(|| shards.into_values().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn listed(paths: &[&str]) -> Vec<ListedFile> {
        paths.iter().map(|path| ListedFile { path: (*path).to_owned(), size: 1 }).collect()
    }

    fn shards(missing: &str, there: &[&str]) -> Option<Vec<String>> {
        other_shards(&listed(there), Name::parse(missing).unwrap())
    }

    fn converted(missing: &str, there: &[&str]) -> Option<Vec<String>> {
        conversion(&listed(there), Name::parse(missing).unwrap())
    }

    const TRAIN: &str = "data/train-00000-of-00001.parquet";

    #[test]
    fn a_path_says_folder_split_and_shard() {
        let name = |path| Name::parse(path).map(|name| (name.folder, name.split, name.shard, name.of));
        assert_eq!(name("data/train-00001-of-00012.parquet"), Some(("data", "train", 1, 12)));
        assert_eq!(name("data/train-00000-of-00001-a09b74b3ef9c3b56.parquet"), Some(("data", "train", 0, 1)));
        assert_eq!(name("a/b/my-test-00000-of-00002.parquet"), Some(("a/b", "my-test", 0, 2)));
        assert_eq!(name("train.parquet"), Some(("", "train", 0, 1)));
        assert_eq!(name("data/train-00000-of-00001.arrow"), None);
    }

    #[test]
    fn another_number_of_shards_is_taken_in_order_if_all_are_there() {
        let [first, second] = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"];
        assert_eq!(
            shards(TRAIN, &[second, "data/test-00000-of-00001.parquet", first]).unwrap(),
            [first, second]
        );
        assert_eq!(shards(TRAIN, &[second]), None);
        assert_eq!(shards(TRAIN, &["other/train-00000-of-00001.parquet"]), None);
        assert_eq!(shards(TRAIN, &["data/training-00000-of-00001.parquet", "data/train.txt"]), None);
        assert_eq!(shards(first, &["data/train.parquet"]).unwrap(), ["data/train.parquet"]);
        let hashed = "data/train-00000-of-00001-a09b74b3ef9c3b56.parquet";
        assert_eq!(shards(TRAIN, &[hashed, first]).unwrap(), [hashed]);
    }

    #[test]
    fn the_conversion_is_taken_from_the_configuration_of_the_same_name_or_the_only_one() {
        let [zero, one] = ["default/train/0000.parquet", "default/train/0001.parquet"];
        assert_eq!(converted(TRAIN, &[one, "default/test/0000.parquet", zero]).unwrap(), [zero, one]);
        let fine = "cifar100/train/0000.parquet";
        assert_eq!(converted("cifar100/train-00000-of-00001.parquet", &[zero, fine]).unwrap(), [fine]);
        assert_eq!(converted(TRAIN, &[fine]).unwrap(), [fine]);
        assert_eq!(converted(TRAIN, &[fine, "other/train/0000.parquet"]), None);
        // The first few gigabytes of a large set.
        assert_eq!(converted(TRAIN, &["default/partial-train/0000.parquet"]), None);
        assert_eq!(converted(TRAIN, &[one]), None);
        let validation = ["default/validation/0000.parquet"];
        assert_eq!(converted("data/valid-00000-of-00001.parquet", &validation).unwrap(), validation);
    }
}
