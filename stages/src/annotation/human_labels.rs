//! Labels that humans gave, laid over those of annotators (method §1): few images, whose class is then known.
//!
//! They are the data set's own labels of some training images, so many of each class, or those of a table. Whatever
//! made the candidates of these images, they have the one class from then on.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline::error::{Error, Result};
use pipeline::random;
use pipeline::stage::{Context, Machine, Reads, Stage, key_without};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::import_votes::{FoundLabels, GivenLabels};
use crate::artifacts::annotation::Labels;
use crate::artifacts::images::{Images, Index, Split};

/// Settings of the stage, which goes on from `label` or what stands in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HumanLabels {
    /// So many training images of each class get their label; 0 for all that the table names.
    pub shots: usize,
    /// Seed of which images of a class those are. Fewer shots take some of the images that more shots take.
    pub seed: u64,
    /// The table of labels; without one they are the data set's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<LabelTable>,
}

/// A table of labels, and what it is read with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelTable {
    /// The file; its content counts, not its place.
    pub file: PathBuf,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// What the table may call them.
    pub class_texts: Vec<String>,
    /// Whether labels of ids that are no images here are let pass.
    pub surplus: bool,
}

/// The setting that says how many images of each class get their label.
const OWN: &str = "label.shots";

impl Stage for HumanLabels {
    type Inputs = (Images, Labels);
    type Output = Labels;
    const NAME: &'static str = "human-labels";
    const VERSION: u32 = 1;

    fn key(&self) -> Result<Value> {
        key_without(self, &["/table/file"])
    }

    fn files(&self) -> Vec<Reads> {
        self.table.iter().map(|table| Reads::All(table.file.clone())).collect()
    }

    /// All that a table is wrong in by itself; whose its ids are, the images tell.
    fn check(&self, _: &Machine) -> Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        let counts = table.read()?.by_class().map_err(|error| error.at(&table.file))?;
        self.enough(&counts, OWN, &table.classes)
    }

    fn run(&self, (images, labels): (Arc<Images>, Arc<Labels>), context: &Context) -> Result<Labels> {
        let index = &images.index;
        index.check_same_ids(&labels.ids, "labels")?;
        let chosen = self.draw(index, OWN, context)?;
        let labels = laid_over(&labels, &chosen);
        if let Some(words) = labels.human_in_words() {
            context.progress().note(words);
        }
        Ok(labels)
    }
}

impl HumanLabels {
    /// The training images that get their label, by their rows, each with its class.
    ///
    /// # Errors
    /// No class of an image is known, fewer images of a class than shots, a table that is wrong.
    pub(super) fn draw(&self, index: &Index, setting: &str, context: &Context) -> Result<Vec<(usize, u16)>> {
        self.choose(&self.known(index, setting, context)?, setting, &index.classes)
    }

    /// The training images whose class is known, by their rows, each with its class.
    fn known(&self, index: &Index, setting: &str, context: &Context) -> Result<Vec<(usize, u16)>> {
        if let Some(table) = &self.table {
            let found = table.read()?.find(index, table.surplus);
            let FoundLabels { classes, notes } = found.map_err(|error| error.at(&table.file))?;
            notes.into_iter().for_each(|note| context.progress().note(note));
            return Ok(classes);
        }
        let class = |row: usize| Some((row, u16::try_from(index.labels[row]?).ok()?));
        let known: Vec<(usize, u16)> = index.of(Split::Train).into_iter().filter_map(class).collect();
        if known.is_empty() {
            return Err(Error::new(format!(
                "{setting} = {}, and the class of no training image is known",
                self.shots
            ))
            .help("name a table with the labels of some images, such as TRUTH=file.csv with columns id and class"));
        }
        Ok(known)
    }

    /// So many of the images of each class as are wanted, in random order; all of them where that is 0.
    fn choose(&self, known: &[(usize, u16)], setting: &str, classes: &[String]) -> Result<Vec<(usize, u16)>> {
        if self.shots == 0 {
            return Ok(known.to_vec());
        }
        let mut of_class: Vec<Vec<(usize, u16)>> = vec![Vec::new(); classes.len()];
        for &(row, class) in known {
            if let Some(images) = of_class.get_mut(usize::from(class)) {
                images.push((row, class));
            }
        }
        self.enough(&of_class.iter().map(Vec::len).collect::<Vec<_>>(), setting, classes)?;
        let mut chosen = Vec::new();
        for (class, mut images) in of_class.into_iter().enumerate() {
            // Not in the order of a table, which may be written in any.
            images.sort_unstable();
            images.shuffle(&mut random::stream(self.seed, &format!("human labels of class {class}")));
            chosen.extend(images.into_iter().take(self.shots));
        }
        Ok(chosen)
    }

