//! Where the labels of images are: in the top folder around them, in the innermost one, or in none.
//!
//! Each of these readings is compared with the list of classes. One is taken if it alone fits.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::error::{Error, Result};

use super::arrangement::{Arrangement, Place, Shape};
use super::branch::{Branch, joined};
use super::fit::Fit;
use super::outside::classes_outside;
use super::unclear::{
    NO_LABELS, both_fit, refuse_containers, refuse_loose, refuse_parts_inside, refuse_twice,
};
use super::unlabelled::say_no_labels;
use super::{LabelsFrom, List, wrappers};
use crate::dataset::first_few;
use crate::dataset::split::Split;
use crate::dataset::user_images::part::{SplitRole, Spoken, says_nothing};

/// Images of one split and one class.
pub(super) struct Set {
    /// From the root.
    pub folder: String,
    pub split: Option<Split>,
    /// The name of the folder that is their label.
    pub class: Option<String>,
    /// Of which part they are: folders in one part lie side by side.
    pub part: usize,
    /// Paths from the folder.
    pub files: Vec<String>,
}

/// All sets, and names of folders beside those of classes that hold no image.
pub(super) struct Read {
    pub sets: Vec<Set>,
    pub empty: BTreeSet<String>,
}

/// How folders are read as labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Top,
    Parent,
}

impl Reading {
    fn setting(self) -> &'static str {
        match self {
            Self::Top => "top-folder",
            Self::Parent => "parent-folder",
        }
    }
}

/// The labels that the folders tell.
pub(super) fn read(
    arrangement: Arrangement,
    list: &List,
    labels: LabelsFrom,
    notes: &mut Vec<String>,
) -> Result<Read> {
    match arrangement.shape {
        Shape::ClassesOutside { level, parts } => classes_outside(&level, &parts, list, labels, notes),
        Shape::PartsOutside(mut places) => {
            wrappers::pass_within(&mut places, list, labels, notes);
            let forced = match labels {
                LabelsFrom::Auto => None,
                LabelsFrom::None => return Ok(unlabeled(&places)),
                LabelsFrom::TopFolder => Some(Reading::Top),
                LabelsFrom::ParentFolder => Some(Reading::Parent),
            };
            if places.iter().all(|place| place.at.is_flat()) {
                return match forced {
                    None => Ok(unlabeled(&places)),
                    Some(reading) => Err(Error::new(format!(
                        "download.labels is {}, but no image is in a folder of a class",
                        reading.setting()
                    ))
                    .help("put the images of each class into a folder, or leave the setting at `auto`")),
                };
            }
            match (forced, list.names) {
                (Some(reading), _) => by_setting(&places, reading, list),
                (None, Some(_)) => by_list(&places, list, notes),
                (None, None) => by_names(&places, notes),
            }
        }
    }
}

fn unlabeled(places: &[Place]) -> Read {
    let sets = places.iter().enumerate().map(|(part, place)| all_of(place, part)).collect();
    Read { sets, empty: BTreeSet::new() }
}

/// All images of a part, without a label.
pub(super) fn all_of(place: &Place, part: usize) -> Set {
    let (folder, files) = (place.at.path.clone(), place.at.files());
    Set { folder, split: place.split, class: None, part, files }
}

/// The images of a part by the folder that a reading takes for their label. A part without folders has no labels.
fn sets(place: &Place, part: usize, reading: Reading) -> Vec<Set> {
    if place.at.is_flat() {
        return vec![all_of(place, part)];
    }
    let set = |folder: &Branch, files| Set {
        folder: folder.path.clone(),
        split: place.split,
        class: Some(folder.name().to_owned()),
        part,
        files,
    };
    match reading {
        Reading::Top => place.at.folders.iter().map(|folder| set(folder, folder.files())).collect(),
        Reading::Parent => {
            let all = place.at.descendants().into_iter().filter(|folder| !folder.loose.is_empty());
            all.map(|folder| set(folder, folder.loose.iter().map(|file| (*file).to_owned()).collect()))
                .collect()
        }
    }
}

