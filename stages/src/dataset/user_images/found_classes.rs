//! The classes that names found in several places make: as many as there are names.
//!
//! Names that are alike are one class only where no place has two of them: `train/Cat` and `test/cat` are, `A` and `a`
//! side by side are not. Either way it is said. It knows nothing of files or images.

use std::collections::{BTreeMap, BTreeSet};

use super::super::first_few;
use super::super::names::normalised;

/// The classes, sorted, and what is assumed of names that are alike. `places` are sets of names as they are written;
/// `what` says what bears them: `folders`, `labels`.
pub(super) fn classes_of(places: &[BTreeSet<String>], what: &str) -> (Vec<String>, Vec<String>) {
    let mut alike: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for name in places.iter().flatten() {
        let form = normalised(name);
        alike.entry(if form.is_empty() { name.clone() } else { form }).or_default().insert(name);
    }
    let (mut names, mut notes) = (Vec::new(), Vec::new());
    for group in alike.into_values() {
        let several = group.len() > 1;
        let together =
            |place: &BTreeSet<String>| place.iter().filter(|name| group.contains(name.as_str())).count() > 1;
        if several && places.iter().any(together) {
            notes.push(format!(
                "the {what} {} are as many classes, told apart as they are written; a list in CLASSES with one of the \
                 names makes them one",
                first_few(&group)
            ));
            names.extend(group.into_iter().map(str::to_owned));
            continue;
        }
        if several {
            notes.push(format!(
                "the {what} {} are one class; a list in CLASSES with each of the names keeps them apart",
                first_few(&group)
            ));
        }
        names.extend(group.into_iter().next().map(str::to_owned));
    }
    names.sort_unstable();
    (names, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_alike_are_one_class_only_where_no_place_has_two_of_them() {
        let places = |places: &[&[&str]]| -> Vec<BTreeSet<String>> {
            places.iter().map(|place| place.iter().map(|name| (*name).to_owned()).collect()).collect()
        };
        let (names, notes) = classes_of(&places(&[&["Cat", "dog"], &["cat", "dog"]]), "labels");
        assert_eq!(names, ["Cat", "dog"]);
        assert!(notes[0].contains("`Cat`, `cat` are one class"), "{notes:?}");
        let (names, notes) = classes_of(&places(&[&["Cat", "cat", "dog"], &["CAT"]]), "labels");
        assert_eq!(names, ["CAT", "Cat", "cat", "dog"]);
        assert!(notes[0].contains("`CAT`, `Cat`, `cat` are as many classes"), "{notes:?}");
        let (names, notes) = classes_of(&places(&[&["10-1", "101", "-", "_"]]), "labels");
        assert_eq!((names.len(), notes.len()), (4, 0));
    }
}
