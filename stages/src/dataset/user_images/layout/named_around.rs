//! Classes around the parts that settings name: `cat/train` and `dog/train` in `download.train`, or `train` alone.
//!
//! It sees only names.

use std::collections::{BTreeMap, BTreeSet};

use super::arrangement::Item;
use super::branch::{Branch, joined};
use super::named::Target;
use super::{LabelsFrom, List};
use crate::dataset::user_images::part::{SplitRole, Spoken};

/// The folder that holds those of classes, where parts in several of these are named by their paths.
pub(super) fn classes_around<'a>(
    root: &Branch<'a>,
    level: &Branch<'a>,
    roles: &BTreeMap<Target, SplitRole>,
    list: &List,
    labels: LabelsFrom,
) -> Option<Branch<'a>> {
    if labels == LabelsFrom::ParentFolder {
        return None;
    }
    // Folders of classes, those of them with parts that train, and what holds them.
    let (mut tops, mut train, mut holders) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (target, role) in roles {
        let Target::Folder(path) = target else { continue };
        let (top, _) = path.rsplit_once('/')?;
        let (holder, name) = top.rsplit_once('/').unwrap_or(("", top));
        let part = root.find(path)?;
        // Classes may be in the part, the part may itself be called as one, or the folder around it may be a part.
        let none_in_it = part.is_flat() && list.find(part.name()).is_none();
        if list.find(name).is_none() && (!none_in_it || Spoken::of(name).role.is_some()) {
            return None;
        }
        tops.insert(top);
        holders.insert(holder);
        if *role == SplitRole::Train {
            train.insert(top);
        }
    }
    let holder = holders.pop_first()?;
    if !holders.is_empty() {
        return None;
    }
    if train.len() > 1 {
        let clear = holder == level.path || !roles.contains_key(&Target::Remainder);
        return root.find(holder).cloned().filter(|_| clear);
    }
    // `cat/test` beside images in `cat` itself: these train.
    let begins_here = |top: &&str| {
        let known = root.find(top).is_some_and(|top| !top.loose.is_empty());
        let listed = list.names.is_none() || list.find(top.rsplit('/').next().unwrap_or_default()).is_some();
        known && listed
    };
    let alone = holder == level.path && level.folders.len() > 1 && level.loose.is_empty();
    (train.is_empty() && alone && tops.iter().all(begins_here)).then(|| level.clone())
}

/// The parts in the folders of classes, and the others there.
pub(super) fn in_folders_of_classes<'a>(
    around: &Branch<'a>,
    roles: &BTreeMap<Target, SplitRole>,
) -> (Vec<Item<'a>>, Vec<Branch<'a>>) {
    let (mut items, mut others) = (Vec::new(), Vec::new());
    let itself = |of: &Branch<'a>| Branch { folders: Vec::new(), ..of.clone() };
    if !around.loose.is_empty() {
        others.push(itself(around));
    }
    for top in &around.folders {
        let mut named = Vec::new();
        for inner in &top.folders {
            let by_path = Target::Folder(joined(&top.path, inner.name()));
            let by_name = Target::InClasses(inner.name().to_owned());
            let (label, role) = match (roles.get(&by_path), roles.get(&by_name)) {
                (Some(role), _) => (inner.path.clone(), *role),
                (None, Some(role)) => (inner.name().to_owned(), *role),
                (None, None) => continue,
            };
            named.push(inner.path.as_str());
            items.push(Item { label, at: inner.clone(), role, class: None });
        }
        let rest = top.without(&named);
        match roles.get(&Target::Remainder) {
            Some(role) if rest.count() > 0 => {
                items.push(Item { label: ".".to_owned(), at: rest, role: *role, class: None });
            }
            _ => {
                if !rest.loose.is_empty() {
                    others.push(itself(&rest));
                }
                others.extend(rest.folders);
            }
        }
    }
    (items, others)
}

/// Whether these are the images that lie in the folder of a class itself.
pub(super) fn is_around_classes(around: &Branch, other: &Branch) -> bool {
    other.is_flat() && around.folders.iter().any(|top| top.path == other.path)
}