/// Sets of all parts, and the empty folders among them.
fn read_as(places: &[Place], reading: Reading) -> Read {
    let all = places.iter().enumerate().flat_map(|(part, place)| sets(place, part, reading)).collect();
    let mut empty = BTreeSet::new();
    for place in places.iter().filter(|place| !place.at.is_flat()) {
        empty.extend(place.at.empty.iter().map(|name| (*name).to_owned()));
        if reading == Reading::Parent {
            let inner = place.at.descendants();
            empty.extend(inner.iter().flat_map(|folder| &folder.empty).map(|name| (*name).to_owned()));
        }
    }
    Read { sets: all, empty }
}

fn by_setting(places: &[Place], reading: Reading, list: &List) -> Result<Read> {
    places.iter().try_for_each(refuse_loose)?;
    let read = read_as(places, reading);
    let fit = Fit::of(&read.sets, places.len(), list)?;
    if list.names.is_some() && !fit.unknown.is_empty() {
        return Err(fit.refusal(list));
    }
    Ok(read)
}

/// The reading that the list of classes decides for.
fn by_list(places: &[Place], list: &List, notes: &mut Vec<String>) -> Result<Read> {
    let (top, parent) = (read_as(places, Reading::Top), read_as(places, Reading::Parent));
    let of_top = Fit::of(&top.sets, places.len(), list)?;
    let of_parent = Fit::of(&parent.sets, places.len(), list)?;
    let nested = places.iter().any(|place| place.at.folders.iter().any(|top| !top.is_flat()));
    let (read, fit, reading) = match (of_top.fits(), of_parent.fits()) {
        (true, true) => {
            let differ = nested && differ(&top, &parent, list);
            let more = |one: &Fit, other: &Fit| {
                let at_least =
                    one.has_classes.iter().zip(&other.has_classes).all(|(one, other)| one >= other);
                at_least && one.has_classes != other.has_classes
            };
            if differ {
                return Err(both_fit(&top, &parent, "both are classes in CLASSES"));
            }
            if more(&of_parent, &of_top) {
                (parent, of_parent, Reading::Parent)
            } else {
                (top, of_top, Reading::Top)
            }
        }
        (true, false) => (top, of_top, Reading::Top),
        (false, true) => (parent, of_parent, Reading::Parent),
        (false, false) if of_top.has_none() && of_parent.has_none() => {
            return no_labels(places, &of_top, list, notes);
        }
        (false, false) if of_top.has_none() => return Err(of_parent.refusal(list)),
        (false, false) => return Err(of_top.refusal(list)),
    };
    if nested {
        notes.push(match reading {
            Reading::Top => format!(
                "images in further folders, such as {}, are of the class of the top folder, as CLASSES lists those; {}\
                 download.labels=parent-folder takes the innermost folder",
                first_few(nested_folders(places)),
                no_parts(places)
            ),
            Reading::Parent => format!(
                "the innermost folder of an image is its class, as CLASSES lists those, and not the folders around: \
                 {}; download.labels=top-folder takes the top folder",
                first_few(places.iter().flat_map(|place| place.at.names()).collect::<BTreeSet<_>>())
            ),
        });
    }
    let mut sets = read.sets;
    for (part, place) in places.iter().enumerate() {
        if fit.has_classes[part] {
            refuse_loose(place)?;
        } else if !place.at.is_flat() {
            say_no_labels(place.at.names(), list, notes);
            sets.retain(|set| set.part != part);
            sets.push(all_of(place, part));
        }
    }
    Ok(Read { sets, empty: read.empty })
}

/// Whether two readings give an image two classes.
fn differ(top: &Read, parent: &Read, list: &List) -> bool {
    let classes = |read: &Read| -> BTreeMap<String, usize> {
        let class = |set: &Set| set.class.as_deref().and_then(|class| list.find(class));
        let sets = read.sets.iter().filter_map(|set| Some((set, class(set)?)));
        sets.flat_map(|(set, class)| set.files.iter().map(move |file| (joined(&set.folder, file), class)))
            .collect()
    };
    let (top, parent) = (classes(top), classes(parent));
    top.iter().any(|(image, class)| parent.get(image).is_some_and(|other| other != class))
}

