//! How names of folders fit the list of classes.

use std::collections::BTreeSet;

use pipeline::error::{Error, Result};

use super::labels::Set;
use super::unclear::NO_LABELS;
use super::{List, visible};
use crate::dataset::first_few;
use crate::dataset::names::Found;

/// How the folders of a reading fit the list of classes.
pub(super) struct Fit {
    /// Whether each part has folders of classes.
    pub has_classes: Vec<bool>,
    /// Folders that are no class.
    pub unknown: BTreeSet<String>,
    /// Classes that are folders.
    known: BTreeSet<usize>,
    /// Whether a part has both.
    mixed: bool,
}

impl Fit {
    pub(super) fn of(sets: &[Set], parts: usize, list: &List) -> Result<Self> {
        let mut fit = Self {
            has_classes: vec![false; parts],
            unknown: BTreeSet::new(),
            known: BTreeSet::new(),
            mixed: false,
        };
        let mut has_others = vec![false; parts];
        for set in sets {
            let Some(class) = &set.class else { continue };
            match list.index.find(class) {
                Found::One(index) => {
                    fit.known.insert(index);
                    fit.has_classes[set.part] = true;
                }
                Found::Nothing => {
                    fit.unknown.insert(class.clone());
                    has_others[set.part] = true;
                }
                Found::Several(several) => {
                    let names = list.names.unwrap_or_default();
                    let several = several.iter().filter_map(|index| names.get(*index));
                    return Err(Error::new(format!(
                        "the folder `{}` is like several classes in CLASSES: {}",
                        set.folder,
                        first_few(several)
                    ))
                    .help("call it exactly as one of them is written"));
                }
            }
        }
        fit.mixed = fit.has_classes.iter().zip(&has_others).any(|(classes, others)| *classes && *others);
        Ok(fit)
    }

    pub(super) fn fits(&self) -> bool {
        !self.mixed && self.has_classes.contains(&true)
    }

    pub(super) fn has_none(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn refusal(&self, list: &List) -> Error {
        let names = list.names.unwrap_or_default().iter().enumerate();
        let without: Vec<&String> =
            names.filter(|(index, _)| !self.known.contains(index)).map(|(_, name)| name).collect();
        let (of, classes) = match without.len() {
            0 => ("all classes have a folder", String::new()),
            _ => ("classes without a folder: ", first_few(&without)),
        };
        let what = format!("folders that are no class: {}; {of}{classes}", first_few(&self.unknown));
        Error::new(visible(&what)).help(format!(
            "call the folders as CLASSES calls the classes, or the other way round; {NO_LABELS}"
        ))
    }
}
