//! Labels that humans gave, from a table with a row an image: `id`, and `class` as a number from 0, or words.
//!
//! It is read as a table of votes is, but a class must be a class's own name, one of its texts, or its number: what
//! holds the words of a class somewhere, or names two, is no label.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::path::Path;

use pipeline::error::{Error, Result};

use super::answers::Match;
use super::counted::counted;
use super::known_ids::KnownIds;
use super::rows::{self, VoteAnswer, VoteRow, VoteTable};
use super::vocabulary::Vocabulary;
use crate::artifacts::images::{Index, Split};
use crate::dataset::first_few;
use crate::runtime::suggest::unknown;

/// All labels of a table.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::annotation) struct GivenLabels {
    rows: Vec<GivenLabel>,
    /// What [`GivenLabel::at`] counts.
    unit: &'static str,
    /// Names of the classes.
    classes: Vec<String>,
    /// What is to be said of how the table was read.
    notes: Vec<String>,
}

/// A row of the table that has a class.
#[derive(Clone, Debug, PartialEq)]
struct GivenLabel {
    /// Its place in the file.
    at: usize,
    /// The image's id, as it is written there.
    id: String,
    class: u16,
}

/// Labels, one an image.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::annotation) struct FoundLabels {
    /// Images, by their rows in the table of images, each with its class, in the order of the file.
    pub(in crate::annotation) classes: Vec<(usize, u16)>,
    /// What is to be said of how they were found.
    pub(in crate::annotation) notes: Vec<String>,
}

/// Keys with their classes, and the ids of rows that say the same again.
type Once<'a, K> = (Vec<(K, u16)>, Vec<&'a str>);

impl GivenLabels {
    /// The labels in `file`. Rows without a class say nothing.
    ///
    /// # Errors
    /// A file that cannot be read, or lacks a column; a class that is none of `classes`; no row with a class.
    pub(in crate::annotation) fn read(file: &Path, classes: &[String], texts: &[String]) -> Result<Self> {
        let table = rows::read_labels(file)?;
        Self::of(&table, classes, texts).map_err(|error| error.at(file))
    }

    fn of(table: &VoteTable, classes: &[String], texts: &[String]) -> Result<Self> {
        let vocabulary = Vocabulary::new(classes, texts, &BTreeMap::new())?;
        let mut labels = Vec::new();
        for row in &table.rows {
            let place = format!("{} {}", table.unit, row.at);
            if let Some(class) = class_of(row, &place, &vocabulary, classes)? {
                labels.push(GivenLabel { at: row.at, id: row.id.clone(), class });
            }
        }
        if labels.is_empty() {
            return Err(Error::new("there is no label: no row has a class").help(format!(
                "write an image's id and its class into a row: one of {}",
                first_few(classes)
            )));
        }
        let mut notes = table.notes.clone();
        let silent = table.rows.len() - labels.len();
        if silent > 0 {
            notes.push(counted(
                silent,
                "row has no class and says nothing",
                "rows have no class and say nothing",
            ));
        }
        Ok(Self { rows: labels, unit: table.unit, classes: classes.to_vec(), notes })
    }

    /// How many images have each class, as far as their ids tell.
    ///
    /// # Errors
    /// An image that has two classes.
    pub(in crate::annotation) fn by_class(&self) -> Result<Vec<usize>> {
        let mut counts = vec![0; self.classes.len()];
        for (_, class) in self.once(|at| Some(self.rows[at].id.trim()))?.0 {
            counts[usize::from(class)] += 1;
        }
        Ok(counts)
    }

