//! How good the annotation is (method §2). What needs the truth is left out where there is none.

use std::sync::Arc;

use pipeline::error::Result;
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::images::Split;
use crate::artifacts::statistics::{ClassStatistics, Metric, Statistics, TemplateAccuracy};
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
    const VERSION: u32 = 1;

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
