//! What of a run should make one look twice, and what to try: classes that vanish, a division that divides nothing, test
//! images that were trained on, labels of one class, a student that is no better than its annotators.
//!
//! It needs no truth, and uses what there is. Who annotated it does not know: its advice is for any.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use pipeline::error::Result;
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};

use super::twins::{self, Twins};
use crate::artifacts::annotation::Labels;
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::findings::{Finding, Findings};
use crate::artifacts::images::{Images, Split};
use crate::artifacts::training::Trained;
use crate::learn::chance::{at_most, mcnemar};
use crate::learn::metrics::share;

/// The stage; it has no settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspect {}

impl Stage for Inspect {
    type Inputs = (Images, Labels, Trained, Evaluation);
    type Output = Findings;
    const NAME: &'static str = "findings";
    // 2: what chance explains is no finding, and many classes that vanish are one.
    const VERSION: u32 = 2;

    fn run(
        &self,
        (images, labels, trained, evaluation): (Arc<Images>, Arc<Labels>, Arc<Trained>, Arc<Evaluation>),
        context: &Context,
    ) -> Result<Findings> {
        let mut all = Vec::new();
        all.extend(one_class(&labels));
        all.extend(vanished(&labels, &evaluation));
        all.extend(division(&labels, &trained));
        all.extend(disagreement(&evaluation));
        all.extend(no_gain(&labels, &evaluation));
        all.extend(trained_on(&twins::find(&images, context)?, &images));
        Ok(Findings(all))
    }
}

