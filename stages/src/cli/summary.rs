//! What a run found, for people.

use std::collections::HashMap;
use std::path::Path;

use pipeline::error::Result;
use pipeline::schedule::RunReport;
use pipeline::store::{Made, Store};

use crate::artifacts::annotation::Labels;
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::findings::{Finding, Findings};
use crate::artifacts::history::History;
use crate::artifacts::images::Split;
use crate::artifacts::model::Model;
use crate::artifacts::statistics::Statistics;
use crate::experiment::settings::LabelSource;
use crate::experiment::{BranchNodes, ClipNodes, Experiment};
use crate::learn::method::Method;
use crate::learn::metrics::accuracy;
use crate::methods::TrainingNode;
use crate::methods::distill::Distill;

/// Prints the summary of a run; what the run's targets left out is left out.
pub(super) fn print(
    experiment: &Experiment,
    nodes: &BranchNodes,
    report: &RunReport,
    store: &Store,
    artifacts: &Path,
) -> Result<()> {
    let result = |node: &str| report.node(node).and_then(|node| node.result.as_ref());
    let statistics = result(&nodes.statistics).map(|record| store.load::<Statistics>(record)).transpose()?;
    let evaluation = result(&nodes.evaluation).map(|record| store.load::<Evaluation>(record)).transpose()?;
    let labels = result(&nodes.labels).map(|record| store.load::<Labels>(record)).transpose()?;
    let clips = &nodes.clips;
    if let Some(statistics) = &statistics {
        votes(experiment, clips.len(), statistics)?;
        if let Some(words) = labels.as_ref().and_then(Labels::human_in_words) {
            out!("  {words}; the figures above are of the other images");
        }
    }
    if let Some(evaluation) = &evaluation {
        let trained = |node: &TrainingNode| -> Result<Option<f64>> {
            let history = result(&node.node).map(|record| store.load::<History>(record)).transpose()?;
            Ok(history.and_then(|history| history.accuracy()))
        };
        let agreement = labels.as_ref().and_then(|labels| agreement(labels, evaluation));
        accuracies(experiment, nodes, statistics.as_ref(), evaluation, agreement, trained)?;
    }
    if let (Some(statistics), Some(evaluation), false) = (&statistics, &evaluation, clips.is_empty()) {
        out!("\n  {:<50}{:>12}{:>20}", "", "parameters", "images a second");
        let images: f64 = Split::ALL.iter().filter_map(|&split| statistics.get("images", split)).sum();
        for ClipNodes { model, fetched, embedded } in clips {
            let Some(fetched) = result(fetched) else { continue };
            // Of images that were seen before nothing was timed.
            let timed = |made: &Made| images - made.taken_over as f64;
            let clip = result(embedded).filter(|record| timed(&record.made) > 0.0);
            let clip = clip.map(|record| rate(timed(&record.made), record.made.seconds)).unwrap_or_default();
            let who = match clips.len() {
                1 => "CLIP, its image tower timed".to_owned(),
                _ => format!("{model}, its image tower timed"),
            };
            size_and_speed(&who, store.load::<Model>(fetched)?.parameters as f64, &clip)?;
        }
        let passes = nodes.method.networks.len() as f64 * evaluation.get("images").unwrap_or(0.0);
        let student =
            result(&nodes.evaluation).map(|record| rate(passes, record.made.seconds)).unwrap_or_default();
        size_and_speed("one student network", evaluation.get("parameters").unwrap_or(0.0), &student)?;
        out!("  Timed as the stages `embed` and `evaluate` ran here, with reading and decoding.");
    }
    if let Some(Findings(findings)) =
        result(&nodes.findings).map(|record| store.load::<Findings>(record)).transpose()?
        && !findings.is_empty()
    {
        out!("\nWorth a second look");
        for Finding { what, advice, .. } in findings {
            out!("  {what}");
            out!("    try: {advice}");
        }
    }
    nodes.left_out.iter().try_for_each(|reason| -> Result<()> {
        out!("\n{reason}");
        Ok(())
    })?;
    if let Some(note) = &experiment.data_set.note {
        out!("\n{}", note.trim());
    }
    let name = &experiment.data_set.name;
    let view = artifacts.join(name);
    out!("\nTables: {}/STAGE/*.parquet, for example", view.display());
    out!("  coreg show {name}/label");
    out!("  duckdb -c \"FROM '{}'\"", view.join("label/labels.parquet").display());
    Ok(())
}

