//! Which files train and which test: those that the user names, or as their own names say.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::error::{Error, Result};

use super::TEST_SHARE;
use super::part::{SplitRole, assign_splits};
use super::reading::Reading;
use crate::dataset::first_few;
use crate::dataset::split::{Split, SplitRule};
use crate::runtime::suggest::unknown;

/// The split of each file: left out (`None`), open until a random split (`Some(None)`), or known.
pub(super) struct AssignedFiles {
    pub(super) splits: Vec<Option<Option<Split>>>,
    pub(super) rule: SplitRule,
    /// What is assumed or left out.
    pub(super) notes: Vec<String>,
}

/// Assigns files, given by their paths.
///
/// # Errors
/// A name that no file has; files of which it is not clear what they are for.
pub(super) fn assign_files(paths: &[&str], reading: &Reading) -> Result<AssignedFiles> {
    if !(reading.train.is_empty() && reading.test.is_empty()) {
        let mut assigned = named(paths, reading)?;
        assigned.say(paths, false);
        return Ok(assigned);
    }
    refuse_incomplete(paths)?;
    let mut assigned = by_roles(paths)?;
    assigned.say(paths, true);
    Ok(assigned)
}

impl AssignedFiles {
    /// Adds what is assumed: which files train and test, whether images are drawn for testing, what is left out.
    fn say(&mut self, paths: &[&str], by_name: bool) {
        let of = |split: Option<Option<Split>>| -> Vec<&str> {
            paths.iter().zip(&self.splits).filter(|(_, its)| **its == split).map(|(path, _)| *path).collect()
        };
        let (train, test) = (of(Some(Some(Split::Train))), of(Some(Some(Split::Test))));
        let left_out = of(None);
        let mut notes = Vec::new();
        if by_name && !train.is_empty() && !test.is_empty() {
            notes.push(format!(
                "{} for training and {} for testing, going by their names; {OTHERS}",
                first_few(train),
                first_few(test)
            ));
        }
        if let SplitRule::Random { test_share } = self.rule {
            notes.push(format!(
                "{:.0} % of the images are drawn for testing; download.test=… names a file",
                100.0 * test_share
            ));
        }
        if !left_out.is_empty() {
            notes.push(format!("{} left out; {OTHERS}", first_few(left_out)));
        }
        self.notes.append(&mut notes);
    }
}

/// How the user says which files count for what.
const OTHERS: &str = "download.train=… and download.test=… name others";

/// Files as their names say: those without a role beside others with one are not understood.
fn by_roles(paths: &[&str]) -> Result<AssignedFiles> {
    let roles: Vec<_> = paths.iter().map(|path| (*path, SplitRole::of_path(path))).collect();
    let with = |wanted: &dyn Fn(Option<SplitRole>) -> bool| -> Vec<&str> {
        roles.iter().filter(|(_, role)| wanted(*role)).map(|(path, _)| *path).collect()
    };
    let (without, train) = (with(&|role| role.is_none()), with(&|role| role == Some(SplitRole::Train)));
    let held_out = with(&|role| matches!(role, Some(SplitRole::Test | SplitRole::Validation)));
    let test = with(&|role| role == Some(SplitRole::Test));
    let test = if test.is_empty() { held_out.clone() } else { test };
    if !without.is_empty() && without.len() < paths.len() {
        let help = match (train.is_empty(), held_out.is_empty()) {
            (false, false) => format!(
                "say which of them count: SET=\"download.train={},{} download.test={}\" takes them for training",
                train.join(","),
                without.join(","),
                test.join(",")
            ),
            _ => "say which train and which test: SET=\"download.train=… download.test=…\"".to_owned(),
        };
        return Err(Error::new(format!(
            "it is not clear whether {} for training or for testing",
            they(&without)
        ))
        .help(help));
    }
    if train.is_empty() && !held_out.is_empty() && paths.len() > 1 {
        return Err(Error::new(format!(
            "no file is for training by its name: there are {}",
            first_few(paths)
        ))
        .help(format!("say which trains: SET=\"download.train={}\"", paths[0])));
    }
    let (splits, rule) = assign_splits(&roles)?;
    Ok(AssignedFiles { splits, rule, notes: Vec::new() })
}

