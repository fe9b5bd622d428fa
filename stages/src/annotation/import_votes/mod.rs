//! Votes that other models or people gave, from a Parquet file.
//!
//! The file has a row an image and annotator: `id` (as in `download/images.parquet`), `annotator`, `class` (a number
//! from 0, or words), and perhaps `confidence`. Words are matched to classes by `answers`; what matches none is
//! kept and counted. It knows nothing of CLIP.

mod answers;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Machine, Reads, Stage, key_without};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifacts::annotation::{Names, Unmatched, Votes};
use crate::artifacts::images::{Images, Index, Split};
use crate::dataset::catalog::{Classes, wordings};
use crate::dataset::first_few;
use crate::dataset::user_images::classes;
use answers::{Match, Vocabulary};
use rows::{VoteAnswer, VoteRow};

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportVotes {
    /// The file; its content counts, not its place.
    pub file: PathBuf,
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
    const VERSION: u32 = 1;

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
        let rows = rows::read(&self.file)?;
        context.safe_point()?;
        self.count(&rows, &images.index, context).map_err(|error| error.at(&self.file))
    }
}

/// How many answers were matched to a class in which way, and how many were not.
#[derive(Default)]
struct AnswerCounts {
    named: usize,
    within: usize,
    alias: usize,
    nothing: usize,
    several: usize,
    unsure: usize,
    silent: usize,
}