    /// The images of these ids. An id is an image's own, or what another program made of it, as in a table of votes.
    /// `surplus` lets ids pass that no image has, where some have one.
    ///
    /// # Errors
    /// Ids that no image has, or a test image; an image that has two classes.
    pub(in crate::annotation) fn find(&self, index: &Index, surplus: bool) -> Result<FoundLabels> {
        let known = KnownIds::new(&index.ids);
        let mut images: Vec<Option<usize>> = self.rows.iter().map(|row| known.find(&row.id)).collect();
        let taken: HashSet<usize> = images.iter().flatten().copied().collect();
        let rows = self.rows.iter().zip(&images);
        let strange: BTreeSet<&str> =
            rows.filter(|(_, image)| image.is_none()).map(|(row, _)| row.id.as_str()).collect();
        let mut unclear = None;
        match known.find_loosely(&strange, &taken) {
            Ok(found) => {
                for (row, image) in self.rows.iter().zip(&mut images) {
                    *image = image.or_else(|| found.get(row.id.as_str()).copied());
                }
            }
            Err(why) => unclear = why,
        }
        let mut notes = self.notes.clone();
        notes.extend(self.changed(&images, index));
        notes.extend(self.refuse_unknown(&images, unclear, index, surplus)?);
        self.refuse_test_images(&images, index)?;
        let (classes, repeated) = self.once(|at| images[at])?;
        if !repeated.is_empty() {
            let rows = counted(repeated.len(), "row says", "rows say");
            notes.push(format!("{rows} once more what a row before says: {}", first_few(&repeated)));
        }
        Ok(FoundLabels { classes, notes })
    }

    /// The keys of the rows, each once, with its class; and the ids of rows that say the same again. Rows without a key
    /// are passed over.
    ///
    /// # Errors
    /// Rows of one key and different classes.
    fn once<K: Copy + Eq + Hash>(&self, key: impl Fn(usize) -> Option<K>) -> Result<Once<'_, K>> {
        let mut first: HashMap<K, usize> = HashMap::new();
        let (mut found, mut repeated) = (Vec::new(), Vec::new());
        let (mut doubled, mut differs) = (Vec::new(), None);
        for (at, row) in self.rows.iter().enumerate() {
            let Some(key) = key(at) else { continue };
            match first.entry(key) {
                Entry::Vacant(place) => {
                    found.push((key, row.class));
                    place.insert(at);
                }
                Entry::Occupied(place) => {
                    let before = &self.rows[*place.get()];
                    if before.class == row.class {
                        repeated.push(row.id.as_str());
                        continue;
                    }
                    differs.get_or_insert_with(|| {
                        let [one, other] = [before, row].map(|row| &self.classes[usize::from(row.class)]);
                        let unit = self.unit;
                        format!("{unit} {} has `{one}`, and {unit} {} `{other}`", before.at, row.at)
                    });
                    doubled.push(row.id.as_str());
                }
            }
        }
        if let Some(differs) = differs {
            let labels = counted(doubled.len(), "label differs", "labels differ");
            let what = format!("{labels} from an earlier one of the same image: {}", first_few(&doubled));
            return Err(Error::new(what)
                .because(differs)
                .help("an image has one class: remove the wrong rows"));
        }
        Ok((found, repeated))
    }

    /// Which ids are taken for those of images that are called otherwise.
    fn changed(&self, images: &[Option<usize>], index: &Index) -> Option<String> {
        let own = |image: &Option<usize>| Some(&index.ids[(*image)?]);
        let found = self.rows.iter().zip(images).filter_map(|(row, image)| Some((&row.id, own(image)?)));
        let changed: BTreeSet<String> = found
            .filter(|(written, own)| written != own)
            .map(|(written, own)| format!("{written} for {own}"))
            .collect();
        let ids = counted(changed.len(), "id is", "ids are");
        (!changed.is_empty()).then(|| {
            format!(
                "{ids} written otherwise than the images', and taken for theirs: {}; where that is wrong, write the ids \
                 as download/images.parquet has them",
                first_few(changed)
            )
        })
    }

    /// Refuses ids that no image has; where that is let pass, says which they are.
    fn refuse_unknown(
        &self,
        images: &[Option<usize>],
        unclear: Option<String>,
        index: &Index,
        surplus: bool,
    ) -> Result<Option<String>> {
        let rows = self.rows.iter().zip(images);
        let unknown: Vec<&str> =
            rows.filter(|(_, image)| image.is_none()).map(|(row, _)| row.id.as_str()).collect();
        if unknown.is_empty() {
            return Ok(None);
        }
        let own = index.ids.first().map_or("nothing", String::as_str);
        let labels = counted(unknown.len(), "label is of an id", "labels are of ids");
        let few = first_few(&unknown);
        if !surplus || unknown.len() == self.rows.len() {
            let error = Error::new(format!("{labels} that no image has: {few}"))
                .help(format!("ids are those of download/images.parquet, which are written like `{own}`"));
            return Err(match unclear {
                Some(why) => error.because(why),
                None => error,
            });
        }
        Ok(Some(format!(
            "{labels} that no image here has, and passed over: {few}; `download` takes only a part of the images"
        )))
    }

    /// Refuses labels of images that the student is judged on.
    fn refuse_test_images(&self, images: &[Option<usize>], index: &Index) -> Result<()> {
        let is_test = |image: &Option<usize>| image.is_some_and(|image| index.splits[image] == Split::Test);
        let rows = self.rows.iter().zip(images);
        let test: Vec<&str> =
            rows.filter(|&(_, image)| is_test(image)).map(|(row, _)| row.id.as_str()).collect();
        if test.is_empty() {
            return Ok(());
        }
        let labels = counted(test.len(), "label is of a test image", "labels are of test images");
        Err(Error::new(format!("{labels}: {}", first_few(&test))).help(
            "the student is judged on these images and must not learn their labels: leave the rows out; \
             download/images.parquet says which images train",
        ))
    }
}

