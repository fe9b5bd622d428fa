//! The folders that train and test, as the settings `download.train` and `download.test` name them.
//!
//! A name is a path from the root, or that of a folder where parts or classes begin, or, where classes are outside, that
//! of folders in them. Where folders are named that lie in several others, these others are the classes (`named_around`).
//! `.` is everything that lies in no other folder that is named.

use std::collections::BTreeMap;

use pipeline::error::{Error, Result};

use super::arrangement::{Arrangement, By, Item, Place, Shape, divide};
use super::branch::{Branch, joined};
use super::named_around::{classes_around, in_folders_of_classes, is_around_classes};
use super::{LabelsFrom, List, Question, below, images};
use crate::dataset::first_few;
use crate::dataset::names::NameIndex;
use crate::dataset::user_images::part::{SplitRole, Spoken};
use crate::runtime::suggest;

/// What a name in a setting means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// Everything that no other name means.
    Remainder,
    /// The folder of this path.
    Folder(String),
    /// The folders of this name in the folders of classes.
    InClasses(String),
}

impl Target {
    fn shown(&self) -> &str {
        match self {
            Self::Remainder => ".",
            Self::Folder(path) => path,
            Self::InClasses(name) => name,
        }
    }
}

/// The arrangement that the settings tell; none if they are empty.
pub(super) fn arrange<'a>(
    question: &Question,
    root: &Branch<'a>,
    level: &Branch<'a>,
    list: &List,
    notes: &mut Vec<String>,
) -> Result<Option<Arrangement<'a>>> {
    let sides = [
        ("download.train", question.train, SplitRole::Train),
        ("download.test", question.test, SplitRole::Test),
    ];
    let mut roles: BTreeMap<Target, SplitRole> = BTreeMap::new();
    for (setting, value, role) in sides {
        for target in targets(setting, value, root, level)? {
            if roles.get(&target).is_some_and(|other| *other != role) {
                return Err(Error::new(format!(
                    "download.train and download.test both name `{}`",
                    target.shown()
                ))
                .help("name each folder in one of them"));
            }
            roles.insert(target, role);
        }
    }
    if roles.is_empty() {
        return Ok(None);
    }
    refuse_overlaps(&roles)?;
    let in_classes = roles.keys().any(|target| matches!(target, Target::InClasses(_)));
    if in_classes && roles.keys().any(|target| matches!(target, Target::Folder(_))) {
        return Err(Error::new(format!(
            "download.train and download.test name folders of which some lie in others: {}",
            first_few(roles.keys().map(Target::shown))
        ))
        .help("name all of them by their paths"));
    }
    if in_classes && !level.loose.is_empty() {
        return Err(Error::new(format!("images lie in no folder of a class: {}", first_few(&level.loose)))
            .help("put every image into a folder, or name the folders that train and test by their paths"));
    }
    // The folder that holds those of classes, where parts are in them.
    let around = match in_classes {
        true => Some(level.clone()),
        false => classes_around(root, level, &roles, list, question.labels),
    };
    let (mut items, mut others) = match &around {
        Some(around) => {
            let (items, mut others) = in_folders_of_classes(around, &roles);
            if around.path != level.path {
                others_than(root, &[around.path.as_str()], &mut others);
            }
            (items, others)
        }
        None => by_path(root, level, &roles)?,
    };
    find_missing_side(&mut items, &mut others, level, around.as_ref(), notes)?;
    let whole = roles.contains_key(&Target::Remainder);
    if !others.is_empty() {
        let count = others.iter().map(Branch::count).sum();
        notes.push(format!(
            "{} {} left out, as neither download.train nor download.test names {}: {}",
            images(count),
            if count == 1 { "is" } else { "are" },
            if others.len() == 1 { "the folder" } else { "the folders" },
            first_few(others.iter().map(|other| if other.path.is_empty() { "." } else { &other.path }))
        ));
    }
    let (mut parts, rule) = divide(items, By::Settings, notes)?;
    let shape = if let Some(level) = around {
        Shape::ClassesOutside { level, parts }
    } else {
        if whole {
            let around = |part: &&mut Place| part.at.path.is_empty() || part.at.path == level.path;
            parts.iter_mut().filter(around).for_each(|part| part.is_part = false);
        }
        if question.labels == LabelsFrom::Auto {
            parts.iter().try_for_each(|part| refuse_class(part, list))?;
        }
        Shape::PartsOutside(parts)
    };
    Ok(Some(Arrangement { shape, rule }))
}

