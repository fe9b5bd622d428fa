//! What is said where folders are taken for no labels, though there is a list of classes.
//!
//! It sees only names.

use std::collections::BTreeSet;

use super::List;
use crate::dataset::first_few;

/// Says that these folders are no labels, and what to do if they are.
pub(super) fn say_no_labels<'n>(
    folders: impl Iterator<Item = &'n str>,
    list: &List,
    notes: &mut Vec<String>,
) {
    let folders: BTreeSet<&str> = folders.collect();
    let classes = list.names.unwrap_or_default();
    let help = match (numbered(&folders, classes), folders.first(), classes.first()) {
        (Some(lines), ..) => format!(
            "if the folders are called by the classes' numbers, list both in CLASSES, as {lines}: the folder's name, \
             and what CLIP is told"
        ),
        (None, Some(folder), Some(class)) => format!(
            "if they are labels, call the folders as CLASSES does, or list them there as `{folder}: {class}`: the \
             folder's name, and what CLIP is told"
        ),
        _ => "if they are labels, call the folders as CLASSES does".to_owned(),
    };
    notes.push(format!(
        "no class in CLASSES is called as a folder here is: {}. The folders are taken for no labels, and their images \
         have none; {help}; download.labels=none says that they are none",
        first_few(folders)
    ));
}

/// The lines of a list for folders that are called by numbers from 0 or 1, at most as many as classes.
fn numbered(folders: &BTreeSet<&str>, classes: &[String]) -> Option<String> {
    let digits = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    if folders.is_empty() || classes.iter().any(|class| digits(class)) {
        return None;
    }
    let mut numbers = Vec::new();
    for folder in folders.iter().filter(|folder| digits(folder)) {
        numbers.push((folder.parse::<usize>().ok()?, *folder));
    }
    numbers.sort_unstable();
    let (lowest, highest) = (numbers.first()?.0, numbers.last()?.0);
    let first = if highest == classes.len() { 1 } else { 0 };
    if numbers.len() != folders.len() || lowest < first || highest - first >= classes.len() {
        return None;
    }
    let lines = numbers.iter().take(2).filter_map(|(number, folder)| {
        let class = classes.get(number - first)?;
        Some(format!("`{folder}: {class}`"))
    });
    Some(lines.collect::<Vec<_>>().join(", "))
}
