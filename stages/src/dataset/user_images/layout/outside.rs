//! Labels where classes lie around parts, or where the names of parts say them.
//!
//! It sees only names.

use std::collections::BTreeSet;

use pipeline::error::Result;

use super::arrangement::Place;
use super::branch::Branch;
use super::fit::Fit;
use super::labels::{Read, Set, all_of};
use super::unclear::refuse_containers;
use super::unlabelled::say_no_labels;
use super::{LabelsFrom, List, below};

/// The images of these parts, by the folders around them or by what their own names say.
pub(super) fn classes_outside(
    level: &Branch,
    parts: &[Place],
    list: &List,
    labels: LabelsFrom,
    notes: &mut Vec<String>,
) -> Result<Read> {
    let is_top = |top: &&Branch, part: &Place| part.at.path == top.path || below(&part.at.path, &top.path);
    let mut sets: Vec<Set> = Vec::new();
    for part in parts {
        let around = || level.folders.iter().find(|top| is_top(top, part)).map(|top| top.name().to_owned());
        sets.push(Set { class: part.class.clone().or_else(around), ..all_of(part, 0) });
    }
    let none = |mut sets: Vec<Set>| {
        sets.iter_mut().for_each(|set| set.class = None);
        Ok(Read { sets, empty: BTreeSet::new() })
    };
    if labels == LabelsFrom::None {
        return none(sets);
    }
    if list.names.is_some() {
        let fit = Fit::of(&sets, 1, list)?;
        if fit.has_none() && labels == LabelsFrom::Auto {
            say_no_labels(sets.iter().filter_map(|set| set.class.as_deref()), list, notes);
            return none(sets);
        }
        if !fit.unknown.is_empty() {
            return Err(fit.refusal(list));
        }
    } else if labels == LabelsFrom::Auto {
        refuse_containers(level)?;
    }
    let empty = level.empty.iter().map(|name| (*name).to_owned()).collect();
    Ok(Read { sets, empty })
}