    /// Refuses more shots than a class has images.
    fn enough(&self, counts: &[usize], setting: &str, classes: &[String]) -> Result<()> {
        let few = counts.iter().zip(classes).filter(|(count, _)| **count < self.shots);
        let few: Vec<String> = few
            .map(|(count, class)| match count {
                0 => format!("no label of `{class}`"),
                1 => format!("1 label of `{class}`"),
                count => format!("{count} labels of `{class}`"),
            })
            .collect();
        let Some(first) = few.first() else { return Ok(()) };
        let more = match few.len() - 1 {
            0 => String::new(),
            1 => ", and too few of 1 more class".to_owned(),
            more => format!(", and too few of {more} more classes"),
        };
        let (shots, least) = (self.shots, counts.iter().min().copied().unwrap_or(0));
        let (what, help) = match &self.table {
            Some(_) => ("the table has", "set 0, which takes all labels of the table"),
            None => ("the training images have", "take more images"),
        };
        let error = Error::new(format!("{setting} = {shots}, and {what} {first}{more}"));
        let error = match &self.table {
            Some(table) => error.at(&table.file),
            None => error,
        };
        Err(match least {
            0 => error.help(format!("every class needs {shots}: {help}")),
            least => error
                .help(format!("set {}={least}, or {help}", if setting == OWN { "SHOTS" } else { setting })),
        })
    }
}

impl LabelTable {
    fn read(&self) -> Result<GivenLabels> {
        GivenLabels::read(&self.file, &self.classes, &self.class_texts)
    }
}

