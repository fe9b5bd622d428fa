//! Votes that other models or people gave, from a table.
//!
//! The table has a row an image and annotator: `id` (as in `download/images.parquet`), `annotator`, `class` (a number
//! from 0, or words), and perhaps `confidence`. Words are matched to classes by `answers`; what matches none is
//! kept and counted. It knows nothing of CLIP.

mod answers;
mod clauses;
mod counted;
mod given_labels;
mod ids;
mod known_ids;
mod negation_words;
mod neighbours;
mod reasoning;
mod rows;
mod tally;
mod vocabulary;
mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Machine, Reads, Stage, key_without};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifacts::annotation::{Further, Names, Unmatched, Votes};
use crate::artifacts::images::{Images, Index};
use crate::dataset::catalog::{Classes, wordings};
use crate::dataset::first_few;
use crate::dataset::names::{NameIndex, normalised};
use crate::dataset::user_images::classes;
use answers::Match;
pub(super) use given_labels::{FoundLabels, GivenLabels};
use rows::{VoteAnswer, VoteTable};
use tally::{AnswerCounts, distinct, mean};
use vocabulary::Vocabulary;

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportVotes {
    /// The file; its content counts, not its place.
    pub file: PathBuf,
    /// Who voted, where the file does not say who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotator: Option<String>,
    /// What annotators may call the classes: their texts, perhaps in several [`wordings`].
    pub class_texts: Vec<String>,
    /// Further words for classes, by class name.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Votes of a lower confidence do not count.
    pub min_confidence: f64,
    /// Whether training images without any vote are let pass; every class is then their candidate.
    pub incomplete: bool,
    /// Whether rows of ids that are no images here are let pass.
    pub surplus: bool,
}

impl Stage for ImportVotes {
    type Inputs = (Images,);
    type Output = Votes;
    const NAME: &'static str = "import-votes";
    // 2: an answer may name several classes, and negations are no votes.
    // 3: thoughts, parts of Chinese compounds and rows that are there twice are no votes.
    // 4: the confidence of exported labels is not that of whoever corrected them.
    const VERSION: u32 = 4;

    fn key(&self) -> Result<Value> {
        key_without(self, &["/file"])
    }

    fn files(&self) -> Vec<Reads> {
        vec![Reads::All(self.file.clone())]
    }

    fn check(&self, _: &Machine) -> Result<()> {
        if !(0.0..=1.0).contains(&self.min_confidence) {
            let error = Error::new(format!("votes.min_confidence = {} is no share", self.min_confidence));
            return Err(error.help("give a number between 0 and 1"));
        }
        rows::check(&self.file)
    }

    fn run(&self, (images,): (Arc<Images>,), context: &Context) -> Result<Votes> {
        let table = rows::read(&self.file, self.annotator.as_deref().unwrap_or("votes"))?;
        context.safe_point()?;
        self.count(&table, &images.index, context).map_err(|error| error.at(&self.file))
    }
}

