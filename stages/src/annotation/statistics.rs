//! How good the annotation is (method §2). What needs the truth is left out where there is none.

use std::sync::Arc;

use pipeline::error::Result;
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};

use super::candidates::{Label, Rule};
use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Split;
use crate::artifacts::statistics::{
    AnnotatorStatistics, ClassStatistics, Metric, RuleStatistics, SOFT_MEAN, Statistics,
};
use crate::learn::metrics::{macro_recall, share};

/// The stage, for labels that come from votes; it has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summarise {}

/// The stage, for labels without votes: what is said of votes and probabilities is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SummariseLabels {}

impl Stage for Summarise {
    type Inputs = (Votes, Labels);
    type Output = Statistics;
    const NAME: &'static str = "statistics";
    // 4: what the labels hold the most likely class is told apart from what the votes do.
    // 5: an image counts once among those to which an annotator adds candidates, however many it adds.
    // 6: images that a human labelled are counted apart.
    const VERSION: u32 = 6;

    fn run(&self, (votes, labels): (Arc<Votes>, Arc<Labels>), context: &Context) -> Result<Statistics> {
        Ok(of_both_splits(&labels, Some(&votes), context))
    }
}

impl Stage for SummariseLabels {
    type Inputs = (Labels,);
    type Output = Statistics;
    const NAME: &'static str = "label-statistics";
    const VERSION: u32 = Summarise::VERSION;

    fn run(&self, (labels,): (Arc<Labels>,), context: &Context) -> Result<Statistics> {
        Ok(of_both_splits(&labels, None, context))
    }
}

fn of_both_splits(labels: &Labels, votes: Option<&Votes>, context: &Context) -> Statistics {
    let mut all = Statistics::default();
    for split in Split::ALL {
        let rows: Vec<usize> = (0..labels.ids.len()).filter(|&i| labels.splits[i] == split).collect();
        if !rows.is_empty() {
            summarise(split, &rows, labels, votes, &mut all);
        }
    }
    if labels.truth.iter().all(Option::is_none) {
        context.progress().note("no true labels: eta and accuracies are left out");
    }
    all
}