/// The labels in which these images have the class that a human gave.
fn laid_over(labels: &Labels, human: &[(usize, u16)]) -> Labels {
    let mut all = labels.clone();
    for &(row, class) in human {
        all.candidates[row] = vec![class];
        all.weights[row] = vec![1.0];
        all.single[row] = Some(class);
        all.human[row] = true;
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::artifacts::annotation::Names;

    const CLASSES: [&str; 3] = ["cat", "dog", "cow"];

    fn names() -> Vec<String> {
        CLASSES.map(str::to_owned).into()
    }

    fn shots(shots: usize) -> HumanLabels {
        HumanLabels { shots, seed: 0, table: None }
    }

    /// As [`shots`], of a table in this file.
    fn of_table(shots: usize, file: &Path) -> HumanLabels {
        let table =
            LabelTable { file: file.to_owned(), classes: names(), class_texts: names(), surplus: false };
        HumanLabels { shots, seed: 0, table: Some(table) }
    }

    /// Ten training images and a test image of each class, the classes in turn.
    fn images() -> Images {
        let count = 11 * CLASSES.len();
        let class = |row: usize| (row % CLASSES.len()) as i32;
        let is_test = |row: usize| row >= 10 * CLASSES.len();
        let index = Index {
            ids: (0..count).map(|row| format!("i/{row}.png")).collect(),
            splits: (0..count).map(|row| Split::ALL[usize::from(is_test(row))]).collect(),
            labels: (0..count).map(|row| Some(class(row))).collect(),
            classes: names(),
        };
        Images::new(index, vec![Vec::new(); count], vec![None; count])
    }

    /// Labels by which every image may be of the first or the last class.
    fn labels(images: &Images) -> Labels {
        let Index { ids, splits, labels, classes } = images.index.clone();
        let count = ids.len();
        Labels {
            ids,
            splits,
            candidates: vec![vec![0, 2]; count],
            weights: vec![vec![0.25, 0.75]; count],
            single: vec![Some(2); count],
            human: vec![false; count],
            truth: labels,
            names: Names { annotators: Vec::new(), classes },
        }
    }

    fn run_on(stage: &HumanLabels, images: Images) -> Result<Labels> {
        let labels = labels(&images);
        stage.run((Arc::new(images), Arc::new(labels)), &Context::for_test("nowhere"))
    }

    fn run(stage: &HumanLabels) -> Labels {
        run_on(stage, images()).unwrap()
    }

    fn human(labels: &Labels) -> Vec<usize> {
        (0..labels.ids.len()).filter(|&row| labels.human[row]).collect()
    }

    fn refused(result: Result<impl Sized>, words: &[&str]) {
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(error.contains("help: "), "{error}");
    }

    #[test]
    fn so_many_images_of_each_class_have_their_true_class_alone_and_the_others_stay() {
        let before = labels(&images());
        let labels = run(&shots(2));
        assert_eq!(human(&labels).len(), 6);
        assert_eq!(labels.human_by_class(), [2, 2, 2]);
        for row in 0..labels.ids.len() {
            let class = (row % CLASSES.len()) as u16;
            let (candidates, weights, single) = match labels.human[row] {
                true => (vec![class], vec![1.0], class),
                false => (vec![0, 2], vec![0.25, 0.75], 2),
            };
            assert_eq!((&labels.candidates[row], &labels.weights[row]), (&candidates, &weights), "{row}");
            assert_eq!(labels.single[row], Some(single), "{row}");
            assert!(!labels.human[row] || labels.splits[row] == Split::Train, "{row}");
        }
        assert_eq!((labels.truth, labels.ids), (before.truth, before.ids));
    }

    #[test]
    fn more_shots_take_the_images_of_fewer_shots_too_and_another_seed_others() {
        let all: Vec<Vec<usize>> = [1, 2, 4, 8, 10].map(|count| human(&run(&shots(count)))).into();
        for pair in all.windows(2) {
            assert!(pair[0].len() < pair[1].len() && pair[0].iter().all(|row| pair[1].contains(row)));
        }
        assert_eq!(human(&run(&shots(4))), all[2]);
        assert_ne!(human(&run(&HumanLabels { seed: 1, ..shots(4) })), all[2]);
    }

    #[test]
    fn more_shots_than_a_class_has_training_images_are_refused_by_its_name() {
        let mut some = images();
        some.index.labels[1] = None;
        refused(
            run_on(&shots(10), some),
            &["label.shots = 10", "the training images have 9 labels of `dog`", "SHOTS=9"],
        );
        refused(run_on(&shots(11), images()), &["10 labels of `cat`, and too few of 2 more classes"]);
        let mut none = images();
        none.index.labels.iter_mut().for_each(|label| *label = label.filter(|label| *label != 2));
        refused(run_on(&shots(1), none), &["no label of `cow`", "every class needs 1"]);
    }

    #[test]
    fn without_a_known_class_a_table_is_asked_for() {
        let mut unknown = images();
        unknown.index.labels.fill(None);
        refused(run_on(&shots(2), unknown), &["no training image is known", "TRUTH=file.csv"]);
    }

    #[test]
    fn the_labels_of_a_table_are_taken_all_or_so_many_of_each_class() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("truth.csv");
        // Not what the data set says: whoever looked at the images is asked.
        let rows = ["i/1.png,cat", "i/5.png,cow", "i/7.png,cow", "i/3.png,dog", "i/5.png,cow"];
        std::fs::write(&file, format!("id,class\n{}\n", rows.join("\n"))).unwrap();
        let all = of_table(0, &file);
        all.check(&Machine::default()).unwrap();
        let labels = run(&all);
        assert_eq!((human(&labels), labels.human_by_class()), (vec![1, 3, 5, 7], vec![1, 1, 2]));
        assert_eq!([labels.single[1], labels.single[3], labels.single[5]], [Some(0), Some(1), Some(2)]);
        let one = of_table(1, &file);
        one.check(&Machine::default()).unwrap();
        let labels = run(&one);
        assert_eq!(labels.human_by_class(), [1, 1, 1]);
        assert!(human(&labels).iter().all(|row| [1, 3, 5, 7].contains(row)));
        refused(
            of_table(2, &file).check(&Machine::default()),
            &["the table has 1 label of `cat`", "SHOTS=1"],
        );
        // The order of the rows says nothing of which are drawn.
        let turned: Vec<&str> = rows.into_iter().rev().collect();
        std::fs::write(&file, format!("id,class\n{}\n", turned.join("\n"))).unwrap();
        assert_eq!(human(&run(&one)), human(&labels));
    }

    #[test]
    fn a_table_that_is_wrong_by_itself_is_refused_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("truth.csv");
        let checked = |text: &str| {
            std::fs::write(&file, text).unwrap();
            of_table(0, &file).check(&Machine::default())
        };
        refused(checked("id,class\ni/1.png,cat\ni/1.png,dog\n"), &["truth.csv", "`i/1.png`", "line 3 `dog`"]);
        refused(checked("id,class\ni/1.png,dgo\n"), &["truth.csv", "`dgo`", "did you mean `dog`"]);
        refused(checked("id,kind\ni/1.png,dog\n"), &["truth.csv", "no column `class`"]);
        let nowhere = of_table(0, &folder.path().join("none.csv"));
        refused(nowhere.check(&Machine::default()), &["none.csv", "TRUTH names a table"]);
        std::fs::write(&file, "id,class\ni/30.png,cat\n").unwrap();
        refused(
            run_on(&of_table(0, &file), images()),
            &["truth.csv", "1 label is of a test image: `i/30.png`"],
        );
        std::fs::write(&file, "id,class\ni/1.png,cat\ni/99.png,cat\n").unwrap();
        refused(run_on(&of_table(0, &file), images()), &["truth.csv", "1 label is of an id", "`i/99.png`"]);
    }

    #[test]
    fn where_the_table_lies_decides_nothing() {
        let [one, other] = ["a.csv", "b.csv"].map(|file| of_table(2, Path::new(file)));
        assert_eq!(one.key().unwrap(), other.key().unwrap());
        assert_eq!(one.files(), [Reads::All(PathBuf::from("a.csv"))]);
        assert_ne!(one.key().unwrap(), shots(2).key().unwrap());
    }
}
