//! Parts and classes around each other: parts outside (`train/cat`), classes outside (`cat/train`), or no parts.

use std::collections::BTreeSet;

use pipeline::error::{Error, Result};

use super::branch::Branch;
use super::level::are_parts;
use super::{LabelsFrom, List, images, they};
use crate::dataset::split::{Split, SplitRule};
use crate::dataset::user_images::part::{SplitRole, Spoken, assign_splits};
use crate::dataset::user_images::{TEST_SHARE, first_few};

/// Which folders are parts, and where the classes are sought.
pub(super) struct Arrangement<'a> {
    pub shape: Shape<'a>,
    pub rule: SplitRule,
}

pub(super) enum Shape<'a> {
    /// Classes, if any, are folders in the parts.
    PartsOutside(Vec<Place<'a>>),
    /// Classes are the folders of `level`, and parts are the folders in them.
    ClassesOutside { level: Branch<'a>, parts: Vec<Place<'a>> },
}

/// A folder whose images are of one split.
pub(super) struct Place<'a> {
    pub at: Branch<'a>,
    pub split: Option<Split>,
    /// Whether it is a part, by its name or by a setting, and not all there is.
    pub is_part: bool,
}

/// A folder with a role, which people know by `label`.
pub(super) struct Item<'a> {
    pub label: String,
    pub at: Branch<'a>,
    pub role: SplitRole,
}

/// The arrangement that the folders' names tell.
pub(super) fn by_names<'a>(
    level: &Branch<'a>,
    list: &List,
    labels: LabelsFrom,
    notes: &mut Vec<String>,
) -> Result<Arrangement<'a>> {
    if are_parts(level, list, labels, notes)? {
        if !level.loose.is_empty() {
            return Err(Error::new(format!(
                "{} beside the folders {}",
                they(&level.loose, "is", "are"),
                first_few(level.names())
            ))
            .help(
                "put every image into a folder for training or for testing; SET=\"download.train=. download.test=…\" \
                 has all images train that are not in the folder for testing",
            ));
        }
        let items = level.folders.iter().filter_map(|folder| {
            let role = Spoken::of(folder.name()).role?;
            Some(Item { label: folder.path.clone(), at: folder.clone(), role })
        });
        let (places, rule) = divide(items.collect(), By::Names, notes)?;
        if let Some(empty) = level.empty.iter().find(|name| Spoken::of(name).is_plain()) {
            notes.push(format!("no image is in the folder `{empty}`, so it plays no part"));
        }
        return Ok(Arrangement { shape: Shape::PartsOutside(places), rule });
    }
    if labels != LabelsFrom::ParentFolder && has_classes_outside(level, list, labels)? {
        let items = level.folders.iter().flat_map(|top| &top.folders).filter_map(|folder| {
            let role = Spoken::of(folder.name()).role?;
            Some(Item { label: folder.name().to_owned(), at: folder.clone(), role })
        });
        let (parts, rule) = divide(items.collect(), By::Names, notes)?;
        return Ok(Arrangement { shape: Shape::ClassesOutside { level: level.clone(), parts }, rule });
    }
    let all = Place { at: level.clone(), split: None, is_part: false };
    let rule = SplitRule::Random { test_share: TEST_SHARE };
    Ok(Arrangement { shape: Shape::PartsOutside(vec![all]), rule })
}

