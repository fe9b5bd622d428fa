//! Classes around parts: `cat/train`, `cat/test`, `dog/train`, …, going by the names of the folders.
//!
//! It sees only names. What settings say of such folders is for `named`.

use std::collections::BTreeSet;

use pipeline::error::{Error, Result};

use super::branch::Branch;
use super::{LabelsFrom, List};
use crate::dataset::first_few;
use crate::dataset::user_images::part::{SplitRole, Spoken};

/// Whether every folder holds nothing but folders for training and testing: `cat/train`, `cat/test`.
///
/// # Errors
/// Some do, and what lies beside them is unclear.
pub(super) fn has_classes_outside(level: &Branch, list: &List, labels: LabelsFrom) -> Result<bool> {
    let said = |top: &Branch| top.names().map(Spoken::of).collect::<Vec<_>>();
    let one_rest =
        level.folders.iter().flat_map(said).map(|spoken| spoken.rest).collect::<BTreeSet<_>>().len() == 1;
    let (mut roles, mut divided) = (Vec::new(), Vec::new());
    // What is beside the folders for training and testing.
    let mut beside: Vec<&str> = level.loose.clone();
    for top in &level.folders {
        let said = said(top);
        let own = Spoken::of(top.name()).rest;
        let fits = |rest: &str| rest.is_empty() || rest == own || one_rest;
        if !top.loose.is_empty() {
            beside.push(&top.path);
        }
        for (inner, spoken) in top.folders.iter().zip(&said) {
            if spoken.role.is_none() || !fits(&spoken.rest) {
                beside.push(&inner.path);
            }
        }
        let trains = |rest: &str| said.iter().any(|s| s.role == Some(SplitRole::Train) && s.rest == rest);
        if said.iter().any(|s| s.role.is_some_and(|role| role != SplitRole::Train) && trains(&s.rest)) {
            divided.push(top.path.as_str());
        }
        roles.extend(said.into_iter().filter_map(|spoken| spoken.role));
    }
    let unclear = |why: String| {
        let what = format!("it is not clear which images in {} train and which test", first_few(&divided));
        Err(Error::new(what).because(why).help(ways_out(level)))
    };
    let inner = || level.folders.iter().flat_map(|top| top.names());
    if list.has_all(inner()) {
        if divided.is_empty() || !list.has_all(level.names()) {
            return Ok(false);
        }
        return unclear("CLASSES lists their names, too".to_owned());
    }
    let trains = roles.contains(&SplitRole::Train) && roles.iter().any(|role| *role != SplitRole::Train);
    if !(beside.is_empty() && trains) {
        if divided.is_empty() || labels == LabelsFrom::None {
            return Ok(false);
        }
        return unclear(format!(
            "images or folders are beside those for training and testing: {}",
            first_few(&beside)
        ));
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

/// The settings that say what folders in those of classes are for, with the names that are there.
fn ways_out(level: &Branch) -> String {
    let of = |role: SplitRole| {
        let inner = level.folders.iter().flat_map(|top| &top.folders);
        inner.filter(|inner| Spoken::of(inner.name()).role == Some(role)).collect::<Vec<_>>()
    };
    let train = of(SplitRole::Train);
    let test = if of(SplitRole::Test).is_empty() { of(SplitRole::Validation) } else { of(SplitRole::Test) };
    let names = |parts: &[&Branch]| {
        parts
            .iter()
            .map(|part| part.name().to_owned())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    let paths = |parts: &[&Branch]| {
        let shown: Vec<&str> = parts.iter().take(2).map(|part| part.path.as_str()).collect();
        shown.join(",") + if parts.len() > 2 { ",…" } else { "" }
    };
    let set = |train: String, test: String| match test.is_empty() {
        true => format!("SET=download.train={train}"),
        false => format!("SET=\"download.train={train} download.test={test}\""),
    };
    let (train_names, test_names) = (names(&train), names(&test));
    let mut help = String::new();
    // A name means folders of classes only where no class is called so.
    let clash = |name: &String| level.names().any(|top| top == name);
    if level.loose.is_empty() && !train_names.iter().chain(&test_names).any(clash) {
        help += &format!(
            "{} takes the folders of these names alone, and what is around them for the classes; ",
            set(train_names.join(","), test_names.join(","))
        );
        if !test_names.is_empty() {
            help += &format!("{} has everything else train; ", set(".".to_owned(), test_names.join(",")));
        }
    }
    help + &format!(
        "{} names every folder that trains or tests by its path; SET=download.labels=parent-folder takes them for classes",
        set(paths(&train), paths(&test))
    )
}
