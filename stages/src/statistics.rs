//! How good the annotation is (method §2). What needs the truth is left out where there is none.

use std::sync::Arc;

use pipeline::error::Result;
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Split;
use crate::artifacts::statistics::{ClassStatistics, Metric, RuleStatistics, Statistics, TemplateAccuracy};
use crate::label::{Label, Rule};
use crate::training_set::share;

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
    const VERSION: u32 = 2;

    fn run(&self, (votes, labels): (Arc<Votes>, Arc<Labels>), context: &Context) -> Result<Statistics> {
        Ok(of_both_splits(&labels, Some(&votes), context))
    }
}

impl Stage for SummariseLabels {
    type Inputs = (Labels,);
    type Output = Statistics;
    const NAME: &'static str = Summarise::NAME;
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
            all.rules.extend(votes.into_iter().flat_map(|votes| compare_rules(split, &rows, labels, votes)));
        }
    }
    if labels.labels.iter().all(Option::is_none) {
        context.progress().note("no true labels: eta and accuracies are left out");
    }
    all
}

fn summarise(split: Split, rows: &[usize], labels: &Labels, votes: Option<&Votes>, all: &mut Statistics) {
    let templates = votes.map_or(&[][..], |votes| &votes.names.templates);
    let vote =
        |votes: &Votes, row: usize, template: usize| i32::from(votes.votes[row * templates.len() + template]);
    let truth = |row: usize| labels.labels[row];
    let right =
        |of: &dyn Fn(usize) -> i32| share(rows.iter().filter_map(|&row| truth(row).map(|t| t == of(row))));
    let outside = |row: usize| truth(row).map(|t| !labels.candidates[row].iter().any(|&c| i32::from(c) == t));
    let sizes = || rows.iter().map(|&row| labels.candidates[row].len() as f64);

    let metrics = [
        ("images", Some(rows.len() as f64)),
        ("labelled", Some(rows.iter().filter(|&&row| truth(row).is_some()).count() as f64)),
        ("avg_candidates", Some(sizes().sum::<f64>() / rows.len() as f64)),
        ("max_candidates", sizes().reduce(f64::max)),
        ("eta", share(rows.iter().filter_map(|&row| outside(row)))),
        ("zero_shot", votes.and_then(|votes| right(&|row| vote(votes, row, 0)))),
        ("zero_shot_mean", votes.and_then(|_| right(&|row| i32::from(labels.single[row])))),
    ];
    let metric =
        |(name, value): (&str, Option<f64>)| Some(Metric { name: name.to_owned(), split, value: value? });
    all.summary.extend(metrics.into_iter().filter_map(metric));

    all.templates.extend(templates.iter().enumerate().map(|(i, template)| TemplateAccuracy {
        template: template.clone(),
        split,
        accuracy: votes.and_then(|votes| right(&|row| vote(votes, row, i))),
    }));

    let known = rows.iter().any(|&row| truth(row).is_some());
    let classes = labels.names.classes.len();
    all.classes.extend(labels.names.classes.iter().enumerate().map(|(class, name)| {
        let own: Vec<usize> = rows.iter().copied().filter(|&row| truth(row) == Some(class as i32)).collect();
        let count = |of: &dyn Fn(usize) -> bool| rows.iter().filter(|&&row| of(row)).count() as u64;
        ClassStatistics {
            class: name.clone(),
            split,
            images: known.then_some(own.len() as f64),
            candidate_in: count(&|row| labels.candidates[row].iter().any(|&c| usize::from(c) == class)),
            single_label_of: count(&|row| usize::from(labels.single[row]) == class),
            eta: share(own.iter().filter_map(|&row| outside(row))),
            zero_shot_mean: votes
                .and_then(|_| share(own.iter().map(|&row| usize::from(labels.single[row]) == class))),
            prior: votes.map(|votes| {
                let probs = rows.iter().map(|&row| f64::from(votes.mean_probs[row * classes + class]));
                probs.sum::<f64>() / rows.len() as f64
            }),
        }
    }));
}

/// What the candidates of these images would be under the rules that one may choose from (method §§1 and 2).
fn compare_rules<'a>(
    split: Split,
    rows: &'a [usize],
    labels: &'a Labels,
    votes: &'a Votes,
) -> impl Iterator<Item = RuleStatistics> + 'a {
    let (classes, templates) = (votes.names.classes.len(), votes.names.templates.len());
    let plain = Label::default();
    let union = [1, 2, 3, 5, 9].map(|min_votes| {
        let name = format!("label.rule=union label.min_votes={min_votes}");
        (name, Label { min_votes, ..plain.clone() })
    });
    let top = [2, 3, 5]
        .map(|k| (format!("label.rule=top-k label.k={k}"), Label { rule: Rule::TopK, k, ..plain.clone() }));
    let ratio = [0.5, 0.2, 0.1].map(|ratio| {
        let name = format!("label.rule=ratio label.k=5 label.ratio={ratio}");
        (name, Label { rule: Rule::Ratio, k: 5, ratio, ..plain.clone() })
    });
    let single = [("label.rule=single".to_owned(), Label { rule: Rule::Single, ..plain.clone() })];
    // Fewer templates than votes asked for, or fewer classes than k, make no rule of their own.
    let apply = move |label: &Label| {
        label.min_votes <= templates.max(1) && (label.rule != Rule::TopK || label.k < classes)
    };
    union.into_iter().chain(top).chain(ratio).chain(single).filter(move |(_, label)| apply(label)).map(
        move |(rule, label)| {
            let candidates = |row: usize| {
                let of = |width: usize| row * width..(row + 1) * width;
                label.candidates(&votes.votes[of(templates)], &votes.mean_probs[of(classes)])
            };
            let sets: Vec<(Option<i32>, Vec<u16>)> =
                rows.iter().map(|&row| (labels.labels[row], candidates(row))).collect();
            let lacking = |(truth, set): &(Option<i32>, Vec<u16>)| {
                truth.map(|truth| !set.iter().any(|&class| i32::from(class) == truth))
            };
            RuleStatistics {
                rule,
                split,
                avg_candidates: sets.iter().map(|(_, set)| set.len() as f64).sum::<f64>() / sets.len() as f64,
                single: share(sets.iter().map(|(_, set)| set.len() == 1)).unwrap_or(0.0),
                eta: share(sets.iter().filter_map(lacking)),
            }
        },
    )
}