/// Whether every folder holds nothing but folders for training and testing: `cat/train`, `cat/test`.
fn has_classes_outside(level: &Branch, list: &List, labels: LabelsFrom) -> Result<bool> {
    let said = |top: &Branch| top.names().map(Spoken::of).collect::<Vec<_>>();
    let one_rest =
        level.folders.iter().flat_map(said).map(|spoken| spoken.rest).collect::<BTreeSet<_>>().len() == 1;
    let (mut roles, mut divided, mut all) = (Vec::new(), Vec::new(), level.loose.is_empty());
    for top in &level.folders {
        let said = said(top);
        let own = Spoken::of(top.name()).rest;
        let fits = |rest: &str| rest.is_empty() || rest == own || one_rest;
        all &= top.loose.is_empty() && !said.is_empty();
        all &= said.iter().all(|spoken| spoken.role.is_some() && fits(&spoken.rest));
        let trains = |rest: &str| said.iter().any(|s| s.role == Some(SplitRole::Train) && s.rest == rest);
        if said.iter().any(|s| s.role.is_some_and(|role| role != SplitRole::Train) && trains(&s.rest)) {
            divided.push(top.path.as_str());
        }
        roles.extend(said.into_iter().filter_map(|spoken| spoken.role));
    }
    let unclear = |why: String| {
        Err(Error::new(format!(
            "it is not clear which images in {} train and which test",
            first_few(&divided)
        ))
        .because(why)
        .help(
            "name every folder that trains or tests by its path: SET=\"download.train=a/train,b/train \
                 download.test=a/test,b/test\"; or take them for classes: SET=download.labels=parent-folder",
        ))
    };
    let inner = || level.folders.iter().flat_map(|top| top.names());
    if list.has_all(inner()) {
        if divided.is_empty() || !list.has_all(level.names()) {
            return Ok(false);
        }
        return unclear("CLASSES lists their names, too".to_owned());
    }
    let trains = roles.contains(&SplitRole::Train) && roles.iter().any(|role| *role != SplitRole::Train);
    if !(all && trains) {
        if divided.is_empty() || labels == LabelsFrom::None {
            return Ok(false);
        }
        return unclear("images or folders are beside those for training and testing".to_owned());
    }
    let nested = level.folders.iter().flat_map(|top| &top.folders).find(|part| !part.is_flat());
    let listed = list.has_any(level.names());
    match nested {
        Some(nested) if labels == LabelsFrom::Auto && !listed => {
            unclear(format!("there are further folders in `{}`", nested.path))
        }
        _ => Ok(true),
    }
}

/// Who said what a folder is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Names,
    Settings,
}

/// The places of those that train and test, and how the images are divided.
pub(super) fn divide<'a>(
    items: Vec<Item<'a>>,
    by: By,
    notes: &mut Vec<String>,
) -> Result<(Vec<Place<'a>>, SplitRule)> {
    let labels = |of: &dyn Fn(usize, SplitRole) -> bool| {
        let mut labels: Vec<&str> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if of(at, item.role) && !labels.contains(&item.label.as_str()) {
                labels.push(&item.label);
            }
        }
        labels
    };
    let train = labels(&|_, role| role == SplitRole::Train);
    if train.is_empty() {
        return Err(Error::new(format!(
            "no folder is for training: there {}",
            they_reversed(&labels(&|_, _| true))
        ))
        .help("name the folders that train: SET=download.train=…, several with commas between them"));
    }
    let roles: Vec<_> = items.iter().map(|item| (item.label.as_str(), Some(item.role))).collect();
    let (splits, rule) = assign_splits(&roles)?;
    let test = labels(&|at, _| splits[at] == Some(Some(Split::Test)));
    let names = "going by the names; download.train=… and download.test=… name others";
    match (rule, by) {
        (SplitRule::Random { .. }, _) => notes.push(format!(
            "{}, and no folder tests: {:.0} % of these images are drawn for testing; download.test=… names a folder \
             that tests",
            they(&train, "trains", "train"),
            100.0 * TEST_SHARE
        )),
        (SplitRule::Standard, By::Names) => notes.push(format!(
            "{} and {}, {names}",
            they(&train, "trains", "train"),
            they(&test, "tests", "test")
        )),
        (SplitRule::Standard, By::Settings) => {}
    }
    for role in [SplitRole::Validation, SplitRole::Unlabeled, SplitRole::Test] {
        let out = |at: usize, its: SplitRole| its == role && splits[at].is_none();
        let left_out = labels(&out);
        if left_out.is_empty() {
            continue;
        }
        let counted = items.iter().enumerate().filter(|(at, item)| out(*at, item.role));
        let count = counted.map(|(_, item)| item.at.count()).sum();
        notes.push(format!(
            "{} in {} {} left out: {}; SET=download.train={} has them train, too",
            images(count),
            first_few(&left_out),
            if count == 1 { "is" } else { "are" },
            if role == SplitRole::Unlabeled {
                "the name says that they have no labels or are to be predicted"
            } else {
                "there are test images besides"
            },
            [&train[..], &left_out[..]].concat().join(",")
        ));
    }
    let places = items.into_iter().zip(splits);
    let places = places.filter_map(|(item, split)| Some(Place { at: item.at, split: split?, is_part: true }));
    Ok((places.collect(), rule))
}

fn they_reversed(names: &[&str]) -> String {
    format!("{} {}", if names.len() == 1 { "is" } else { "are" }, first_few(names))
}