fn line(what: &str, value: Option<String>) -> Result<()> {
    match value {
        Some(value) => Ok(out!("  {what:<50}{value:>12}")),
        None => Ok(()),
    }
}

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

/// What the votes are like.
fn votes(experiment: &Experiment, clips: usize, statistics: &Statistics) -> Result<()> {
    let Experiment { data_set, settings, .. } = experiment;
    let count = |split| statistics.get("images", split).unwrap_or(0.0);
    let (title, classes) = (&data_set.title, data_set.classes.names.len());
    let [train, test] = [Split::Train, Split::Test].map(count);
    out!("\n{title}: {train} training and {test} test images, {classes} classes");
    let limit = settings.download.limit_train;
    if limit > 0 && train == limit as f64 {
        out!("  of more there may be, download.limit_train={limit} are taken; BUDGET=large takes all");
    }
    out!("");
    let annotators = statistics.annotators.iter().filter(|a| a.split == Split::Train).count();
    match settings.labels {
        LabelSource::Clip if clips == 1 => {
            out!("What CLIP says ({}, {annotators} templates)", settings.clip.model);
        }
        LabelSource::Clip => {
            out!("What the CLIPs say ({}; {annotators} votes an image)", settings.clip.model)
        }
        LabelSource::Votes => out!("What the votes say ({}, {annotators} annotators)", settings.votes.file),
        LabelSource::ClipAndVotes => out!(
            "What CLIP and the votes say ({}, {}; {annotators} votes an image)",
            settings.clip.model,
            settings.votes.file
        ),
        LabelSource::Synthetic => {
            out!("Synthetic labels (q = {}, eta = {})", settings.synthetic.q, settings.synthetic.eta);
        }
    }
    let figure = |name| statistics.get(name, Split::Train);
    let voted = figure("voted").filter(|&voted| voted < 1.0);
    line("images that somebody voted on", voted.map(percent))?;
    line("candidates an image", figure("avg_candidates").map(|value| format!("{value:.2}  ")))?;
    line("images whose candidates lack the truth (eta)", figure("eta").map(percent))
}

/// How the summary speaks of those who voted.
#[derive(Clone, Copy)]
struct Teacher {
    who: &'static str,
    whose: &'static str,
    first: Option<&'static str>,
    all: &'static str,
}

/// Share of the test images that the student takes for what the annotators' average does; none without annotators.
fn agreement(labels: &Labels, evaluation: &Evaluation) -> Option<f64> {
    let single: HashMap<&str, u16> = labels
        .ids
        .iter()
        .zip(&labels.single)
        .filter_map(|(id, single)| Some((id.as_str(), (*single)?)))
        .collect();
    let said: Vec<Option<u32>> =
        evaluation.ids.iter().map(|id| single.get(id.as_str()).copied().map(u32::from)).collect();
    accuracy(evaluation.predictions.iter().copied().map(u32::from), &said)
}

