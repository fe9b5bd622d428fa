//! Folders around everything: what an archive was unpacked into, and the like inside a part.
//!
//! A folder that alone lies in another and holds nothing but folders names neither a part nor a class, because one class
//! alone would be nothing to tell apart. It sees only names.

use std::collections::BTreeSet;

use super::arrangement::Place;
use super::branch::Branch;
use super::{LabelsFrom, List};
use crate::dataset::names::normalised;
use crate::dataset::user_images::part::{SplitRole, Spoken, says_nothing};

/// The folder in which parts or classes begin.
pub(super) fn outer<'t, 'a>(root: &'t Branch<'a>, list: &List, labels: LabelsFrom) -> &'t Branch<'a> {
    let mut at = root;
    while let Some(only) = only_folder(at) {
        let spoken = Spoken::of(only.name());
        let open = spoken.is_plain() && spoken.role == Some(SplitRole::Unlabeled);
        // `test/train/…` beside `test/test/…`: the outer one is only called so.
        if spoken.is_plain() && !open && !holds_parts(only) {
            break;
        }
        let flat = only.is_flat() && !(open || same_name(at, only) || names_no_class(only, labels));
        if flat || is_class(only, list) {
            break;
        }
        at = only;
    }
    at
}

/// Passes through the folders that lie alone in a part. A folder stays if another part has it among several: it is a
/// class there.
pub(super) fn pass_within(places: &mut [Place], list: &List, labels: LabelsFrom, notes: &mut Vec<String>) {
    let several = |at: &Branch| at.folders.len() > 1;
    let names = |inside: bool| {
        let mut names = BTreeSet::new();
        for place in &*places {
            let none = BTreeSet::new();
            let at = if inside { through(&place.at, list, labels, &none, true) } else { &place.at };
            names.extend(at.names().filter(|_| several(at)).map(normalised));
        }
        names
    };
    // A part that begins with several folders shows best what the classes are called.
    let direct = names(false);
    let classes = if direct.is_empty() { names(true) } else { direct };
    // `val/images/` beside `train/cat/` and `train/dog/`. Without such a part beside it, one folder may be a class.
    let reached = |place: &Place| through(&place.at, list, labels, &classes, true).is_flat();
    let vague = places.iter().any(|place| several(through(&place.at, list, labels, &classes, true)))
        || places.iter().all(reached);
    for place in places {
        let reached = through(&place.at, list, labels, &classes, vague);
        if reached.is_flat() && reached.path != place.at.path {
            notes.push(format!(
                "the folder `{}` is taken for no class: its images have no label; a CLASSES=classes.txt that lists `{}` \
                 makes it one",
                reached.path,
                reached.name()
            ));
        }
        place.at = reached.clone();
    }
}

fn through<'t, 'a>(
    part: &'t Branch<'a>,
    list: &List,
    labels: LabelsFrom,
    classes: &BTreeSet<String>,
    vague: bool,
) -> &'t Branch<'a> {
    let mut at = part;
    let role =
        |folder: &Branch| Some(Spoken::of(folder.name())).filter(Spoken::is_plain).and_then(|s| s.role);
    while let Some(only) = only_folder(at) {
        let other_role = role(only).is_some_and(|its| role(part).is_some_and(|of_part| its != of_part));
        let flat = only.is_flat() && !(same_name(at, only) || (vague && names_no_class(only, labels)));
        // A class in another part, and what lies in it is none there.
        let name = normalised(only.name());
        let inner = only.names().map(normalised).any(|inner| classes.contains(&inner));
        if other_role || flat || is_class(only, list) || (classes.contains(&name) && !inner) {
            break;
        }
        at = only;
    }
    at
}

/// The folder that alone lies in another.
fn only_folder<'t, 'a>(at: &'t Branch<'a>) -> Option<&'t Branch<'a>> {
    match &at.folders[..] {
        [only] if at.loose.is_empty() => Some(only),
        _ => None,
    }
}

fn same_name(at: &Branch, inner: &Branch) -> bool {
    let of = |folder: &Branch| normalised(folder.name());
    !of(at).is_empty() && of(at) == of(inner)
}

/// `images/`: whoever asks for the top folder means this one, too.
fn names_no_class(folder: &Branch, labels: LabelsFrom) -> bool {
    matches!(labels, LabelsFrom::Auto | LabelsFrom::None) && says_nothing(folder.name())
}

/// Whether the list has the folder as a class, and none that lies in it.
fn is_class(folder: &Branch, list: &List) -> bool {
    let inside = || list.has_any(folder.descendants().into_iter().map(Branch::name));
    list.find(folder.name()).is_some() && !inside()
}

fn holds_parts(folder: &Branch) -> bool {
    let roles: Vec<_> =
        folder.names().map(Spoken::of).filter(Spoken::is_plain).map(|said| said.role).collect();
    roles.contains(&Some(SplitRole::Train)) && roles.iter().any(|role| *role != Some(SplitRole::Train))
}
