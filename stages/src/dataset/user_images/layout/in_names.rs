//! Folders whose names say both a class and what its images are for: `cats_train`, `cats_test`, `dogs_train`,
//! `dogs_test`.
//!
//! It sees only names.

use std::collections::BTreeSet;

use super::arrangement::Item;
use super::branch::Branch;
use super::{LabelsFrom, List};
use crate::dataset::first_few;
use crate::dataset::user_images::part::{SplitRole, Spoken, class_and_role};

/// The folders with their classes and roles, if every name says both and at least two classes train.
pub(super) fn classes_and_roles<'a>(
    level: &Branch<'a>,
    list: &List,
    labels: LabelsFrom,
    notes: &mut Vec<String>,
) -> Option<Vec<Item<'a>>> {
    let asked_otherwise = matches!(labels, LabelsFrom::TopFolder | LabelsFrom::ParentFolder);
    if asked_otherwise || !level.loose.is_empty() || list.has_any(level.names()) {
        return None;
    }
    let item = |folder: &Branch<'a>, behind: bool| {
        let (class, role) = class_and_role(folder.name(), behind)?;
        let class = Some(class.to_owned());
        (folder.is_flat() && role != SplitRole::Unlabeled).then(|| Item {
            label: folder.path.clone(),
            at: folder.clone(),
            role,
            class,
        })
    };
    // All names have the role at the same end.
    let read =
        |behind: bool| level.folders.iter().map(|folder| item(folder, behind)).collect::<Option<Vec<_>>>();
    let items = [true, false].into_iter().find_map(read)?;
    let of = |trains: bool| -> BTreeSet<&str> {
        let its = items.iter().filter(|item| (item.role == SplitRole::Train) == trains);
        its.filter_map(|item| item.class.as_deref()).collect()
    };
    let (train, others) = (of(true), of(false));
    // `fold1_train` and `fold2_train` differ in a number alone.
    let words: BTreeSet<String> = train.iter().map(|class| Spoken::of(class).rest).collect();
    let each_once: BTreeSet<_> = items.iter().map(|item| (item.role, &item.class)).collect();
    let clear = words.len() == train.len() && each_once.len() == items.len();
    if train.len() < 2 || others.is_empty() || !others.is_subset(&train) || !clear {
        return None;
    }
    notes.push(format!(
        "the names of the folders say both a class and what its images are for: {} are the classes {}; \
         download.labels=none takes no labels from names, and download.train=. each folder for a class",
        first_few(level.names()),
        first_few(train)
    ));
    Some(items)
}
