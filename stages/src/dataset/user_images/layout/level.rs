//! Whether folders that lie side by side are the parts of a data set, going by their names and by the list of classes.
//!
//! A plain name (`train`, `test_images`, `val2017`) is a part's. A name with another word in it (`seg_train`) is one if
//! all its neighbours have the same word; otherwise it is a class's (`train_station`).

use std::collections::{BTreeMap, BTreeSet};

use pipeline::error::{Error, Result};

use super::branch::Branch;
use super::{LabelsFrom, List, they};
use crate::dataset::first_few;
use crate::dataset::user_images::part::{SplitRole, Spoken};

/// A folder, and what its name says.
struct Said<'t, 'a> {
    folder: &'t Branch<'a>,
    spoken: Spoken,
}

impl Said<'_, '_> {
    fn is_plain(&self) -> bool {
        self.spoken.is_plain()
    }
}

/// Whether the folders in this one are parts.
///
/// # Errors
/// Names of parts among others; names that both readings fit.
pub(super) fn are_parts(
    level: &Branch,
    list: &List,
    labels: LabelsFrom,
    notes: &mut Vec<String>,
) -> Result<bool> {
    let said: Vec<Said> =
        level.folders.iter().map(|folder| Said { folder, spoken: Spoken::of(folder.name()) }).collect();
    if said.iter().all(|said| said.spoken.role.is_none()) {
        return Ok(false);
    }
    let classes_asked_for = labels == LabelsFrom::TopFolder;
    if list.has_all(level.names()) {
        return all_are_classes(&said, list, classes_asked_for, notes);
    }
    let all_have_roles = said.iter().all(|said| said.spoken.role.is_some());
    let one_rest = said.iter().all(|other| other.spoken.rest == said[0].spoken.rest);
    if all_have_roles && one_rest {
        let alone = said.len() == 1 && !said[0].is_plain();
        return if alone { Ok(false) } else { numbers_agree(&said).map(|()| true) };
    }
    if shares_a_rest(&said) {
        return Err(some_are_parts(&said));
    }
    if !all_have_roles && said.iter().any(Said::is_plain) {
        if !classes_asked_for {
            return Err(some_are_parts(&said));
        }
        let plain: Vec<&str> =
            said.iter().filter(|said| said.is_plain()).map(|said| said.folder.name()).collect();
        notes.push(format!(
            "{} as their neighbours are, as download.labels is top-folder; download.train=… and download.test=… name \
             folders that train and test",
            they(&plain, "is a class", "are classes")
        ));
    }
    if classes_asked_for {
        return Ok(false);
    }
    if !all_have_roles && !list.has_any(level.names()) && said.iter().any(holds_only_folders_for_a_role) {
        return Err(some_are_parts(&said));
    }
    if all_have_roles && !list.has_any(level.names()) {
        return other_words_differ(&said, notes);
    }
    Ok(false)
}

/// Every folder is called as a class is: then it is one, unless the folders in it are, too.
fn all_are_classes(
    said: &[Said],
    list: &List,
    classes_asked_for: bool,
    notes: &mut Vec<String>,
) -> Result<bool> {
    if !said.iter().all(Said::is_plain) {
        return Ok(false);
    }
    let names: Vec<&str> = said.iter().map(|said| said.folder.name()).collect();
    let inner_are_classes =
        list.has_any(said.iter().flat_map(|said| said.folder.descendants()).map(Branch::name));
    match (said.len() == 1, inner_are_classes) {
        (true, true) => Ok(true),
        (_, false) if classes_asked_for => Ok(false),
        (false, false) => {
            notes.push(format!(
                "{}, as CLASSES lists {}; download.train=… and download.test=… name folders that train and test",
                they(&names, "is a class", "are classes"),
                if names.len() == 1 { "it" } else { "them" }
            ));
            Ok(false)
        }
        _ => Err(Error::new(format!(
            "it is not clear whether {}: CLASSES lists the name, and it is also what folders of images for training \
             or testing are called",
            they(&names, "is a class", "are classes")
        ))
        .help(
            "SET=download.train=… names the folders that train; with SET=download.train=. none of them is a part, and \
             they are classes",
        )),
    }
}