/// `a` is, `a`, `b` are.
fn they(names: &[&str]) -> String {
    format!("{} {}", first_few(names), if names.len() == 1 { "is" } else { "are" })
}

/// Refuses files of which some are missing or are there twice: shards of which not all are there, second copies, and the
/// same files in several folders, as a hub's configurations are.
fn refuse_incomplete(paths: &[&str]) -> Result<()> {
    let mut shards: BTreeMap<(&str, usize), BTreeSet<usize>> = BTreeMap::new();
    for path in paths {
        if let Some((name, shard, of)) = shard(path) {
            shards.entry((name, of)).or_default().insert(shard);
        }
    }
    if let Some(((name, of), there)) = shards.iter().find(|((_, of), there)| there.len() < *of) {
        return Err(Error::new(format!("{} of {of} shards of `{name}` are missing", of - there.len()))
            .because(format!(
                "there are the numbers {}",
                there.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            ))
            .help(
                "fetch the others; to take those that are there: SET=\"download.train=…\" with their names",
            ));
    }
    let stem = |path: &str| path.rsplit_once('.').map_or(path.to_owned(), |(stem, _)| stem.to_owned());
    for path in paths {
        let original = stem(path);
        let original =
            original.rsplit_once(" (").filter(|(_, number)| number.ends_with(')')).map(|(first, _)| first);
        if let Some(original) = original
            && let Some(first) = paths.iter().find(|other| stem(other) == original)
        {
            return Err(Error::new(format!("`{path}` looks like a second copy of `{first}`"))
                .help("remove it; or name the files that count: SET=\"download.train=… download.test=…\""));
        }
    }
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for path in paths {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        folders.entry(folder).or_default().insert(name);
    }
    let alike: Vec<&str> = folders
        .iter()
        .filter(|(folder, names)| {
            // Folders that are parts have files of one name: `train/0000.parquet` and `test/0000.parquet`.
            SplitRole::of_path(folder).is_none()
                && names.iter().any(|name| SplitRole::of_path(name) == Some(SplitRole::Train))
                && folders.iter().any(|(other, their)| other != *folder && their == *names)
        })
        .map(|(folder, _)| *folder)
        .collect();
    if alike.len() > 1 {
        return Err(Error::new(format!("the same files are in {}", first_few(&alike)))
            .because("such folders hold the same images in several configurations")
            .help(format!("name one of them: IMAGES=…/{0}, or SET=download.train={0}", alike[0])));
    }
    Ok(())
}

/// Name, number and count of `data/train-00001-of-00003.parquet`.
fn shard(path: &str) -> Option<(&str, usize, usize)> {
    let (left, right) = path.rsplit_once("-of-")?;
    let (name, shard) = left.rsplit_once('-')?;
    let of: String = right.chars().take_while(char::is_ascii_digit).collect();
    Some((name, shard.parse().ok()?, of.parse().ok()?))
}