/// Who gets how much of the test right, from the annotator to the student; without truth, who agrees with whom.
/// `trained` gives the test accuracy of another training.
fn accuracies(
    experiment: &Experiment,
    nodes: &BranchNodes,
    statistics: Option<&Statistics>,
    evaluation: &Evaluation,
    agreement: Option<f64>,
    trained: impl Fn(&TrainingNode) -> Result<Option<f64>>,
) -> Result<()> {
    let votes = |name| statistics.and_then(|statistics| statistics.get(name, Split::Test));
    let student = |name| evaluation.get(name);
    let accuracy = student("accuracy");
    let method = &nodes.method;
    let teacher = match experiment.settings.labels {
        LabelSource::Clip => Some(Teacher {
            who: "CLIP",
            whose: "CLIP's",
            first: Some("CLIP, its first template"),
            all: "CLIP, the average of its templates",
        }),
        LabelSource::Votes | LabelSource::ClipAndVotes => Some(Teacher {
            who: "the votes",
            whose: "the votes'",
            // Whoever comes first in the alphabet, on whatever he voted on, is nothing to compare with.
            first: None,
            all: "the votes, their average",
        }),
        LabelSource::Synthetic => None,
    };
    if let Some(right) = accuracy {
        let average = votes("zero_shot_mean");
        out!("\n  {:<50}{:>12}", "", "test accuracy");
        if let Some(Teacher { first, all, .. }) = teacher {
            if let Some(first) = first {
                line(first, votes("zero_shot").map(percent))?;
            }
            line(all, average.map(percent))?;
            // What the labels hold the most likely class is something else only where it was refined.
            let refined = votes("label_single").filter(|single| Some(*single) != average);
            line("the same average, refined", refined.map(percent))?;
        }
        for baseline in &nodes.baselines {
            let who = match baseline.method {
                Distill::NAME => "a plain student of that average".to_owned(),
                _ => baseline.title.to_owned(),
            };
            line(&format!("{who}, {} epochs", baseline.epochs), trained(baseline)?.map(percent))?;
        }
        for before in &nodes.before {
            line(&format!("{}, after {}", method.title, before.title), trained(before)?.map(percent))?;
        }
        if method.networks.len() == 2 {
            line(&format!("{}, network 1 alone", method.title), student("accuracy_network1").map(percent))?;
            line(&format!("{}, network 2 alone", method.title), student("accuracy_network2").map(percent))?;
            line(&format!("{}, both networks", method.title), accuracy.map(percent))?;
        } else {
            line(method.title, accuracy.map(percent))?;
        }
        // An average over some test images is not to be compared with one over all.
        let all_voted = votes("voted").is_none_or(|voted| voted == 1.0);
        if let (Some(Teacher { whose, .. }), true) = (teacher, all_voted) {
            let gain = average.map(|average| format!("{:+.1}  ", 100.0 * (right - average)));
            line(&format!("   points above {whose} average"), gain)?;
        }
        if unequal(evaluation) {
            out!("  each class counting alike (macro recall):");
            if let Some(Teacher { all, .. }) = teacher {
                line(&format!("   {all}"), votes("macro_recall_mean").map(percent))?;
            }
            line(&format!("   {}", method.title), student("macro_recall").map(percent))?;
        }
    } else {
        out!("\nNo test image has a true label, so there is no accuracy.");
        line("mean confidence", student("mean_confidence").map(percent))?;
    }
    line("both networks agree", student("agreement").map(percent))?;
    if let Some(Teacher { who, .. }) = teacher {
        line(&format!("the student agrees with {who}"), agreement.map(percent))?;
    }
    Ok(())
}

/// Whether some class has three times as many test images as another.
fn unequal(evaluation: &Evaluation) -> bool {
    let mut counts = vec![0u64; evaluation.class_count];
    let known = evaluation.labels.iter().flatten().filter_map(|&label| usize::try_from(label).ok());
    known.for_each(|label| counts[label] += 1);
    let there = || counts.iter().filter(|&&count| count > 0);
    there().max() >= there().min().map(|least| least * 3).as_ref()
}

/// Images a second of a stage that looked at so many in so many seconds.
fn rate(images: f64, seconds: f64) -> String {
    let rate = images / seconds.max(1e-3);
    // Two digits: what one run on a busy machine is good for.
    let unit = 10f64.powf(rate.max(1.0).log10().floor() - 1.0);
    let rounded = (rate / unit).round() * unit;
    if rounded < 10.0 { format!("{rounded:.1}") } else { format!("{rounded:.0}") }
}

fn size_and_speed(who: &str, parameters: f64, rate: &str) -> Result<()> {
    out!("  {who:<50}{:>12}{rate:>20}", format!("{:.2} M", parameters / 1e6));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_two_digits() {
        assert_eq!(rate(2468.0, 2.0), "1200");
        assert_eq!(rate(2468.0, 100.0), "25");
        assert_eq!(rate(2468.0, 1000.0), "2.5");
        assert_eq!(rate(0.0, 0.0), "0.0");
    }
}