/// What the names in a setting mean.
fn targets(setting: &str, value: &str, root: &Branch, level: &Branch) -> Result<Vec<Target>> {
    if value.trim().is_empty() {
        return Ok(Vec::new());
    }
    // A folder's name may have a comma in it.
    if let Some(target) = target(value, root, level) {
        return Ok(vec![target]);
    }
    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
    let found = names.map(|name| target(name, root, level).ok_or_else(|| unknown(setting, name, level)));
    found.collect()
}

fn target(name: &str, root: &Branch, level: &Branch) -> Option<Target> {
    let name = name.trim().trim_end_matches('/');
    let name = name.strip_prefix("./").unwrap_or(name);
    if name == "." {
        return Some(Target::Remainder);
    }
    if name.is_empty() {
        return None;
    }
    let folder = |branch: &Branch| Target::Folder(branch.path.clone());
    let exact = root.find(name).or_else(|| root.find(&joined(&level.path, name)));
    let alike = || {
        let index = NameIndex::new(level.names()).find(name).one()?;
        level.folders.get(index)
    };
    if let Some(found) = exact.or_else(alike) {
        return Some(folder(found));
    }
    let in_classes = level.folders.iter().any(|top| top.names().any(|inner| inner == name));
    in_classes.then(|| Target::InClasses(name.to_owned()))
}

fn unknown(setting: &str, name: &str, level: &Branch) -> Error {
    let error = suggest::unknown("folder of images", name, level.names().map(str::to_owned));
    let error = error.because(format!("{setting} names it"));
    if level.is_flat() { error.help("leave the setting empty: all images lie in one folder") } else { error }
}

/// A folder in another that is named, too, would be of two splits.
fn refuse_overlaps(roles: &BTreeMap<Target, SplitRole>) -> Result<()> {
    let paths = roles.keys().filter_map(|target| match target {
        Target::Folder(path) => Some(path.as_str()),
        _ => None,
    });
    let paths: Vec<&str> = paths.collect();
    for outer in &paths {
        if let Some(inner) = paths.iter().find(|inner| below(inner, outer)) {
            return Err(Error::new(format!(
                "download.train and download.test name `{outer}` and also `{inner}`, which lies in it"
            ))
            .help("name folders that do not lie in each other; `.` is everything that no other name means"));
        }
    }
    Ok(())
}

/// A folder that is named and is itself a class: nothing would be its images' label.
fn refuse_class(part: &Place, list: &List) -> Result<()> {
    let name = part.at.name();
    if !part.at.is_flat() || list.find(name).is_none() || Spoken::of(name).role.is_some() {
        return Ok(());
    }
    Err(Error::new(format!(
        "download.train or download.test names `{}`, which CLASSES lists as a class: its images would have no label",
        part.at.path
    ))
    .help(
        "name the folders in which those of the classes lie, `.` for all that is not named besides; if the folders' names \
         are no labels: SET=download.labels=none",
    ))
}

