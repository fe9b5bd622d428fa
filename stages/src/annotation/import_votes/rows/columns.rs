//! Which column of a table of votes is which, by its name.
//!
//! A column that is called as it should be counts before one that is called so in other letters, and that before one
//! that means the same. It knows nothing of files.

use pipeline::error::{Error, Result};

use super::TableOf;
use crate::dataset::names::normalised;

/// The columns that a table of votes has; the others are not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    of: TableOf,
    pub(super) id: usize,
    /// Where it is missing, all rows are of one annotator.
    pub(super) annotator: Option<usize>,
    pub(super) class: usize,
    pub(super) confidence: Option<usize>,
    /// What is to be said of columns that are called otherwise.
    pub(super) notes: Vec<String>,
}

/// Each column by its name, and by what others call it, as [`normalised`] writes that.
const NAMES: [(&str, &[&str]); 4] = [
    ("id", &["imageid", "image", "filename", "file", "path", "imagepath", "filepath", "imagename", "imgid"]),
    (
        "annotator",
        &[
            "model",
            "annotatorid",
            "annotatorname",
            "modelname",
            "worker",
            "workerid",
            "rater",
            "labeler",
            "labeller",
        ],
    ),
    (
        "class",
        &[
            "label",
            "answer",
            "prediction",
            "vote",
            "response",
            "classname",
            "labelname",
            "predictedclass",
            "predictedlabel",
        ],
    ),
    ("confidence", &["score", "prob", "probability", "conf"]),
];

/// Columns that say nothing of who voted, whatever else they hold.
const OTHERS: [&str; 28] = [
    "",
    "index",
    "unnamed0",
    "row",
    "split",
    "url",
    "imageurl",
    "prompt",
    "question",
    "comment",
    "comments",
    "note",
    "notes",
    "reason",
    "reasoning",
    "explanation",
    "rationale",
    "raw",
    "rawoutput",
    "output",
    "timestamp",
    "time",
    "date",
    "truth",
    "groundtruth",
    "truelabel",
    // Of exported labels that somebody corrected.
    "source",
    "candidates",
];

/// Columns that together tell labels that `coreg export labels` wrote. Whoever corrected them left the confidence as it
/// was: how sure the student is of the label that it gave.
const EXPORTED: [&str; 4] = ["label", "confidence", "source", "candidates"];

/// Whether a column that is called so may be meant for what is wanted.
fn means(name: &str, wanted: &str) -> bool {
    let name = normalised(name);
    name == wanted || NAMES.iter().any(|(known, others)| *known == wanted && others.contains(&name.as_str()))
}

impl Columns {
    /// The columns among those of the table, of which each has a name and a description such as its type; `fits` says
    /// whether a column may be what its first argument says, and is asked of columns that are called otherwise.
    ///
    /// # Errors
    /// A column that is missing, or that two may be: names what is there.
    pub(super) fn find(
        of: TableOf,
        names: &[&str],
        described: &[String],
        fits: impl Fn(&str, usize) -> bool,
    ) -> Result<Self> {
        let there = || format!("the table has: {}. {}", described.join(", "), of.needed());
        let mut notes = Vec::new();
        let mut taken: Vec<usize> = Vec::new();
        let mut find = |wanted: &str, others: &[&str]| -> Result<Option<usize>> {
            let columns = |like: &dyn Fn(&str) -> bool| -> Vec<usize> {
                (0..names.len()).filter(|&at| like(names[at])).collect()
            };
            let exact = columns(&|name| name == wanted);
            let alike = columns(&|name| normalised(name) == wanted);
            let meant = columns(&|name| others.contains(&normalised(name).as_str()));
            let meant = meant.into_iter().filter(|&at| fits(wanted, at)).collect();
            let found = [exact, alike, meant].into_iter().find(|found: &Vec<usize>| !found.is_empty());
            match found.as_deref() {
                None => Ok(None),
                Some(&[at]) => {
                    if names[at] != wanted {
                        notes.push(format!(
                            "the column `{}` is taken for `{wanted}`; to have another one taken, call that `{wanted}`",
                            names[at].trim()
                        ));
                    }
                    taken.push(at);
                    Ok(Some(at))
                }
                Some(several) => {
                    let several: Vec<String> = several.iter().map(|&at| format!("`{}`", names[at])).collect();
                    Err(Error::new(format!(
                        "it is not clear which column is the {wanted}: {}",
                        several.join(" or ")
                    ))
                    .help(format!("call that one `{wanted}`, and no other")))
                }
            }
        };
        let [mut id, mut annotator, mut class, mut confidence] = [None; 4];
        for (place, (wanted, others)) in
            [&mut id, &mut annotator, &mut class, &mut confidence].into_iter().zip(NAMES)
        {
            if of == TableOf::Votes || matches!(wanted, "id" | "class") {
                *place = find(wanted, others)?;
            }
        }
        if of == TableOf::Votes && EXPORTED.iter().all(|name| names.contains(name)) {
            confidence = None;
            notes.push(
                "labels that were exported: each is a vote, and `confidence` does not count, for it is of the label that \
                 was exported and not of whoever corrected it; without the column `candidates` it counts"
                    .to_owned(),
            );
        }
        let missing =
            |name: &str| Error::new(format!("the {} have no column `{name}`", of.rows())).help(there());
        let (id, class) = (id.ok_or_else(|| missing("id"))?, class.ok_or_else(|| missing("class"))?);
        if of == TableOf::Votes && annotator.is_none() {
            // Where another column may say who voted, all rows are not taken for one annotator's.
            let perhaps = (0..names.len()).find(|&at| {
                let known = OTHERS.contains(&normalised(names[at]).as_str())
                    || ["id", "class", "confidence"].iter().any(|wanted| means(names[at], wanted));
                !known && !taken.contains(&at) && fits("annotator", at)
            });
            if let Some(at) = perhaps {
                return Err(missing("annotator").because(format!(
                    "`{0}` may say who voted: then call it `annotator`. If one annotator gave all votes, leave `{0}` out",
                    names[at]
                )));
            }
        }
        let unused = (0..names.len()).filter(|at| !taken.contains(at) && means(names[*at], "class"));
        let unused: Vec<String> =
            unused.filter(|&at| fits("class", at)).map(|at| format!("`{}`", names[at].trim())).collect();
        if !unused.is_empty() {
            let (unused_names, taken) = (unused.join(" and "), names[class].trim());
            let is = if unused.len() == 1 { "is" } else { "are" };
            notes.push(format!(
                "{unused_names} {is} passed over: the answers are those of the column `{taken}`; call another one `class`, and no other, to have that taken"
            ));
        }
        Ok(Self { of, id, annotator, class, confidence, notes })
    }

