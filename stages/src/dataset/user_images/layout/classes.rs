//! Which names of folders are one class, and the number of each.
//!
//! Without a list there are as many classes as names in a part. Two names that differ in case, blanks or hyphens alone
//! are one class only where they never lie in the same part. It sees only names.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::error::{Error, Result};

use super::copies::say_copies;
use super::labels::{Read, Set};
use super::{List, Part, is_invisible, they};
use crate::dataset::names::{canonical, normalised};
use crate::dataset::split::{Split, SplitRule};
use crate::dataset::{first_few, user_images::found_classes};

/// The parts with their classes by number, and the names of the classes where no list names them.
pub(super) fn number(
    read: Read,
    list: &List,
    rule: SplitRule,
    notes: &mut Vec<String>,
) -> Result<(Vec<Part>, Option<Vec<String>>)> {
    let Read { sets, empty } = read;
    let labelled: Vec<&Set> = sets.iter().filter(|set| set.class.is_some()).collect();
    if labelled.is_empty() {
        return Ok((parts(sets, &|_| None), None));
    }
    if let Some(names) = list.names {
        say_what_the_list_merges(&labelled, list, names, notes);
        let used: BTreeSet<usize> =
            labelled.iter().filter_map(|set| list.find(set.class.as_deref()?)).collect();
        let without: Vec<&String> = names
            .iter()
            .enumerate()
            .filter(|(index, _)| !used.contains(index))
            .map(|(_, name)| name)
            .collect();
        if !without.is_empty() {
            notes.push(format!("classes without an image of their own: {}", first_few(without)));
        }
        return Ok((parts(sets, &|class| list.find(class)), None));
    }
    refuse_twins(&labelled)?;
    let written = one_name_each(&labelled, notes);
    let names: BTreeSet<&String> = written.values().collect();
    let used: BTreeSet<String> = names.iter().map(|name| normalised(name)).collect();
    let unused: BTreeSet<&String> = empty.iter().filter(|name| !used.contains(&normalised(name))).collect();
    if !unused.is_empty() {
        return Err(Error::new(format!("no image is in the folder of a class: {}", first_few(unused)))
            .help("put images there, take the folder away, or list the classes in CLASSES=classes.txt"));
    }
    if rule == SplitRule::Standard {
        compare_splits(&labelled, &written, notes)?;
    }
    say_copies(names.iter().map(|name| name.as_str()), notes);
    let names: Vec<String> = names.into_iter().cloned().collect();
    let index = |class: &str| names.binary_search(written.get(&canonical(class))?).ok();
    let parts = parts(sets, &index);
    Ok((parts, Some(names)))
}

fn parts(sets: Vec<Set>, index: &dyn Fn(&str) -> Option<usize>) -> Vec<Part> {
    let part = |set: Set| Part {
        class: set.class.as_deref().and_then(index),
        folder: set.folder,
        split: set.split,
        files: set.files,
    };
    let mut parts: Vec<Part> = sets.into_iter().map(part).collect();
    parts.sort_by(|a, b| (a.split, &a.folder).cmp(&(b.split, &b.folder)));
    parts
}

/// Two folders in one part that the list has as one class.
fn say_what_the_list_merges(labelled: &[&Set], list: &List, names: &[String], notes: &mut Vec<String>) {
    let mut written: BTreeMap<(usize, usize), BTreeSet<&str>> = BTreeMap::new();
    for set in labelled {
        if let Some(class) = set.class.as_deref()
            && let Some(index) = list.find(class)
        {
            written.entry((index, set.part)).or_default().insert(class);
        }
    }
    let mut said = BTreeSet::new();
    for ((index, _), written) in written {
        if written.len() > 1 && said.insert(written.clone()) {
            notes.push(format!(
                "the folders {} are one class, `{}`, as CLASSES lists no other that is like them; list each of them to \
                 tell them apart",
                first_few(written),
                names[index]
            ));
        }
    }
}

/// Names side by side that look the same: neither is meant.
fn refuse_twins(labelled: &[&Set]) -> Result<()> {
    let mut seen: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for set in labelled {
        let Some(class) = set.class.as_deref() else { continue };
        if canonical(class).is_empty() {
            return Err(Error::new(format!("the name of the folder `{}` is nothing but blanks", set.folder))
                .help("call it as its class is called"));
        }
        let parent = set.folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        let form: String = canonical(class).chars().filter(|c| !is_invisible(*c)).collect();
        match seen.insert((parent, form), class) {
            Some(other) if other != class => {
                let place = if parent.is_empty() { String::new() } else { format!(" in `{parent}`") };
                return Err(Error::new(format!(
                    "two folders{place} have names that look the same: `{}` and `{}`",
                    other.escape_default(),
                    class.escape_default()
                ))
                .because("they differ in blanks at the ends, in characters that nobody sees, or in how accents are composed")
                .help(
                    "move the images of one into the other, rename one, or list the class in CLASSES=classes.txt, \
                     which makes them one",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The class of each name: itself, or one for all that are alike and never in one part.
fn one_name_each(labelled: &[&Set], notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut parts: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for set in labelled {
        parts.entry(set.part).or_default().insert(set.class.as_deref().map(canonical).unwrap_or_default());
    }
    found_classes::one_name_each(&parts.into_values().collect::<Vec<_>>(), "folders", notes)
}

/// Says which classes only test; if those that test are none of those that train, the folders mean something else.
fn compare_splits(
    labelled: &[&Set],
    written: &BTreeMap<String, String>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let of = |split: Split| -> BTreeSet<&String> {
        let sets = labelled.iter().filter(|set| set.split == Some(split));
        sets.filter_map(|set| written.get(&canonical(set.class.as_deref()?))).collect()
    };
    let (train, test) = (of(Split::Train), of(Split::Test));
    let missing: Vec<&&String> = test.difference(&train).collect();
    if train.is_empty() || missing.is_empty() {
        return Ok(());
    }
    if missing.len() == test.len() {
        return Err(Error::new(format!(
            "the folders of the test images ({}) are called otherwise than those of the training images ({})",
            first_few(missing),
            first_few(train)
        ))
        .help(
            "call them alike, or list the classes in CLASSES=classes.txt; if the folders' names are no labels: \
             SET=download.labels=none",
        ));
    }
    notes.push(format!(
        "{} for testing and no image for training; CLASSES=classes.txt says which classes there are",
        they(&missing, "has images", "have images")
    ));
    Ok(())
}