fn named(paths: &[&str], reading: &Reading) -> Result<AssignedFiles> {
    let mut splits = vec![None; paths.len()];
    let both = !reading.train.is_empty() && !reading.test.is_empty();
    for (list, split) in [(&reading.train, Split::Train), (&reading.test, Split::Test)] {
        for name in list.split(',').map(|name| name.trim().trim_matches('/')).filter(|name| !name.is_empty())
        {
            let mut found = false;
            for (path, its) in paths.iter().zip(&mut splits).filter(|(path, _)| is_called(path, name)) {
                found = true;
                if its.is_some_and(|its| its != Some(split)) {
                    return Err(Error::new(format!(
                        "`{path}` is named by download.train and by download.test"
                    ))
                    .help("an image either trains or tests: name the files apart"));
                }
                *its = Some(Some(split));
            }
            if !found {
                return Err(unknown("file", name, paths.iter().map(|path| (*path).to_owned())));
            }
        }
    }
    let standard = |splits| Ok(AssignedFiles { splits, rule: SplitRule::Standard, notes: Vec::new() });
    if both {
        return standard(splits);
    }
    if reading.train.is_empty() {
        // The files that test are named: the others train.
        return standard(splits.into_iter().map(|split| Some(split.unwrap_or(Some(Split::Train)))).collect());
    }
    // Files that train alone are named: what tests among them says its name, or is drawn.
    let among: Vec<&str> =
        paths.iter().zip(&splits).filter(|(_, split)| split.is_some()).map(|(path, _)| *path).collect();
    if let Ok(AssignedFiles { splits: roles, rule: SplitRule::Standard, .. }) = by_roles(&among) {
        let mut roles = roles.into_iter();
        return standard(
            splits.into_iter().map(|split| split.and_then(|_| roles.next().flatten())).collect(),
        );
    }
    let splits = splits.into_iter().map(|split| split.map(|_| None)).collect();
    Ok(AssignedFiles { splits, rule: SplitRule::Random { test_share: TEST_SHARE }, notes: Vec::new() })
}

/// Whether a file is meant by a name: its path, its name with or without ending, or a folder that it lies in.
fn is_called(path: &str, name: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split('.').next().unwrap_or(file);
    path == name
        || file == name
        || stem == name
        || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILES: [&str; 3] = ["a/one.parquet", "a/two.parquet", "b/three.parquet"];

    fn assigned(train: &str, test: &str) -> Result<(Vec<Option<Option<Split>>>, SplitRule)> {
        let reading = Reading { train: train.to_owned(), test: test.to_owned(), ..Reading::default() };
        assign_files(&FILES, &reading).map(|assigned| (assigned.splits, assigned.rule))
    }

    #[test]
    fn the_users_names_decide_and_what_is_not_named_is_left_out() {
        let (train, test) = (Some(Some(Split::Train)), Some(Some(Split::Test)));
        assert_eq!(assigned("one", "b").unwrap(), (vec![train, None, test], SplitRule::Standard));
        assert_eq!(assigned("", "three.parquet").unwrap(), (vec![train, train, test], SplitRule::Standard));
        let (splits, rule) = assigned("a", "").unwrap();
        assert_eq!(splits, [Some(None), Some(None), None]);
        assert_eq!(rule, SplitRule::Random { test_share: TEST_SHARE });
        let of = |paths: &[&str], train: &str| {
            let reading = Reading { train: train.to_owned(), ..Reading::default() };
            assign_files(paths, &reading).map(|assigned| (assigned.splits, assigned.notes))
        };
        let config =
            ["fine/train.parquet", "fine/test.parquet", "coarse/train.parquet", "coarse/test.parquet"];
        assert!(
            of(&config, "").err().unwrap().to_string().contains("the same files are in `coarse`, `fine`")
        );
        assert_eq!(of(&config, "fine").unwrap().0, [train, test, None, None]);
        for (paths, words) in [
            (&["d/train-00000-of-00003.parquet"][..], "2 of 3 shards of `d/train` are missing"),
            (&["train.parquet", "train (1).parquet"], "looks like a second copy of `train.parquet`"),
            (&["validation.parquet", "test.parquet"], "no file is for training"),
            (
                &["train.parquet", "test.parquet", "more.parquet"],
                "download.train=train.parquet,more.parquet download.test=test.parquet",
            ),
        ] {
            let error = of(paths, "").err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        }
        let (splits, notes) = of(&["train.parquet", "val.parquet", "test.parquet"], "").unwrap();
        assert_eq!(splits, [train, None, test]);
        assert!(notes.iter().any(|note| note.contains("`val.parquet` left out")), "{notes:?}");
        assert!(assigned("onne", "").unwrap_err().to_string().contains("a/one.parquet"));
        assert!(
            assigned("a", "one").unwrap_err().to_string().contains("by download.train and by download.test")
        );
    }
}