fn summarise(split: Split, images: &[usize], labels: &Labels, votes: Option<&Votes>, all: &mut Statistics) {
    let truth = |row: usize| labels.truth[row];
    // A label of a human says nothing of annotators: but for numbers of images, all is measured on the other images.
    let (human, rows): (Vec<usize>, Vec<usize>) = images.iter().partition(|&&row| labels.human[row]);
    let rows = &rows[..];
    // Of an image without the vote, or without the truth, nothing can be said.
    let right = |of: &dyn Fn(usize) -> Option<u16>| {
        share(rows.iter().filter_map(|&row| Some(truth(row)? == i32::from(of(row)?))))
    };
    let recall = |of: &dyn Fn(usize) -> Option<u16>| {
        let known = rows.iter().filter_map(|&row| Some((of(row)?, truth(row)?)));
        let (given, known): (Vec<u32>, Vec<Option<u32>>) =
            known.map(|(given, truth)| (u32::from(given), u32::try_from(truth).ok())).unzip();
        macro_recall(&given, &known, labels.names.classes.len())
    };
    let outside = |row: usize| truth(row).map(|t| !labels.candidates[row].iter().any(|&c| i32::from(c) == t));
    // Where nobody voted every class is a candidate: that says nothing of those who vote.
    let voted: Vec<usize> = rows.iter().copied().filter(|&row| labels.single[row].is_some()).collect();
    let sizes = || voted.iter().map(|&row| labels.candidates[row].len() as f64);
    let share_voted = (!rows.is_empty()).then(|| voted.len() as f64 / rows.len() as f64);

    let metrics = [
        ("images", Some(images.len() as f64)),
        ("labelled", Some(images.iter().filter(|&&row| truth(row).is_some()).count() as f64)),
        ("human_labels", (!human.is_empty()).then_some(human.len() as f64)),
        ("voted", votes.and(share_voted)),
        ("avg_candidates", (!voted.is_empty()).then(|| sizes().sum::<f64>() / voted.len() as f64)),
        ("max_candidates", sizes().reduce(f64::max)),
        ("eta", share(voted.iter().filter_map(|&row| outside(row)))),
        ("zero_shot", votes.and_then(|votes| right(&|row| votes.on(row)[0]))),
        ("zero_shot_mean", votes.and_then(|votes| right(&|row| votes.most_probable(row)))),
        ("macro_recall_mean", votes.and_then(|votes| recall(&|row| votes.most_probable(row)))),
        ("label_single", right(&|row| labels.single[row])),
    ];
    let metric =
        |(name, value): (&str, Option<f64>)| Some(Metric { name: name.to_owned(), split, value: value? });
    all.summary.extend(metrics.into_iter().filter_map(metric));
    if let Some(votes) = votes.filter(|_| !rows.is_empty()) {
        all.annotators.extend(by_annotator(split, rows, &voted, labels, votes));
        if !voted.is_empty() {
            all.rules.extend(compare_rules(split, &voted, labels, votes));
        }
    }

    let known = images.iter().any(|&row| truth(row).is_some());
    all.classes.extend(labels.names.classes.iter().enumerate().map(|(class, name)| {
        let is_of_class = |row: &usize| truth(*row) == Some(class as i32);
        let of_class: Vec<usize> = rows.iter().copied().filter(is_of_class).collect();
        let count = |of: &dyn Fn(usize) -> bool| voted.iter().filter(|&&row| of(row)).count() as u64;
        let voted_of_class = || of_class.iter().filter(|&&row| labels.single[row].is_some());
        ClassStatistics {
            class: name.clone(),
            split,
            images: known.then(|| images.iter().filter(|&row| is_of_class(row)).count() as f64),
            candidate_in: count(&|row| labels.candidates[row].iter().any(|&c| usize::from(c) == class)),
            single_label_of: count(&|row| labels.single[row].map(usize::from) == Some(class)),
            eta: share(voted_of_class().filter_map(|&row| outside(row))),
            zero_shot_mean: votes.and_then(|_| {
                let said = |row: usize| votes.and_then(|votes| votes.most_probable(row));
                share(of_class.iter().filter_map(|&row| Some(usize::from(said(row)?) == class)))
            }),
            prior: votes.filter(|_| !voted.is_empty()).map(|votes| {
                let probs = voted.iter().map(|&row| f64::from(votes.probs(row)[class]));
                probs.sum::<f64>() / voted.len() as f64
            }),
        }
    }));
}

/// What each annotator adds to the others.
fn by_annotator(
    split: Split,
    rows: &[usize],
    voted: &[usize],
    labels: &Labels,
    votes: &Votes,
) -> Vec<AnnotatorStatistics> {
    /// Numbers of images on which an annotator's vote has a property. Who names several classes agrees, and is right,
    /// by the share of them that does: it is how often a choice among them would be.
    #[derive(Clone, Default)]
    struct AnnotatorCounts {
        voted: u64,
        agrees: f64,
        known: u64,
        right: f64,
        alone: u64,
        alone_right: u64,
    }
    let mut counts = vec![AnnotatorCounts::default(); votes.names.annotators.len()];
    let mut votes_for = vec![0u32; votes.names.classes.len()];
    for &row in voted {
        let named = votes.named_on(row);
        let given = || named.iter().copied().flatten().map(usize::from);
        given().for_each(|class| votes_for[class] += 1);
        let further = votes.further_on(row);
        for (annotator, (counted, vote)) in counts.iter_mut().zip(votes.on(row)).enumerate() {
            let Some(vote) = *vote else { continue };
            let others = || further.iter().filter(|further| further.annotator == annotator);
            let classes = || std::iter::once(vote).chain(others().map(|further| further.class));
            let share = 1.0 / classes().count() as f64;
            counted.voted += 1;
            counted.known += u64::from(labels.truth[row].is_some());
            let alone = |class: u16| votes_for[usize::from(class)] == 1;
            counted.alone += u64::from(classes().any(alone));
            for class in classes() {
                let right = labels.truth[row] == Some(i32::from(class));
                counted.agrees += if labels.single[row] == Some(class) { share } else { 0.0 };
                counted.right += if right { share } else { 0.0 };
                counted.alone_right += u64::from(right && alone(class));
            }
        }
        given().for_each(|class| votes_for[class] = 0);
    }
    let known = voted.iter().filter(|&&row| labels.truth[row].is_some()).count() as u64;
    let of = |part: f64, whole: u64| (whole > 0).then(|| part / whole as f64);
    let annotator = |(template, counted): (&String, AnnotatorCounts)| AnnotatorStatistics {
        template: template.clone(),
        split,
        accuracy: of(counted.right, counted.known),
        voted: counted.voted as f64 / rows.len() as f64,
        agreement: of(counted.agrees, counted.voted),
        candidates_added: of(counted.alone as f64, voted.len() as u64).unwrap_or(0.0),
        truths_added: of(counted.alone_right as f64, known),
    };
    votes.names.annotators.iter().zip(counts).map(annotator).collect()
}