/// No folder is a class: then the folders are no labels.
fn no_labels(places: &[Place], fit: &Fit, list: &List, notes: &mut Vec<String>) -> Result<Read> {
    let between: BTreeSet<&str> = places
        .iter()
        .flat_map(|place| place.at.descendants())
        .map(Branch::name)
        .filter(|name| list.find(name).is_some())
        .collect();
    if !between.is_empty() {
        return Err(Error::new(format!(
            "the folders {} are classes in CLASSES, but folders that are none lie around them and in them",
            first_few(between)
        ))
        .help(format!("let the folders of classes be the outermost or the innermost ones; {NO_LABELS}")));
    }
    say_no_labels(fit.unknown.iter().map(String::as_str), list, notes);
    Ok(unlabeled(places))
}

/// The reading that is clear from the folders alone.
fn by_names(places: &[Place], notes: &mut Vec<String>) -> Result<Read> {
    for place in places {
        refuse_loose(place)?;
        refuse_parts_inside(place, notes)?;
        refuse_containers(&place.at)?;
        refuse_twice(&place.at)?;
    }
    let nested: BTreeSet<&str> = nested_folders(places).into_iter().collect();
    let read = read_as(places, Reading::Top);
    if nested.is_empty() {
        return Ok(read);
    }
    for place in places {
        // Where a top folder holds images itself, classes begin there.
        if place.at.folders.iter().all(|top| top.loose.is_empty()) && !place.at.is_flat() {
            let parent = read_as(std::slice::from_ref(place), Reading::Parent);
            let inner: BTreeSet<&str> = parent.sets.iter().filter_map(|set| set.class.as_deref()).collect();
            let agree =
                place.at.folders.iter().all(|top| top.descendants().iter().all(|i| i.name() == top.name()));
            if !(agree || inner.len() == 1 || inner.iter().all(|name| says_nothing(name))) {
                let why = "no image lies in a top folder itself, and CLASSES does not say which are classes";
                return Err(both_fit(&read, &read_as(places, Reading::Parent), why));
            }
        }
    }
    notes.push(format!(
        "images in further folders, such as {}, are of the class of the top folder; {}download.labels=parent-folder takes \
         the innermost folder",
        first_few(nested),
        no_parts(places)
    ));
    Ok(read)
}

/// Folders inside the top folders.
fn nested_folders<'t>(places: &'t [Place]) -> Vec<&'t str> {
    let tops = places.iter().flat_map(|place| &place.at.folders);
    tops.flat_map(|top| &top.folders).map(|inner| inner.path.as_str()).collect()
}

/// In words, folders in those of classes that are called as parts are, and are none.
fn no_parts(places: &[Place]) -> String {
    let tops = places.iter().filter(|place| !place.is_part).flat_map(|place| &place.at.folders);
    let called: BTreeSet<(SplitRole, &str)> = tops
        .flat_map(|top| top.names())
        .filter_map(|name| Some(Spoken::of(name)).filter(Spoken::is_plain)?.role.map(|role| (role, name)))
        .collect();
    let of = |trains: bool| -> Vec<&str> {
        let wanted = |role: SplitRole| match role {
            SplitRole::Train => trains,
            SplitRole::Test | SplitRole::Validation => !trains,
            SplitRole::Unlabeled => false,
        };
        called.iter().filter(|(role, _)| wanted(*role)).map(|(_, name)| *name).collect()
    };
    let mut words = String::new();
    for (names, setting, what) in [(of(false), "test", "testing"), (of(true), "train", "training")] {
        if !names.is_empty() {
            words += &format!(
                "{} there is not taken for the images for {what}: download.{setting}={} does that; ",
                first_few(&names),
                names.join(",")
            );
        }
    }
    words
}
