//! What of a run should make one look twice, and what to try: classes that vanish, a division that divides nothing, test
//! images that were trained on, labels of one class, a student that is no better than its annotators.
//!
//! It needs no truth, and uses what there is.

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
use crate::learn::metrics::{accuracy, share};

/// The stage; it has no settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspect {}

impl Stage for Inspect {
    type Inputs = (Images, Labels, Trained, Evaluation);
    type Output = Findings;
    const NAME: &'static str = "findings";
    const VERSION: u32 = 1;

    fn run(
        &self,
        (images, labels, trained, evaluation): (Arc<Images>, Arc<Labels>, Arc<Trained>, Arc<Evaluation>),
        context: &Context,
    ) -> Result<Findings> {
        let mut all = Vec::new();
        all.extend(one_class(&labels));
        all.extend(vanished(&labels, &evaluation));
        all.extend(division(&trained));
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

/// Labels that are all of one class.
fn one_class(labels: &Labels) -> Option<Finding> {
    let train = || (0..labels.ids.len()).filter(|&row| labels.splits[row] == Split::Train);
    let first = train().find_map(|row| labels.single[row])?;
    let mut voted = train().filter_map(|row| labels.single[row]);
    voted.all(|class| class == first).then(|| {
        let name = &labels.names.classes[usize::from(first)];
        finding(
            "one_class",
            format!("every training image is most likely `{name}`, as the labels have it: there is nothing to tell apart"),
            "look at the class texts (CLASSES=file): one of them may fit all images; give texts that say what tells the classes apart",
        )
    })
}

/// Classes that the annotators name and the student hardly ever does.
fn vanished(labels: &Labels, evaluation: &Evaluation) -> Vec<Finding> {
    /// A class is missed where the annotators give it so many of the test images, …
    const NAMED: f64 = 0.01;
    /// … and the student less than this part of it.
    const LEFT: f64 = 0.1;
    let classes = labels.names.classes.len();
    let test: Vec<usize> = (0..labels.ids.len()).filter(|&row| labels.splits[row] == Split::Test).collect();
    let mut believed = vec![0.0; classes];
    for &row in &test {
        for (&class, &weight) in labels.candidates[row].iter().zip(&labels.weights[row]) {
            believed[usize::from(class)] += f64::from(weight) / test.len() as f64;
        }
    }
    let mut given = vec![0.0; classes];
    evaluation.predictions.iter().for_each(|&class| given[usize::from(class)] += 1.0);
    let images = evaluation.predictions.len().max(1) as f64;
    (0..classes)
        .filter(|&class| believed[class] >= NAMED && given[class] / images < LEFT * believed[class])
        .map(|class| {
            finding(
                "vanished_class",
                format!(
                    "the student says `{}` of {} of {images} test images, where the labels give it {}",
                    labels.names.classes[class],
                    given[class],
                    percent(believed[class])
                ),
                "SET=\"label.refine=prior\", another wording of the class, or other templates (SET=\"annotate.prompts=…\")",
            )
        })
        .collect()
}

/// A division that believes all candidates, or hardly any.
fn division(trained: &Trained) -> Option<Finding> {
    const ALL: f64 = 0.995;
    const NONE: f64 = 0.05;
    let partial = trained.history.mean("size_partial")?;
    let all = partial + trained.history.mean("size_unlabeled")?;
    let what = format!("in the end {partial:.0} of {all:.0} training images are in 𝒫");
    match partial / all {
        share if share >= ALL => Some(finding(
            "division",
            format!("{what}: wrong candidates are believed like right ones"),
            "a longer training (BUDGET=large), or fewer candidates (SET=\"label.min_votes=2\")",
        )),
        share if share <= NONE => Some(finding(
            "division",
            format!("{what}: hardly any label is believed"),
            "a lower bar (SET=\"co-reg.divide.threshold=0.3\"), or more candidates (more templates, label.rule=top-k)",
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

/// A student that does not beat the labels it learned from, where the truth is known.
fn no_gain(labels: &Labels, evaluation: &Evaluation) -> Option<Finding> {
    let student = evaluation.get("accuracy")?;
    let test: Vec<usize> = (0..labels.ids.len()).filter(|&row| labels.splits[row] == Split::Test).collect();
    let of = |row: &usize| labels.single[*row].map(u32::from);
    let truth: Vec<Option<u32>> =
        test.iter().filter(|row| of(row).is_some()).map(|&row| labels.truth[row].map(|t| t as u32)).collect();
    let annotators = accuracy(test.iter().filter_map(of), &truth)?;
    (student <= annotators).then(|| {
        finding(
            "no_gain",
            format!(
                "the student is right in {}, the labels' most likely class in {}: it is no better than its annotators",
                percent(student),
                percent(annotators)
            ),
            "a longer training (BUDGET=large), more images, or other candidates (label.rule, label.min_votes); see statistics/rules.parquet",
        )
    })
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