    /// The notes, and who votes in a table that does not say who.
    pub(super) fn notes(&self, lone: &str) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.of == TableOf::Votes && self.annotator.is_none() {
            notes.push(format!(
                "no column says who voted: all votes are of one annotator, `{lone}`; a column `annotator` tells several apart"
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn find(names: &[&str]) -> Result<Columns> {
        let described: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Columns::find(TableOf::Votes, names, &described, |_, _| true)
    }

    #[test]
    fn columns_are_found_by_their_names_whatever_others_call_them() {
        let as_they_should = find(&["class", "id", "confidence", "annotator", "image"]).unwrap();
        let Columns { id, annotator, class, confidence, notes, .. } = as_they_should;
        assert_eq!((id, annotator, class, confidence), (1, Some(3), 0, Some(2)));
        assert!(notes.is_empty());
        for names in
            [["Image_ID", "Model", "Label", "Score"], ["file name", "worker id", "Prediction", "PROB"]]
        {
            let Columns { id, annotator, class, confidence, notes, .. } = find(&names).unwrap();
            assert_eq!(
                (id, annotator, class, confidence, notes.len()),
                (0, Some(1), 2, Some(3), 4),
                "{names:?}"
            );
        }
        let alone = find(&["", "image", "split", "answer", "notes"]).unwrap();
        assert_eq!((alone.id, alone.annotator, alone.class), (1, None, 3));
        let labelled = find(&["id", "class", "label"]).unwrap();
        assert_eq!((labelled.id, labelled.annotator, labelled.class), (0, None, 1));
        assert!(
            labelled
                .notes
                .iter()
                .any(|note| note.contains("`label` is passed over") && note.contains("`class`"))
        );
        assert_eq!(
            find(&["id", "class", "filename", "score", "prob", "confidence"]).unwrap().annotator,
            None
        );
        assert!(alone.notes("gpt").iter().any(|note| note.contains("one annotator, `gpt`")));
    }

    #[test]
    fn the_confidence_of_exported_labels_is_not_that_of_whoever_corrected_them() {
        let table = ["id", "split", "label", "confidence", "source", "candidates", "truth"];
        let metadata = ["file_name", "label", "confidence", "source", "id", "candidates"];
        let with_names = [&table[..], &["annotator", "class"]].concat();
        for (names, class) in [(&table[..], 2), (&metadata[..], 1), (&with_names[..], 8)] {
            let found = find(names).unwrap();
            assert_eq!((found.class, found.confidence), (class, None), "{names:?}");
            assert!(found.notes.iter().any(|note| note.contains("`confidence` does not count")), "{names:?}");
        }
        let without = ["id", "split", "label", "confidence", "source", "truth"];
        assert_eq!(find(&without).unwrap().confidence, Some(3));
    }

    #[test]
    fn a_table_of_labels_needs_an_id_and_a_class_and_nobody_who_gave_them() {
        let find = |names: &[&str]| {
            let described: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Columns::find(TableOf::Labels, names, &described, |_, _| true)
        };
        let found = find(&["image", "who", "annotator", "label", "confidence"]).unwrap();
        assert_eq!((found.id, found.class), (0, 3));
        assert_eq!((found.annotator, found.confidence, found.notes("").len()), (None, None, 2));
        let error = find(&["id", "kind"]).unwrap_err().to_string();
        assert!(error.contains("the labels have no column `class`"), "{error}");
        assert!(error.contains("id, kind") && !error.contains("annotator"), "{error}");
    }

    #[test]
    fn what_is_missing_or_not_clear_is_an_error_that_names_the_columns() {
        for (names, words) in [
            (&["id", "annotator"][..], &["no column `class`", "id, annotator"][..]),
            (&["annotator", "class"], &["no column `id`"]),
            (&["id", "who", "class"], &["no column `annotator`", "`who` may say who voted"]),
            (&["id", "annotator", "label", "answer"], &["which column is the class", "`label` or `answer`"]),
            (&["ID", "Id", "annotator", "class"], &["`ID` or `Id`", "call that one `id`"]),
        ] {
            let error = find(names).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
