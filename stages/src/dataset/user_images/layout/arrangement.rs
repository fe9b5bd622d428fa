//! Parts and classes around each other: parts outside (`train/cat`), classes outside (`cat/train`), or no parts.

use std::collections::BTreeSet;

use pipeline::error::{Error, Result};

use super::branch::Branch;
use super::crossed::has_classes_outside;
use super::in_names::classes_and_roles;
use super::level::are_parts;
use super::{LabelsFrom, List, images, they};
use crate::dataset::split::{Split, SplitRule};
use crate::dataset::user_images::part::{SplitRole, Spoken, assign_splits, holds_validation};
use crate::dataset::user_images::{TEST_SHARE, first_few};

/// Which folders are parts, and where the classes are sought.
pub(super) struct Arrangement<'a> {
    pub shape: Shape<'a>,
    pub rule: SplitRule,
}

pub(super) enum Shape<'a> {
    /// Classes, if any, are folders in the parts.
    PartsOutside(Vec<Place<'a>>),
    /// Classes are the folders of `level`, and parts are the folders in them, or these themselves where they say which
    /// class is theirs.
    ClassesOutside { level: Branch<'a>, parts: Vec<Place<'a>> },
}

/// A folder whose images are of one split.
pub(super) struct Place<'a> {
    pub at: Branch<'a>,
    pub split: Option<Split>,
    /// Whether it is a part, by its name or by a setting, and not all there is.
    pub is_part: bool,
    /// The class of all its images, where its own name says it.
    pub class: Option<String>,
}

/// A folder with a role, which people know by `label`.
pub(super) struct Item<'a> {
    pub label: String,
    pub at: Branch<'a>,
    pub role: SplitRole,
    /// The class of all its images, where its own name says it.
    pub class: Option<String>,
}

/// The arrangement that the folders' names tell.
pub(super) fn by_names<'a>(
    level: &Branch<'a>,
    list: &List,
    labels: LabelsFrom,
    notes: &mut Vec<String>,
) -> Result<Arrangement<'a>> {
    if let Some(items) = classes_and_roles(level, list, labels, notes) {
        let (parts, rule) = divide(items, By::Names, notes)?;
        return Ok(Arrangement { shape: Shape::ClassesOutside { level: level.clone(), parts }, rule });
    }
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
            Some(Item { label: folder.path.clone(), at: folder.clone(), role, class: None })
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
            Some(Item { label: folder.name().to_owned(), at: folder.clone(), role, class: None })
        });
        let (parts, rule) = divide(items.collect(), By::Names, notes)?;
        return Ok(Arrangement { shape: Shape::ClassesOutside { level: level.clone(), parts }, rule });
    }
    let all = Place { at: level.clone(), split: None, is_part: false, class: None };
    let rule = SplitRule::Random { test_share: TEST_SHARE };
    Ok(Arrangement { shape: Shape::PartsOutside(vec![all]), rule })
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
    if by == By::Names {
        refuse_twice(&items, &splits)?;
    }
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
                "the name says that they have no labels, are to be predicted, or come in addition"
            } else {
                "there are test images besides"
            },
            [&train[..], &left_out[..]].concat().join(",")
        ));
    }
    let places = items.into_iter().zip(splits);
    let places = places.filter_map(|(Item { at, class, .. }, split)| {
        let split = split?;
        Some(Place { at, split, is_part: true, class })
    });
    Ok((places.collect(), rule))
}

/// `trainval` holds what `train` and `val` hold: with one of them beside it, images would count twice.
fn refuse_twice(items: &[Item], splits: &[Option<Option<Split>>]) -> Result<()> {
    let of = |both: bool| {
        let taken = items.iter().zip(splits).filter(|(_, split)| split.is_some()).map(|(item, _)| item);
        let its = taken.filter(|item| item.role == SplitRole::Train || item.role == SplitRole::Validation);
        let its = its.filter(|item| holds_validation(item.at.name()) == both);
        its.map(|item| item.label.as_str()).collect::<BTreeSet<_>>()
    };
    let (both, one) = (of(true), of(false));
    if both.is_empty() || one.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "it is not clear which of {} count: by its name {} holds the images of {}, too",
        first_few(both.union(&one)),
        first_few(&both),
        first_few(&one)
    ))
    .help("name those to take, for example SET=\"download.train=… download.test=…\""))
}

fn they_reversed(names: &[&str]) -> String {
    format!("{} {}", if names.len() == 1 { "is" } else { "are" }, first_few(names))
}