impl ImportVotes {
    /// Turns rows into votes.
    fn count(&self, table: &VoteTable, index: &Index, context: &Context) -> Result<Votes> {
        table.notes.iter().for_each(|note| context.progress().note(note.clone()));
        let images = self.find_images(table, index, context)?;
        let vocabulary = Vocabulary::new(&index.classes, &self.class_texts, &self.aliases)?;
        let annotators: BTreeSet<&String> = table.rows.iter().map(|row| &row.annotator).collect();
        let annotators: Vec<String> = annotators.into_iter().cloned().collect();
        if annotators.is_empty() {
            return Err(Error::new("there is no vote").help("write a row an image and annotator"));
        }
        let annotator_of: HashMap<&str, usize> =
            annotators.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let (width, classes) = (annotators.len(), index.classes.len());
        let mut votes = vec![None; index.ids.len() * width];
        let mut confidences = vec![0.0f64; votes.len()];
        let mut further: Vec<Further> = Vec::new();
        let mut counts = AnswerCounts::default();
        let mut unmatched: BTreeMap<(&str, &str, &'static str), u64> = BTreeMap::new();
        let mut read: HashMap<&str, Match> = HashMap::new();
        let mut most_sure = 0.0f64;
        for (row, image) in table.rows.iter().zip(images) {
            let (Some(image), Some(annotator)) = (image, annotator_of.get(row.annotator.as_str())) else {
                continue;
            };
            let place = || format!("{} {}", table.unit, row.at);
            if !(0.0..=1.0).contains(&row.confidence) {
                let what = format!("{}: the confidence {} is no share", place(), row.confidence);
                return Err(Error::new(what).help("a confidence lies between 0 and 1"));
            }
            let numbered = |number: i64, class: Option<u16>| {
                class.ok_or_else(|| {
                    let from = if vocabulary.has_numbers() { "" } else { ", from 0" };
                    Error::new(format!("{}: there is no class {number}", place()))
                        .help(format!("there are {classes} classes{from}: {}", first_few(&index.classes)))
                })
            };
            let found = match &row.answer {
                None => {
                    counts.silent += 1;
                    continue;
                }
                Some(VoteAnswer::Number(number)) => {
                    let class = u16::try_from(*number).ok().filter(|class| usize::from(*class) < classes);
                    Match::Named(numbered(*number, class)?)
                }
                Some(VoteAnswer::Numeral(number)) => {
                    let class = u64::try_from(*number).ok().and_then(|number| vocabulary.numeral(number));
                    Match::Named(numbered(*number, class)?)
                }
                Some(VoteAnswer::Text(answer)) => {
                    let found = read.entry(answer).or_insert_with(|| vocabulary.find(answer));
                    // A class may be called "none" or "N/A"; otherwise it is what is written for nothing.
                    if found.classes().is_empty() && rows::is_gap(answer) {
                        counts.silent += 1;
                        continue;
                    }
                    if found.classes().is_empty() {
                        counts.add(found);
                        *unmatched.entry((&row.annotator, answer, found.reason())).or_default() += 1;
                        continue;
                    }
                    found.clone()
                }
            };
            if row.confidence < self.min_confidence {
                counts.unsure += 1;
                most_sure = most_sure.max(row.confidence);
                continue;
            }
            counts.add(&found);
            let named = found.classes();
            votes[image * width + annotator] = named.first().copied();
            confidences[image * width + annotator] = row.confidence;
            let others = named.iter().skip(1);
            further.extend(others.map(|&class| Further { row: image, annotator: *annotator, class }));
        }
        let mut unmatched: Vec<Unmatched> = (unmatched.into_iter())
            .map(|((annotator, answer, reason), images)| Unmatched {
                annotator: annotator.to_owned(),
                answer: answer.to_owned(),
                reason: reason.to_owned(),
                images,
            })
            .collect();
        unmatched.sort_by_key(|answer| std::cmp::Reverse(answer.images));
        context.progress().note(counts.to_words(&annotators, &unmatched));
        if votes.iter().all(Option::is_none) {
            return Err(self.no_vote(&counts, &unmatched, most_sure, &index.classes));
        }
        further.sort_unstable();
        let mut votes = Votes {
            ids: index.ids.clone(),
            splits: index.splits.clone(),
            votes,
            mean_probs: Vec::new(),
            further,
            unmatched,
            names: Names { annotators, classes: index.classes.clone() },
        };
        votes.mean_probs = (confidences.chunks(width).enumerate())
            .flat_map(|(row, confidences)| mean(&votes, row, confidences))
            .collect();
        Ok(votes)
    }

    /// Why no answer is a vote.
    fn no_vote(
        &self,
        counts: &AnswerCounts,
        unmatched: &[Unmatched],
        most_sure: f64,
        classes: &[String],
    ) -> Error {
        let classes = first_few(classes);
        if !unmatched.is_empty() {
            return Error::new("no answer is a vote").because(first_few(distinct(unmatched))).help(format!(
                "the classes are {classes}; say with votes.aliases=FILE what else they are called, a line each: \
                 `class: word | another`"
            ));
        }
        if counts.silent == counts.all() {
            return Error::new("there is no vote: every class is empty")
                .help(format!("write into the column of classes what was answered: one of {classes}"));
        }
        let least = self.min_confidence;
        Error::new(format!(
            "no answer is sure enough: votes.min_confidence = {least}, and the highest confidence is {most_sure}"
        ))
        .help(format!("set votes.min_confidence={most_sure} or lower"))
    }
}

/// Who votes in a table of votes that does not say who, by the table's name; none where it does, or cannot be read.
pub fn lone_annotator(file: &Path) -> Option<String> {
    rows::lone_annotator(file)
}

/// Words for classes, by class name.
pub type Aliases = BTreeMap<String, Vec<String>>;

/// The aliases in a file with a class a line, `class: word | another`, and what is to be said of how it was read; none
/// of an empty name.
///
/// # Errors
/// A file that cannot be read or understood: names the line. An alias of an unknown class or of two.
pub fn aliases(file: &str, of: &Classes) -> Result<(Aliases, Vec<String>)> {
    if file.is_empty() {
        return Ok((BTreeMap::new(), Vec::new()));
    }
    let wrong = || {
        Error::new("cannot use the aliases").at(file).help("write a class a line: `class: word | another`")
    };
    let classes::ClassList { classes: list, notes, .. } = classes::aliases(Path::new(file)).or_fail(wrong)?;
    refuse_shared(&list, of).map_err(|error| error.at(file))?;
    let words = |text: &String| wordings(text).map(str::to_owned).collect();
    let aliases = list.names.into_iter().zip(list.texts.iter().map(words)).collect();
    Vocabulary::new(&of.names, &of.texts, &aliases).map_err(|error| error.at(file))?;
    Ok((aliases, notes))
}

/// Refuses an alias of two classes, in the order of the file.
fn refuse_shared(list: &Classes, of: &Classes) -> Result<()> {
    let classes = NameIndex::new(&of.names);
    let mut meant: HashMap<String, &String> = HashMap::new();
    for (name, text) in list.names.iter().zip(&list.texts) {
        for word in wordings(text).map(str::trim) {
            let before = meant.insert(normalised(word), name);
            if let Some(before) = before.filter(|before| classes.find(before) != classes.find(name)) {
                let what = format!("`{word}` is an alias of two classes, `{before}` and `{name}`");
                return Err(Error::new(what).help("leave it out of the aliases of one of them"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
