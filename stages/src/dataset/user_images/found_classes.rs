//! The classes that names found in several places make: as many as there are names.
//!
//! Names that are alike are one class only where no place has two of them: `train/Cat` and `test/cat` are, `A` and `a`
//! side by side are not. Either way it is said. It knows nothing of files or images.

use std::collections::{BTreeMap, BTreeSet};

use super::super::first_few;
use super::super::labels::is_gap;
use super::super::names::NameIndex;

/// The class of each name: itself, or the first of those that are alike and never in one place. `places` are sets of names
/// as they are written, without blanks around them; `what` says what bears them: `folders`, `labels`.
pub(super) fn one_name_each(
    places: &[BTreeSet<String>],
    what: &str,
    notes: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let names: Vec<&String> = places.iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let mut classes: BTreeMap<String, String> =
        names.iter().map(|name| ((*name).clone(), (*name).clone())).collect();
    for group in NameIndex::new(&names).alike() {
        let group: Vec<&String> = group.into_iter().map(|index| names[index]).collect();
        let together =
            places.iter().any(|place| group.iter().filter(|name| place.contains(**name)).count() > 1);
        if together {
            notes.push(format!(
                "the {what} {} are {} classes, as they are found side by side; a list in CLASSES=classes.txt that has \
                 but one of them makes them one",
                first_few(&group),
                group.len()
            ));
            continue;
        }
        notes.push(format!(
            "the {what} {} are one class, `{}`, as they are never found side by side; list each of them in \
             CLASSES=classes.txt to tell them apart",
            first_few(&group),
            group[0]
        ));
        for name in &group {
            classes.insert((*name).clone(), group[0].clone());
        }
    }
    classes
}

/// The classes of [`one_name_each`], sorted, without words that stand for no label.
pub(super) fn classes_of(places: &[BTreeSet<String>], what: &str, notes: &mut Vec<String>) -> Vec<String> {
    let gaps: BTreeSet<String> = places.iter().flatten().filter(|name| is_gap(name)).cloned().collect();
    let places: Vec<BTreeSet<String>> = places.iter().map(|place| place - &gaps).collect();
    if !gaps.is_empty() {
        notes.push(format!(
            "the {what} {} stand for no label; a list in CLASSES with such a name makes it a class",
            first_few(gaps)
        ));
    }
    let classes: BTreeSet<String> = one_name_each(&places, what, notes).into_values().collect();
    classes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_alike_are_one_class_only_where_no_place_has_two_of_them() {
        let found = |places: &[&[&str]]| {
            let place = |place: &&[&str]| place.iter().map(|name| (*name).to_owned()).collect();
            let mut notes = Vec::new();
            let names = classes_of(&places.iter().map(place).collect::<Vec<_>>(), "labels", &mut notes);
            (names, notes)
        };
        let (names, notes) = found(&[&["Cat", "dog"], &["cat", "dog"]]);
        assert_eq!(names, ["Cat", "dog"]);
        assert!(notes[0].contains("`Cat`, `cat` are one class"), "{notes:?}");
        let (names, notes) = found(&[&["Cat", "cat", "dog"], &["CAT"]]);
        assert_eq!(names, ["CAT", "Cat", "cat", "dog"]);
        assert!(notes[0].contains("`CAT`, `Cat`, `cat` are 3 classes"), "{notes:?}");
        let (names, notes) = found(&[&["10-1", "101", "+", "_"]]);
        assert_eq!((names.len(), notes.len()), (4, 0));
    }
}