impl ImportVotes {
    /// Turns rows into votes.
    fn count(&self, rows: &[VoteRow], index: &Index, context: &Context) -> Result<Votes> {
        self.check_ids(rows, index, context)?;
        let vocabulary = Vocabulary::new(&index.classes, &self.class_texts, &self.aliases)?;
        let annotators: Vec<String> =
            rows.iter().map(|row| &row.annotator).collect::<BTreeSet<_>>().into_iter().cloned().collect();
        if annotators.is_empty() {
            return Err(Error::new("there is no vote").help("write a row an image and annotator"));
        }
        let place = |list: &[String]| -> HashMap<String, usize> {
            list.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect()
        };
        let (row_of, annotator_of) = (place(&index.ids), place(&annotators));
        let (width, classes) = (annotators.len(), index.classes.len());
        let mut votes = vec![None; index.ids.len() * width];
        let mut confidences = vec![0.0f64; votes.len()];
        let mut counts = AnswerCounts::default();
        let mut unmatched: BTreeMap<(&str, &str, &'static str), u64> = BTreeMap::new();
        let mut read: HashMap<&str, Match> = HashMap::new();
        for (number, row) in rows.iter().enumerate() {
            let (Some(image), Some(annotator)) = (row_of.get(&row.id), annotator_of.get(&row.annotator))
            else {
                continue;
            };
            if !(0.0..=1.0).contains(&row.confidence) {
                return Err(Error::new(format!(
                    "row {number}: the confidence {} is no share",
                    row.confidence
                ))
                .help("a confidence lies between 0 and 1"));
            }
            let class = match &row.answer {
                None => {
                    counts.silent += 1;
                    continue;
                }
                Some(VoteAnswer::Number(class)) => {
                    let known = u16::try_from(*class).ok().filter(|class| usize::from(*class) < classes);
                    counts.named += 1;
                    known.ok_or_else(|| {
                        Error::new(format!("row {number}: there is no class {class}")).help(format!(
                            "there are {classes} classes, from 0: {}",
                            first_few(&index.classes)
                        ))
                    })?
                }
                Some(VoteAnswer::Text(answer)) => {
                    let found = *read.entry(answer).or_insert_with(|| vocabulary.find(answer));
                    let (count, reason) = match found {
                        Match::Named(_) => (&mut counts.named, ""),
                        Match::Alias(_) => (&mut counts.alias, ""),
                        Match::Within(_) => (&mut counts.within, ""),
                        Match::Nothing => (&mut counts.nothing, "no class"),
                        Match::Several => (&mut counts.several, "several classes"),
                    };
                    *count += 1;
                    let Some(class) = found.class() else {
                        *unmatched.entry((&row.annotator, answer, reason)).or_default() += 1;
                        continue;
                    };
                    class
                }
            };
            if row.confidence < self.min_confidence {
                counts.unsure += 1;
                continue;
            }
            votes[image * width + annotator] = Some(class);
            confidences[image * width + annotator] = row.confidence;
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
            return Err(Error::new("no answer is a vote").because(first_few(distinct(&unmatched))).help(
                format!(
                    "the classes are {}; say with votes.aliases=FILE what else they are called, a line each: \
                     `class: word | another`",
                    first_few(&index.classes)
                ),
            ));
        }
        let mean_probs = (votes.chunks(width).zip(confidences.chunks(width)))
            .flat_map(|(votes, confidences)| mean(votes, confidences, classes))
            .collect();
        Ok(Votes {
            ids: index.ids.clone(),
            splits: index.splits.clone(),
            votes,
            mean_probs,
            unmatched,
            names: Names { annotators, classes: index.classes.clone() },
        })
    }

    /// Checks that every row is on an image, that no annotator has two rows on one, and that every training image has
    /// a row.
    fn check_ids(&self, rows: &[VoteRow], index: &Index, context: &Context) -> Result<()> {
        let known: HashSet<&str> = index.ids.iter().map(String::as_str).collect();
        let (mut seen, mut voted_on) = (HashSet::new(), HashSet::new());
        let (mut unknown, mut doubled) = (Vec::new(), Vec::new());
        for row in rows {
            if !known.contains(row.id.as_str()) {
                unknown.push(&row.id);
            } else if !seen.insert((&row.id, &row.annotator)) {
                doubled.push(format!("{} by {}", row.id, row.annotator));
            }
            voted_on.insert(row.id.as_str());
        }
        if !doubled.is_empty() {
            return Err(Error::new(format!(
                "{} votes are there twice: {}",
                doubled.len(),
                first_few(&doubled)
            ))
            .help("an annotator has one row an image: give the second one another name"));
        }
        if !unknown.is_empty() && !self.surplus {
            let (count, of) = (unknown.len(), first_few(&index.ids));
            return Err(Error::new(format!("{count} votes are on ids that no image has: {}", first_few(unknown)))
                .help(format!("ids are those of download/images.parquet, such as {of}; votes.surplus=true passes over others")));
        }
        let without = |split: Split| -> Vec<&String> {
            let rows = index.of(split).into_iter().map(|row| &index.ids[row]);
            rows.filter(|id| !voted_on.contains(id.as_str())).collect()
        };
        let (train, test) = (without(Split::Train), without(Split::Test));
        if !train.is_empty() && !self.incomplete {
            let error =
                Error::new(format!("{} training images have no row: {}", train.len(), first_few(&train)));
            return Err(error.help(
                "write a row for each, with a null class where there is no answer; votes.incomplete=true goes on without",
            ));
        }
        for (ids, what) in [(train, "training"), (test, "test")] {
            if !ids.is_empty() {
                context.progress().note(format!(
                    "{} {what} images have no vote: {}",
                    ids.len(),
                    first_few(&ids)
                ));
            }
        }
        Ok(())
    }
}

impl AnswerCounts {
    fn to_words(&self, annotators: &[String], unmatched: &[Unmatched]) -> String {
        let Self { named, within, alias, nothing, several, unsure, silent } = *self;
        let all = named + within + alias + nothing + several + silent;
        let mut words = format!("{all} answers of {}: {named} are a class", first_few(annotators));
        for (count, what) in [
            (within, "hold the words of one class"),
            (alias, "are or hold an alias"),
            (nothing, "hold no class"),
            (several, "hold several classes"),
            (silent, "are empty"),
            (unsure, "are not sure enough"),
        ] {
            if count > 0 {
                words += &format!(", {count} {what}");
            }
        }
        if !unmatched.is_empty() {
            let answers = first_few(distinct(unmatched));
            words += &format!("; not understood, see unmatched.parquet: {answers}");
        }
        words
    }
}

/// The answers, each once.
fn distinct(unmatched: &[Unmatched]) -> Vec<&String> {
    let mut seen = HashSet::new();
    unmatched.iter().map(|answer| &answer.answer).filter(|answer| seen.insert(*answer)).collect()
}

/// Mean class probabilities over the annotators who voted. A vote gives its class its confidence; the other classes
/// share the rest equally. Without votes all classes are equally probable.
fn mean(votes: &[Option<u16>], confidences: &[f64], classes: usize) -> Vec<f32> {
    let mut sum = vec![0.0f64; classes];
    let mut count = 0.0;
    for (vote, confidences) in votes.iter().zip(confidences) {
        let Some(vote) = *vote else { continue };
        let rest = (1.0 - confidences) / (classes - 1).max(1) as f64;
        let chosen = usize::from(vote);
        sum.iter_mut()
            .enumerate()
            .for_each(|(class, p)| *p += if class == chosen { *confidences } else { rest });
        count += 1.0;
    }
    let mean = |p: f64| if count > 0.0 { p / count } else { 1.0 / classes as f64 };
    sum.into_iter().map(|p| mean(p) as f32).collect()
}

/// The aliases in a file with a class a line, `class: word | another`; none of an empty name.
///
/// # Errors
/// A file that cannot be read or understood: names the line. An alias of an unknown class or of two.
pub fn aliases(file: &str, of: &Classes) -> Result<BTreeMap<String, Vec<String>>> {
    if file.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wrong = || {
        Error::new("cannot use the aliases").at(file).help("write a class a line: `class: word | another`")
    };
    let list = classes::read(Path::new(file)).or_fail(wrong)?;
    let words = |text: &String| wordings(text).map(str::to_owned).collect();
    let aliases = list.names.into_iter().zip(list.texts.iter().map(words)).collect();
    Vocabulary::new(&of.names, &of.texts, &aliases).map_err(|error| error.at(file))?;
    Ok(aliases)
}

#[cfg(test)]
mod tests;