/// `fold1_train`, `fold1_test`, `fold2_train`, …: each fold trains or tests on the same images.
fn numbers_agree(said: &[Said]) -> Result<()> {
    let mut roles: BTreeMap<&str, BTreeSet<SplitRole>> = BTreeMap::new();
    for Said { spoken, .. } in said {
        roles.entry(&spoken.number).or_default().extend(spoken.role);
    }
    let is_fold = |(number, roles): (&&str, &BTreeSet<SplitRole>)| !number.is_empty() && roles.len() > 1;
    if roles.len() < 2 || !roles.iter().any(is_fold) {
        return Ok(());
    }
    Err(Error::new(format!("it is not clear which of {} belong together", first_few(names(said))))
        .because("each number has its own folders for training and testing, as folds have")
        .help("name those to take, for example SET=\"download.train=… download.test=…\""))
}

/// Whether names say different roles of the same thing: `cats_train` and `cats_test`.
fn shares_a_rest(said: &[Said]) -> bool {
    let mut roles: BTreeMap<&str, BTreeSet<SplitRole>> = BTreeMap::new();
    for Said { spoken, .. } in said {
        if let Some(role) = spoken.role {
            roles.entry(&spoken.rest).or_default().insert(role);
        }
    }
    roles.values().any(|roles| roles.len() > 1)
}

/// Whether names of folders in this one say different roles of the same thing.
pub(super) fn names_divide(level: &Branch) -> bool {
    let said: Vec<Said> =
        level.folders.iter().map(|folder| Said { folder, spoken: Spoken::of(folder.name()) }).collect();
    shares_a_rest(&said)
}

/// `my_train`, where `cat` and `dog` lie in it and no image beside them.
fn holds_only_folders_for_a_role(said: &Said) -> bool {
    said.spoken.role.is_some() && said.folder.loose.is_empty() && !said.folder.is_flat()
}

/// `train_station` and `test_tube`: classes, unless each holds further folders.
fn other_words_differ(said: &[Said], notes: &mut Vec<String>) -> Result<bool> {
    let trains = said.iter().any(|said| said.spoken.role == Some(SplitRole::Train));
    let others = said.iter().any(|said| said.spoken.role != Some(SplitRole::Train));
    let hold_folders = said.iter().all(|said| said.folder.loose.is_empty());
    if trains && others && hold_folders {
        return Err(some_are_parts(said));
    }
    notes.push(format!(
        "{}, not for training and testing, as their names differ in other words, too; download.train=… and \
         download.test=… name folders that train and test",
        they(&names(said), "is taken for a class", "are taken for classes")
    ));
    Ok(false)
}

fn some_are_parts(said: &[Said]) -> Error {
    let (parts, others): (Vec<&Said>, Vec<&Said>) = said.iter().partition(|said| said.spoken.role.is_some());
    let names = |said: &[&Said]| first_few(said.iter().map(|said| said.folder.name()));
    let what = if others.is_empty() {
        format!("it is not clear whether {} are for training and testing, or classes", names(&parts))
    } else {
        format!(
            "it is not clear whether {} {} for training or for testing: {} {} called so, and {} not",
            names(&others),
            if others.len() == 1 { "is" } else { "are" },
            names(&parts),
            if parts.len() == 1 { "is" } else { "are" },
            if others.len() == 1 { "it is" } else { "they are" }
        )
    };
    Error::new(what).help(
        "name the folders that train and test: SET=\"download.train=… download.test=…\"; if all of them are classes, \
         list them in CLASSES=classes.txt or say SET=download.train=., by which none of them is a part",
    )
}

fn names<'t>(said: &'t [Said]) -> Vec<&'t str> {
    said.iter().map(|said| said.folder.name()).collect()
}
