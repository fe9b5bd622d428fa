//! Masks and annotations that are kept as images beside those that they belong to: `images` and `masks`, or `a.png` and
//! `a_mask.png`.
//!
//! Such folders are left out with a note, or refused where they may be classes; such files are said. It sees only paths.

use std::collections::BTreeSet;

use pipeline::error::{Error, Result};

use super::branch::Branch;
use super::{LabelsFrom, List, Question, images, they, wrappers};
use crate::dataset::first_few;
use crate::dataset::user_images::part::{Spoken, says_nothing};

/// Words of which names of such folders consist.
const COMPANIONS: [&str; 22] = [
    "mask",
    "masks",
    "annotation",
    "annotations",
    "annot",
    "annots",
    "label",
    "labels",
    "seg",
    "segs",
    "segmentation",
    "segmentations",
    "groundtruth",
    "groundtruths",
    "truth",
    "gt",
    "gts",
    "depth",
    "depths",
    "trimap",
    "trimaps",
    "bboxes",
];

/// Words that such names have besides: `SegmentationClass`, `depth_maps`, `ground_truth`.
const BESIDES: [&str; 6] = ["class", "object", "map", "maps", "ground", "binary"];

/// Names of folders of images, besides those that say nothing, in lower case.
const OF_IMAGES: [&str; 9] =
    ["jpegimages", "rgb", "color", "colour", "input", "inputs", "original", "originals", "raw"];

/// Endings of the names of files that are such, without the sign before them.
const ENDINGS: [&str; 9] =
    ["mask", "masks", "seg", "segmentation", "gt", "groundtruth", "label", "labels", "depth"];

/// What is to become of a folder.
enum Fate {
    Stays,
    LeftOut,
    Unclear,
}

/// The tree without folders of masks and annotations.
///
/// # Errors
/// A folder that may be one of these, or a class.
pub(super) fn set_aside<'a>(
    root: Branch<'a>,
    question: &Question,
    list: &List,
    notes: &mut Vec<String>,
) -> Result<Branch<'a>> {
    let level = wrappers::outer(&root, list, question.labels);
    let mut left_out: Vec<&Branch> = Vec::new();
    let mut open = vec![&root];
    while let Some(at) = open.pop() {
        for folder in &at.folders {
            match fate(at, folder, level, question, list) {
                Fate::Stays => open.push(folder),
                Fate::LeftOut => left_out.push(folder),
                Fate::Unclear => return Err(unclear(at, folder)),
            }
        }
    }
    if left_out.is_empty() {
        return Ok(root);
    }
    left_out.sort_by(|a, b| a.path.cmp(&b.path));
    let count = left_out.iter().map(|folder| folder.count()).sum();
    let paths: Vec<&str> = left_out.iter().map(|folder| folder.path.as_str()).collect();
    notes.push(format!(
        "{} in {} {} left out, as folders that are called so beside others hold masks or annotations of the images \
         there; list the name in CLASSES=classes.txt if it is a class, or name the folder in download.train=…",
        images(count),
        first_few(&paths),
        if count == 1 { "is" } else { "are" },
    ));
    Ok(root.without(&paths))
}

fn fate(at: &Branch, folder: &Branch, level: &Branch, question: &Question, list: &List) -> Fate {
    let name = folder.name();
    if !is_companion(name) || list.find(name).is_some() || is_named(name, question) {
        return Fate::Stays;
    }
    let spoken = Spoken::of(name);
    let others: Vec<&str> = at.names().filter(|other| *other != name && !is_companion(other)).collect();
    // `train_masks` is one beside `train` or `train_images` only.
    if spoken.role.is_some() {
        let its = |other: &&str| {
            let other = Spoken::of(other);
            other.is_plain() && other.role == spoken.role
        };
        return if others.iter().any(its) { Fate::LeftOut } else { Fate::Stays };
    }
    let in_part = Spoken::of(at.name()).is_plain()
        && at.path.rsplit_once('/').map_or("", |(parent, _)| parent) == level.path;
    // Here the folders may be classes.
    let may_be_class = at.path == level.path || in_part;
    if question.labels == LabelsFrom::TopFolder && may_be_class {
        return Fate::Stays;
    }
    let of_images = |other: &&str| says_nothing(other) || OF_IMAGES.contains(&other.to_lowercase().as_str());
    if !at.loose.is_empty() || others.iter().any(of_images) {
        return Fate::LeftOut;
    }
    // `mask` and `without_mask` are classes.
    let words = |name: &str| Spoken::of(name).rest.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    let own = words(name);
    if others.is_empty() || !may_be_class || others.iter().any(|other| !words(other).is_disjoint(&own)) {
        return Fate::Stays;
    }
    let parts = others.iter().any(|other| Spoken::of(other).is_plain());
    let settings = !(question.train.trim().is_empty() && question.test.trim().is_empty());
    match parts || settings || list.names.is_some() || question.labels == LabelsFrom::None {
        true => Fate::LeftOut,
        false => Fate::Unclear,
    }
}

/// Whether folders of masks and annotations are called so.
fn is_companion(name: &str) -> bool {
    let rest = Spoken::of(name).rest;
    let mut words = rest.split(' ');
    words.clone().any(|word| COMPANIONS.contains(&word))
        && words.all(|word| COMPANIONS.contains(&word) || BESIDES.contains(&word))
        // `seg_train` is a part of its own.
        && (Spoken::of(name).role.is_none() || !rest.contains("seg"))
}

/// Whether the user names the folder, or one in it, in a setting.
fn is_named(name: &str, question: &Question) -> bool {
    let named = question.train.split(',').chain(question.test.split(','));
    named.flat_map(|path| path.trim().split('/')).any(|part| part == name)
}

fn unclear(at: &Branch, folder: &Branch) -> Error {
    let others: Vec<&str> = at.names().filter(|other| *other != folder.name()).collect();
    Error::new(format!(
        "it is not clear whether the folder `{}` is a class, or holds masks or annotations, as {} beside it",
        folder.path,
        they(&others, "is", "are")
    ))
    .help(format!(
        "if it is a class, list all classes in CLASSES=classes.txt or say SET=download.labels=top-folder; if not, move it \
         elsewhere, or list the classes in CLASSES=classes.txt without `{}`, by which it is left out",
        folder.name()
    ))
}

/// Says which files are masks of others by their names. They stay.
pub(super) fn say_files(files: &[String], notes: &mut Vec<String>) {
    let stem = |file: &str| {
        let name = file.rfind('/').map_or(0, |at| at + 1);
        let end = file[name..].rfind('.').map_or(file.len(), |at| name + at);
        file[..end].to_lowercase()
    };
    let stems: BTreeSet<String> = files.iter().map(|file| stem(file)).collect();
    let of_another = |file: &&String| {
        let stem = stem(file);
        // There may be several: `a_mask_1.png`.
        let unnumbered = stem.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['_', '-']);
        [stem.as_str(), unnumbered].into_iter().any(|stem| {
            ENDINGS.iter().any(|ending| {
                let before =
                    stem.strip_suffix(ending).and_then(|before| before.strip_suffix(['_', '-', '.']));
                before.is_some_and(|before| stems.contains(before))
            })
        })
    };
    let masks: Vec<&String> = files.iter().filter(of_another).collect();
    if masks.is_empty() {
        return;
    }
    notes.push(format!(
        "{} {} called as masks or annotations of the images beside them are, and taken as images all the same: {}; move \
         such files elsewhere, or name folders without them in download.train=…",
        images(masks.len()),
        if masks.len() == 1 { "is" } else { "are" },
        first_few(&masks)
    ));
}
