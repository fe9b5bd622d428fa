//! What is not clear in the folders of classes, and is refused: images beside folders, parts inside parts, names that are
//! rarely a class's, and readings that both fit.

use std::collections::BTreeSet;

use pipeline::error::{Error, Result};

use super::arrangement::Place;
use super::branch::{Branch, joined};
use super::labels::Read;
use super::level::names_divide;
use super::they;
use crate::dataset::first_few;
use crate::dataset::user_images::part::{SplitRole, Spoken};

/// A setting by which the user overrules what was made of the names.
pub(super) const NO_LABELS: &str = "if the folders' names are no labels: SET=download.labels=none";

/// Images beside folders have no class.
pub(super) fn refuse_loose(place: &Place) -> Result<()> {
    let Branch { loose, .. } = &place.at;
    if loose.is_empty() || place.at.is_flat() {
        return Ok(());
    }
    let loose: Vec<String> = loose.iter().map(|name| joined(&place.at.path, name)).collect();
    Err(Error::new(format!(
        "{} in no class's folder, beside the folders {}",
        they(&loose, "is", "are"),
        first_few(place.at.names())
    ))
    .help(format!(
        "put every image into the folder of its class, or all of them into one folder without others; {NO_LABELS}"
    )))
}

/// A part that is itself divided, as `train/train` and `train/val`.
pub(super) fn refuse_parts_inside(place: &Place, notes: &mut Vec<String>) -> Result<()> {
    if !place.is_part {
        return Ok(());
    }
    let role =
        |folder: &Branch| Some(Spoken::of(folder.name())).filter(Spoken::is_plain).and_then(|said| said.role);
    let divide = names_divide(&place.at);
    let is_part =
        |folder: &&Branch| role(folder).is_some() || (divide && Spoken::of(folder.name()).role.is_some());
    let (parts, others): (Vec<&Branch>, Vec<&Branch>) = place.at.folders.iter().partition(is_part);
    let paths: Vec<&str> = parts.iter().map(|part| part.path.as_str()).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let trains_only = !divide && parts.iter().all(|part| role(part) == Some(SplitRole::Train));
    if !others.is_empty() && trains_only {
        notes.push(format!(
            "{}, as other classes lie beside it; CLASSES=classes.txt says which classes there are",
            they(&paths, "is taken for a class", "are taken for classes")
        ));
        return Ok(());
    }
    Err(Error::new(format!(
        "it is not clear whether {}, or divided once more into images for training and for testing",
        they(&paths, "is a class", "are classes")
    ))
    .help(
        "list the classes in CLASSES=classes.txt, or say SET=download.labels=top-folder if they are classes; or name the \
         folders that train and test by their paths: \
         SET=\"download.train=… download.test=…\"",
    ))
}

/// `images` beside `masks`: such a name is rarely a class's.
pub(super) fn refuse_containers(at: &Branch) -> Result<()> {
    const CONTAINERS: [&str; 8] =
        ["image", "images", "img", "imgs", "data", "dataset", "datasets", "jpegimages"];
    let container = at.names().find(|name| CONTAINERS.contains(&name.to_lowercase().as_str()));
    match container {
        Some(name) if at.folders.len() > 1 => Err(Error::new(format!(
            "it is not clear whether the folder `{name}` is a class, as {} beside it",
            they(&at.names().filter(|other| *other != name).collect::<Vec<_>>(), "is", "are")
        ))
        .help(
            "if it holds the images and the others do not, name that folder alone: SET=download.train=…; if all are \
             classes, list them in CLASSES=classes.txt or say SET=download.labels=top-folder",
        )),
        _ => Ok(()),
    }
}

/// Two readings fit.
pub(super) fn both_fit(top: &Read, parent: &Read, why: &str) -> Error {
    let names = |read: &Read| {
        let names: BTreeSet<&str> = read.sets.iter().filter_map(|set| set.class.as_deref()).collect();
        first_few(names)
    };
    let example = parent.sets.iter().find(|set| set.class.is_some()).map_or("", |set| set.folder.as_str());
    Error::new(format!(
        "it is not clear which folders are the classes, in `{example}` and the like: the top ones ({}) or the innermost \
         ones ({})",
        names(top),
        names(parent)
    ))
    .because(why)
    .help(
        "say SET=download.labels=top-folder or SET=download.labels=parent-folder, or list the classes in \
         CLASSES=classes.txt",
    )
}

/// `yes/`, `no/` and `set/yes/`, `set/no/`: the same classes twice, most likely with the same images.
pub(super) fn refuse_twice(at: &Branch) -> Result<()> {
    let names: Vec<&str> = at.names().collect();
    let twice = at.folders.iter().find(|top| {
        top.loose.is_empty()
            && top.folders.len() > 1
            && top.folders.iter().all(|inner| names.contains(&inner.name()) && inner.name() != top.name())
    });
    match twice {
        None => Ok(()),
        Some(top) => Err(Error::new(format!(
            "the folders in `{}` are called as those beside it: {}",
            top.path,
            first_few(top.folders.iter().map(Branch::name))
        ))
        .because("such a folder mostly holds the same images once more")
        .help(
            "move it away; if its images are others: SET=download.labels=parent-folder takes the innermost folders as classes",
        )),
    }
}