/// What the candidates of these images would be under the rules that one may choose from (method §§1 and 2).
fn compare_rules<'a>(
    split: Split,
    rows: &'a [usize],
    labels: &'a Labels,
    votes: &'a Votes,
) -> impl Iterator<Item = RuleStatistics> + 'a {
    let (classes, annotators) = (votes.names.classes.len(), votes.names.annotators.len());
    let default = Label::default();
    let union = [1, 2, 3, 5, 9].map(|min_votes| {
        let name = format!("label.rule=union label.min_votes={min_votes}");
        (name, Label { min_votes, ..default.clone() })
    });
    let top = [2, 3, 5]
        .map(|k| (format!("label.rule=top-k label.k={k}"), Label { rule: Rule::TopK, k, ..default.clone() }));
    let ratio = [0.5, 0.2, 0.1].map(|ratio| {
        let name = format!("label.rule=ratio label.k=5 label.ratio={ratio}");
        (name, Label { rule: Rule::Ratio, k: 5, ratio, ..default.clone() })
    });
    let single = [("label.rule=single".to_owned(), Label { rule: Rule::Single, ..default.clone() })];
    // Fewer annotators than votes asked for, or fewer classes than k, make no rule of their own.
    let apply = move |label: &Label| {
        label.min_votes <= annotators.max(1) && (label.rule != Rule::TopK || label.k < classes)
    };
    let hard =
        union.into_iter().chain(top).chain(ratio).chain(single).filter(move |(_, label)| apply(label)).map(
            move |(rule, label)| {
                let candidates = |row: usize| label.candidates(&votes.named_on(row), votes.probs(row));
                let sets: Vec<(Option<i32>, Vec<u16>)> =
                    rows.iter().map(|&row| (labels.truth[row], candidates(row))).collect();
                let lacking = |(truth, set): &(Option<i32>, Vec<u16>)| {
                    truth.map(|truth| !set.iter().any(|&class| i32::from(class) == truth))
                };
                RuleStatistics {
                    rule,
                    split,
                    avg_candidates: sets.iter().map(|(_, set)| set.len() as f64).sum::<f64>()
                        / sets.len() as f64,
                    single: share(sets.iter().map(|(_, set)| set.len() == 1)).unwrap_or(0.0),
                    eta: share(sets.iter().filter_map(lacking)),
                }
            },
        );
    hard.chain(std::iter::once(soft_mean(split, rows, labels, votes)))
}

