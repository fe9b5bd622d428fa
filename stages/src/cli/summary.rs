//! What a run found, for people.

use std::path::Path;

use pipeline::error::Result;
use pipeline::schedule::RunReport;
use pipeline::store::Store;

use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::Split;
use crate::artifacts::statistics::Statistics;
use crate::artifacts::training::Distilled;
use crate::experiment::Experiment;

/// Prints the summary of a run; what the run's targets left out is left out.
pub(super) fn print(
    experiment: &Experiment,
    report: &RunReport,
    store: &Store,
    artifacts: &Path,
) -> Result<()> {
    let result = |node: &str| report.node(node).and_then(|node| node.result.as_ref());
    let statistics = result("statistics").map(|record| store.load::<Statistics>(record)).transpose()?;
    let evaluation = result("evaluate").map(|record| store.load::<Evaluation>(record)).transpose()?;
    let distilled = result("distill").map(|record| store.load::<Distilled>(record)).transpose()?;
    let percent = |value: f64| format!("{:5.1} %", 100.0 * value);
    let line = |what: &str, value: Option<String>| -> Result<()> {
        if let Some(value) = value {
            out!("  {what:<52} {value}");
        }
        Ok(())
    };
    if let Some(s) = &statistics {
        let count = |split| s.get("images", split).unwrap_or(0.0);
        out!(
            "\n{}: {} training and {} test images, {} classes",
            experiment.data_set.title,
            count(Split::Train),
            count(Split::Test),
            experiment.data_set.classes.names.len()
        );
        out!(
            "\nWhat CLIP says ({}, {} templates)",
            experiment.settings.clip.model,
            s.templates.iter().filter(|t| t.split == Split::Train).count()
        );
        line("candidates an image", s.get("avg_candidates", Split::Train).map(|v| format!("{v:5.2}")))?;
        line("images whose candidates lack the truth (eta)", s.get("eta", Split::Train).map(percent))?;
        line("test accuracy, first template", s.get("zero_shot", Split::Test).map(percent))?;
        line("test accuracy, average of all templates", s.get("zero_shot_mean", Split::Test).map(percent))?;
    }
    if let Some(e) = &evaluation {
        let parameters = e.get("parameters").unwrap_or(0.0) / 1e6;
        out!("\nWhat the student says ({parameters:.2} million parameters a network)");
        let plain = distilled.as_ref().and_then(Distilled::accuracy);
        line("test accuracy of a plain student of the same shape", plain.map(percent))?;
        line("test accuracy after warm-up", e.get("accuracy_after_warm_up").map(percent))?;
        line("test accuracy after Co-Reg", e.get("accuracy").map(percent))?;
        line(
            "one network alone, 1 and 2",
            e.get("accuracy_network1")
                .zip(e.get("accuracy_network2"))
                .map(|(a, b)| format!("{} {}", percent(a), percent(b))),
        )?;
        line("both networks agree", e.get("agreement").map(percent))?;
        line("student agrees with CLIP", e.get("agreement_with_clip").map(percent))?;
    }
    let view = artifacts.join(&experiment.data_set.name);
    out!(
        "\nTables: {}/STAGE/*.parquet, for example\n  coreg show {}/label\n  duckdb -c \"FROM '{}'\"",
        view.display(),
        experiment.data_set.name,
        view.join("label/labels.parquet").display()
    );
    Ok(())
}