/// The folders of these paths, and the others.
fn by_path<'a>(
    root: &Branch<'a>,
    level: &Branch<'a>,
    roles: &BTreeMap<Target, SplitRole>,
) -> Result<(Vec<Item<'a>>, Vec<Branch<'a>>)> {
    let mut items = Vec::new();
    let mut paths = Vec::new();
    for (target, role) in roles {
        if let Target::Folder(path) = target
            && let Some(found) = root.find(path)
        {
            paths.push(path.as_str());
            items.push(Item { label: path.clone(), at: found.clone(), role: *role, class: None });
        }
    }
    let mut others = Vec::new();
    match roles.get(&Target::Remainder) {
        Some(role) => {
            // A folder around everything may itself be named.
            let inside = paths.iter().all(|path| level.path.is_empty() || below(path, &level.path));
            let at = if inside { level.without(&paths) } else { root.without(&paths) };
            if at.count() == 0 {
                return Err(Error::new("`.` in download.train or download.test means no image")
                    .because("every image is in a folder that is named besides")
                    .help("leave it out"));
            }
            items.push(Item { label: ".".to_owned(), at, role: *role, class: None });
        }
        None => others_than(root, &paths, &mut others),
    }
    items.sort_by(|a, b| a.at.path.cmp(&b.at.path));
    Ok((items, others))
}

/// What lies in none of the folders: whole folders where no named one is in them.
fn others_than<'a>(at: &Branch<'a>, paths: &[&str], others: &mut Vec<Branch<'a>>) {
    if !at.loose.is_empty() {
        others.push(Branch { folders: Vec::new(), ..at.clone() });
    }
    for folder in &at.folders {
        if paths.contains(&folder.path.as_str()) {
            continue;
        }
        if paths.iter().any(|path| below(path, &folder.path)) {
            others_than(folder, paths, others);
        } else {
            others.push(folder.clone());
        }
    }
}

/// Where one setting is empty, its folders are found by their names among the others.
fn find_missing_side<'a>(
    items: &mut Vec<Item<'a>>,
    others: &mut Vec<Branch<'a>>,
    level: &Branch,
    around: Option<&Branch>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let has = |role| items.iter().any(|item: &Item| item.role == role);
    let wanted: &[SplitRole] = match (has(SplitRole::Train), has(SplitRole::Test)) {
        (true, false) => &[SplitRole::Test, SplitRole::Validation],
        (false, true) => &[SplitRole::Train],
        _ => return Ok(()),
    };
    let rests: Vec<String> = items.iter().map(|item| Spoken::of(item.at.name()).rest).collect();
    // Parts that were named by name alone are known by it.
    let by_name = around.is_some() && items.iter().all(|item| !item.label.contains('/'));
    let (mut left, mut themselves) = (Vec::new(), Vec::new());
    for other in std::mem::take(others) {
        // Images of a class that lie in no further folder.
        let is_class = around.is_some_and(|around| is_around_classes(around, &other));
        if is_class && wanted.contains(&SplitRole::Train) {
            themselves.push(other.path.clone());
            items.push(Item { label: other.path.clone(), at: other, role: SplitRole::Train, class: None });
            continue;
        }
        let spoken = Spoken::of(other.name());
        let parent = other.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let beside = match around {
            Some(around) => !is_class && (around.path.is_empty() || below(&other.path, &around.path)),
            None => parent == level.path,
        };
        let role = spoken.role.filter(|role| wanted.contains(role));
        match role.filter(|_| beside && (spoken.rest.is_empty() || rests.contains(&spoken.rest))) {
            Some(role) => {
                let label = if by_name { other.name().to_owned() } else { other.path.clone() };
                items.push(Item { label, at: other, role, class: None });
            }
            None => left.push(other),
        }
    }
    *others = left;
    if !themselves.is_empty() {
        notes.push(format!(
            "images that lie in the folder of a class itself train: those in {}; download.train=… names others",
            first_few(&themselves)
        ));
    }
    if !items.iter().any(|item| item.role == SplitRole::Train) {
        let test: Vec<&str> = items.iter().map(|item| item.label.as_str()).collect();
        return Err(Error::new(format!("download.test names {}, but it is not clear what trains", first_few(test)))
            .help("name the folders that train, too: SET=download.train=…; `.` is everything that no other name means"));
    }
    items.sort_by(|a, b| a.at.path.cmp(&b.at.path));
    Ok(())
}