/// The class that a row gives; none where it gives none.
fn class_of(row: &VoteRow, place: &str, vocabulary: &Vocabulary, classes: &[String]) -> Result<Option<u16>> {
    let numbered = |number: i64, class: Option<u16>| {
        let no_class = || {
            let from = if vocabulary.has_numbers() { "" } else { ", from 0" };
            Error::new(format!("{place}: there is no class {number}")).help(format!(
                "there are {} classes{from}: {}",
                classes.len(),
                first_few(classes)
            ))
        };
        class.map(Some).ok_or_else(no_class)
    };
    match &row.answer {
        None => Ok(None),
        Some(VoteAnswer::Number(number)) => {
            let class = u16::try_from(*number).ok().filter(|class| usize::from(*class) < classes.len());
            numbered(*number, class)
        }
        Some(VoteAnswer::Numeral(number)) => {
            let class = u64::try_from(*number).ok().and_then(|number| vocabulary.numeral(number));
            numbered(*number, class)
        }
        Some(VoteAnswer::Text(text)) => match vocabulary.find(text) {
            Match::Named(class) | Match::Alias(class) => Ok(Some(class)),
            _ if rows::is_gap(text) => Ok(None),
            _ => Err(Error::new(format!("{place} has no class that is known")).because(unknown(
                "class",
                text.trim(),
                classes.iter().cloned(),
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn index() -> Index {
        Index {
            ids: words(&["a/0.png", "a/1.png", "2.png", "t.png"]),
            splits: vec![Split::Train, Split::Train, Split::Train, Split::Test],
            labels: vec![None; 4],
            classes: words(&["cat", "dog", "cow"]),
        }
    }

    /// A table in this form, read from a file of this name.
    fn read(name: &str, text: &str) -> Result<GivenLabels> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let classes = index().classes;
        GivenLabels::read(&file, &classes, &words(&["cat | kitten", "dog", "cow"]))
    }

    fn found(text: &str) -> Result<FoundLabels> {
        read("truth.csv", text)?.find(&index(), false)
    }

    fn refused(result: Result<impl Sized>, words: &[&str]) {
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(error.contains("help: "), "{error}");
    }

    #[test]
    fn a_class_is_a_name_a_text_or_a_number_in_every_format() {
        let json = "{\"id\": \"a/0.png\", \"class\": \"Dog\"}\n{\"id\": \"2.png\", \"class\": \"kitten\"}\n";
        for (name, text) in [
            ("truth.csv", "id,class\na/0.png,Dog\n2.png,kitten\n"),
            ("truth.tsv", "image\twho\tlabel\na/0.png\tanna\tdog\n2.png\tbert\tcat.\n"),
            ("truth.csv", "id,class\na/0.png,1\n2.png,0\n"),
            ("truth.jsonl", json),
        ] {
            let found = read(name, text).unwrap().find(&index(), false).unwrap();
            assert_eq!(found.classes, [(0, 1), (2, 0)], "{text}");
        }
    }

    #[test]
    fn a_row_without_a_class_says_nothing_and_one_that_is_there_twice_counts_once() {
        let found = found("id,class\na/0.png,cat\nnobody,\na/1.png,n/a\n2.png,cow\na/0.png,Cat\n").unwrap();
        assert_eq!(found.classes, [(0, 0), (2, 2)]);
        let notes = found.notes.join("\n");
        assert!(notes.contains("2 rows have no class"), "{notes}");
        assert!(
            notes.contains("1 row says once more") && notes.contains("before says: `a/0.png`"),
            "{notes}"
        );
        refused(read("truth.csv", "id,class\na/0.png,\n"), &["no row has a class", "`cat`"]);
    }

    #[test]
    fn an_image_of_two_classes_is_refused_by_its_id_and_by_what_its_ids_mean() {
        let table = read("truth.csv", "id,class\na/0.png,cat\n2.png,cow\na/0.png,dog\n").unwrap();
        let words = ["1 label differs", "`a/0.png`", "line 2 has `cat`, and line 4 `dog`"];
        refused(table.by_class(), &words);
        refused(table.find(&index(), false), &words);
        let table = read("truth.csv", "id,class\na/0.png,cat\n./a\\0.png,dog\n").unwrap();
        assert_eq!(table.by_class().unwrap(), [1, 1, 0]);
        refused(table.find(&index(), false), &["1 label differs"]);
    }

    #[test]
    fn ids_of_no_image_and_of_test_images_are_refused_with_the_first_few() {
        let text = "id,class\na/0.png,cat\nx,cat\ny,cow\n";
        refused(found(text), &["2 labels are of ids that no image has: `x`, `y`", "`a/0.png`"]);
        let passed = read("truth.csv", text).unwrap().find(&index(), true).unwrap();
        assert_eq!(passed.classes, [(0, 0)]);
        assert!(passed.notes.iter().any(|note| note.contains("2 labels are of ids")), "{:?}", passed.notes);
        let none = read("truth.csv", "id,class\nx,cat\n").unwrap();
        refused(none.find(&index(), true), &["1 label is of an id that no image has: `x`"]);
        refused(
            found("id,class\na/0.png,cat\nt.png,dog\n"),
            &["1 label is of a test image: `t.png`", "judged"],
        );
    }

    #[test]
    fn ids_that_another_program_wrote_are_still_the_images() {
        let found = found("id,class\n/data/a/0.png,cat\n2,dog\n").unwrap();
        assert_eq!(found.classes, [(0, 0), (2, 1)]);
        assert!(found.notes.iter().any(|note| note.contains("2 for 2.png")), "{:?}", found.notes);
    }

    #[test]
    fn what_is_no_class_is_refused_with_its_place_and_the_nearest_name() {
        let of = |class: &str| read("truth.csv", &format!("id,class\na/0.png,{class}\n2.png,dog\n"));
        refused(of("catt"), &["line 2", "there is no class `catt`", "did you mean `cat`"]);
        refused(of("a cat and a dog"), &["line 2", "there is no class `a cat and a dog`"]);
        refused(read("truth.csv", "id,class\na/0.png,3\n"), &["line 2", "no class 3", "from 0"]);
        refused(read("truth.jsonl", "{\"id\": \"2.png\", \"class\": -1}\n"), &["line 1", "no class -1"]);
        refused(read("truth.csv", "id,kind\na/0.png,cat\n"), &["labels have no column `class`", "id, kind"]);
    }
}