/// What the averaged probabilities are like as targets.
fn soft_mean(split: Split, rows: &[usize], labels: &Labels, votes: &Votes) -> RuleStatistics {
    let surprise = |p: &f32| if *p > 0.0 { -f64::from(*p) * f64::from(*p).ln() } else { 0.0 };
    let sizes: Vec<f64> =
        rows.iter().map(|&row| votes.probs(row).iter().map(surprise).sum::<f64>().exp()).collect();
    let lacking: Vec<f64> = (rows.iter())
        .filter_map(|&row| {
            let truth = usize::try_from(labels.truth[row]?).ok()?;
            votes.probs(row).get(truth).map(|&p| 1.0 - f64::from(p))
        })
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    RuleStatistics {
        rule: SOFT_MEAN.to_owned(),
        split,
        avg_candidates: mean(&sizes),
        single: share(sizes.iter().map(|&size| size < 1.5)).unwrap_or(0.0),
        eta: (!lacking.is_empty()).then(|| mean(&lacking)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::annotation::{Further, Names};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn what_an_annotator_adds_is_a_share_of_images_however_many_classes_it_names() {
        let further = |annotator, class| Further { row: 0, annotator, class };
        let votes = Votes {
            ids: names(&["both", "a alone"]),
            splits: vec![Split::Train; 2],
            // Of the first image `a` says 0, 1 and 2, `b` says 0; of the second `a` says 3, and `b` nothing.
            votes: vec![Some(0), Some(0), Some(3), None],
            further: vec![further(0, 1), further(0, 2)],
            mean_probs: vec![0.25; 8],
            unmatched: Vec::new(),
            names: Names { annotators: names(&["a", "b"]), classes: names(&["w", "x", "y", "z"]) },
        };
        let labels = Labels {
            ids: votes.ids.clone(),
            splits: votes.splits.clone(),
            candidates: vec![vec![0, 1, 2], vec![3]],
            weights: vec![vec![0.5, 0.25, 0.25], vec![1.0]],
            single: vec![Some(0), Some(3)],
            human: vec![false; 2],
            truth: vec![Some(2), Some(3)],
            names: Names { annotators: Vec::new(), classes: votes.names.classes.clone() },
        };
        let told = by_annotator(Split::Train, &[0, 1], &[0, 1], &labels, &votes);
        let added: Vec<(f64, Option<f64>)> =
            told.iter().map(|of| (of.candidates_added, of.truths_added)).collect();
        assert_eq!(added, [(1.0, Some(1.0)), (0.0, Some(0.0))]);
        // One of the three classes that `a` names is the true one, and one the likeliest.
        assert_eq!(told.first().map(|of| of.accuracy), Some(Some((1.0 / 3.0 + 1.0) / 2.0)));
    }

    /// Four images of class `x`, of which a human labelled the first `human`; the annotator takes all for `y`.
    fn of_humans(human: usize) -> Statistics {
        let classes = names(&["x", "y"]);
        let ids = names(&["1", "2", "3", "4"]);
        let votes = Votes {
            ids: ids.clone(),
            splits: vec![Split::Train; 4],
            votes: vec![Some(1); 4],
            mean_probs: [0.25, 0.75].repeat(4),
            names: Names { annotators: names(&["a"]), classes: classes.clone() },
            ..Votes::default()
        };
        let given = |row: usize| if row < human { 0 } else { 1 };
        let labels = Labels {
            ids,
            splits: votes.splits.clone(),
            candidates: (0..4).map(|row| vec![given(row)]).collect(),
            weights: vec![vec![1.0]; 4],
            single: (0..4).map(|row| Some(given(row))).collect(),
            human: (0..4).map(|row| row < human).collect(),
            truth: vec![Some(0); 4],
            names: Names { annotators: Vec::new(), classes },
        };
        of_both_splits(&labels, Some(&votes), &Context::for_test("nowhere"))
    }

    #[test]
    fn images_that_a_human_labelled_are_counted_and_not_measured() {
        let told = of_humans(1);
        let figure = |name: &str| told.get(name, Split::Train);
        assert_eq!(
            (figure("images"), figure("labelled"), figure("human_labels")),
            (Some(4.0), Some(4.0), Some(1.0))
        );
        // The human's label is right, and all others are wrong.
        assert_eq!(
            (figure("eta"), figure("label_single"), figure("zero_shot")),
            (Some(1.0), Some(0.0), Some(0.0))
        );
        assert_eq!((figure("voted"), figure("avg_candidates")), (Some(1.0), Some(1.0)));
        let x = told.classes.first().map(|of| (of.images, of.candidate_in, of.single_label_of));
        assert_eq!(x, Some((Some(4.0), 0, 0)));
        assert_eq!(of_humans(0).get("human_labels", Split::Train), None);
    }

    #[test]
    fn where_humans_labelled_everything_nobody_is_measured() {
        let told = of_humans(4);
        let figure = |name: &str| told.get(name, Split::Train);
        assert_eq!((figure("images"), figure("human_labels")), (Some(4.0), Some(4.0)));
        assert_eq!((figure("voted"), figure("eta"), figure("avg_candidates")), (None, None, None));
        assert!(told.annotators.is_empty() && told.rules.is_empty());
    }
}