fn finding(kind: &str, what: String, advice: &str) -> Finding {
    Finding { kind: kind.to_owned(), what, advice: advice.to_owned() }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Labels that are all of one class, but for what humans say.
fn one_class(labels: &Labels) -> Option<Finding> {
    let is_asked = |row: &usize| labels.splits[*row] == Split::Train && !labels.human[*row];
    let train = || (0..labels.ids.len()).filter(is_asked);
    let first = train().find_map(|row| labels.single[row])?;
    let mut voted = train().filter_map(|row| labels.single[row]);
    voted.all(|class| class == first).then(|| {
        let name = &labels.names.classes[usize::from(first)];
        finding(
            "one_class",
            format!("every training image is most likely `{name}`, as the labels have it: there is nothing to tell apart"),
            "look at what the annotators were told and what they said: of a CLIP one of the class texts (CLASSES=file) may fit all images, where they should say what tells the classes apart",
        )
    })
}

/// What helps a class whose images are taken for others.
const NAME_IT_MORE: &str = "a longer training (BUDGET=large), or labels that tell the class better from those that its images are taken for: other words for it, or other annotators; where votes make the labels, SET=\"label.refine=prior\"";

/// Classes that the annotators name and the student hardly ever does.
fn vanished(labels: &Labels, evaluation: &Evaluation) -> Vec<Finding> {
    /// A class is missed of which the labels let so many test images be expected, …
    const EXPECTED: f64 = 10.0;
    /// … of which the student finds less than this part, …
    const LEFT: f64 = 0.25;
    /// … where so few would be found by chance no more often than this.
    const CHANCE: f64 = 1e-3;
    /// So many classes are told one by one; of more, as many are named in one finding.
    const NAMED: usize = 3;
    let classes = labels.names.classes.len();
    let test: Vec<usize> = (0..labels.ids.len()).filter(|&row| labels.splits[row] == Split::Test).collect();
    let mut believed = vec![0.0; classes];
    for &row in &test {
        for (&class, &weight) in labels.candidates[row].iter().zip(&labels.weights[row]) {
            believed[usize::from(class)] += f64::from(weight);
        }
    }
    let mut given = vec![0usize; classes];
    evaluation.predictions.iter().for_each(|&class| given[usize::from(class)] += 1);
    let images = evaluation.predictions.len();
    let expected = |class: usize| believed[class] * images as f64 / test.len() as f64;
    let share = |class: usize| believed[class] / test.len() as f64;
    let is_missed = |&class: &usize| {
        expected(class) >= EXPECTED
            && (given[class] as f64) < LEFT * expected(class)
            && at_most(given[class], images, share(class)) < CHANCE
    };
    let missed: Vec<usize> = (0..classes).filter(is_missed).collect();
    let name = |class: usize| format!("`{}`", labels.names.classes[class]);
    if missed.len() > NAMED {
        let some = missed.iter().take(NAMED).map(|&class| {
            format!(
                "{} ({} where the labels let {:.0} be expected)",
                name(class),
                given[class],
                expected(class)
            )
        });
        let what = format!(
            "the student hardly ever says {} of the {classes} classes in {images} test images: {}, …",
            missed.len(),
            some.collect::<Vec<_>>().join(", ")
        );
        return vec![finding("vanished_class", what, NAME_IT_MORE)];
    }
    let one = |class: usize| {
        let what = format!(
            "the student says {} of {} of {images} test images, where the labels give it {}",
            name(class),
            given[class],
            percent(share(class))
        );
        finding("vanished_class", what, NAME_IT_MORE)
    };
    missed.into_iter().map(one).collect()
}

/// A division that believes all candidates, or hardly any. Whatever a human labelled is believed, and left out here.
fn division(labels: &Labels, trained: &Trained) -> Option<Finding> {
    const ALL: f64 = 0.995;
    const NONE: f64 = 0.05;
    let human = labels.human.iter().filter(|human| **human).count() as f64;
    let partial = (trained.history.mean("size_partial")? - human).max(0.0);
    let all = partial + trained.history.mean("size_unlabeled")?;
    let images = if human > 0.0 { "training images without a human label" } else { "training images" };
    let what = format!("in the end {partial:.0} of {all:.0} {images} are in 𝒫");
    match partial / all {
        share if share >= ALL => Some(finding(
            "division",
            format!("{what}: wrong candidates are believed like right ones"),
            "a longer training (BUDGET=large), or fewer candidates (where votes make them, SET=\"label.min_votes=2\")",
        )),
        share if share <= NONE => Some(finding(
            "division",
            format!("{what}: hardly any label is believed"),
            "a lower bar (SET=\"co-reg.divide.threshold=0.3\", or divide-mix.threshold), or more candidates (where votes make them, more annotators or templates, or label.rule=top-k)",
        )),
        _ => None,
    }
}

/// Networks that do not agree.
fn disagreement(evaluation: &Evaluation) -> Option<Finding> {
    const LEAST: f64 = 0.8;
    let agreement = evaluation.get("agreement").filter(|&agreement| agreement < LEAST)?;
    Some(finding(
        "disagreement",
        format!("the two networks agree on {} of the test images only", percent(agreement)),
        "a longer training (BUDGET=large), or more images",
    ))
}

/// A student that is right less often than the labels that it learned from, on the test images whose truth is known.
fn no_gain(labels: &Labels, evaluation: &Evaluation) -> Option<Finding> {
    /// A difference that comes about by chance more often than this says nothing.
    const CHANCE: f64 = 0.05;
    let said = evaluation.ids.iter().map(String::as_str).zip(evaluation.predictions.iter().copied());
    let said: HashMap<&str, u16> = said.collect();
    let right = |row: usize| {
        let (truth, single) = (labels.truth[row]?, labels.single[row]?);
        let &student = said.get(labels.ids[row].as_str())?;
        Some((i32::from(student) == truth, i32::from(single) == truth))
    };
    let test = (0..labels.ids.len()).filter(|&row| labels.splits[row] == Split::Test);
    let right: Vec<(bool, bool)> = test.filter_map(right).collect();
    let only = |which: (bool, bool)| right.iter().filter(|&&both| both == which).count();
    let (student, annotators) = (only((true, false)), only((false, true)));
    if student >= annotators {
        return None;
    }
    let verdict = match mcnemar(student, annotators) > CHANCE {
        true => "it is no better than its annotators, and worse by no more than chance allows",
        false => "it is worse than its annotators",
    };
    let what = format!(
        "the student is right in {}, the labels' most likely class in {}: {verdict}",
        percent(share(right.iter().map(|both| both.0))?),
        percent(share(right.iter().map(|both| both.1))?)
    );
    Some(finding(
        "no_gain",
        what,
        "a longer training (BUDGET=large), more images, or other candidates; where votes make them, statistics/rules.parquet says what other rules give (label.rule, label.min_votes)",
    ))
}

/// Test images that are among the training images.
fn trained_on(twins: &Twins, images: &Images) -> Vec<Finding> {
    let tests = images.index.of(Split::Test).len();
    let mut found = Vec::new();
    let mut add = |kind: &str, pairs: &[(usize, usize)], how: &str| {
        let Some(&(test, train)) = pairs.first() else { return };
        let of = share((0..twins.looked_at).map(|place| place < pairs.len())).unwrap_or(0.0);
        let looked = if twins.looked_at < tests {
            format!(" of the {} looked at", twins.looked_at)
        } else {
            String::new()
        };
        found.push(finding(
            kind,
            format!(
                "{} test images{looked} ({}) {how}, such as `{}` and `{}`: test figures are too good by that",
                pairs.len(),
                percent(of),
                images.index.ids[test],
                images.index.ids[train]
            ),
            "take copies out, or keep each scene in one split (folders `train` and `test`)",
        ));
    };
    add("equal_images", &twins.equal, "are training images, too");
    add("similar_images", &twins.similar, "look almost like a training image");
    found
}
