//! `coreg plan` and `coreg explain`.

use std::path::Path;

use pipeline::error::Result;
use pipeline::schedule::plan as plan_of;

use super::console::say_notes;
use super::look_at_store;
use crate::experiment::Experiment;
use crate::runtime::suggest::unknown;

pub(super) fn plan(mut experiment: Experiment, artifacts: &Path, targets: &[String]) -> Result<()> {
    let store = look_at_store(artifacts)?;
    experiment.look_up_name(&store)?;
    let graph = experiment.graph(&[experiment.branch()])?;
    experiment.take_notes(&graph);
    say_notes(&experiment.notes);
    let graph = graph.graph;
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let targets = (!targets.is_empty()).then_some(&targets[..]);
    for planned in plan_of(&graph, &store, targets)? {
        out!("{:<12} {}", planned.node, planned.status);
    }
    Ok(())
}

pub(super) fn explain(mut experiment: Experiment, artifacts: &Path, stage: &str) -> Result<()> {
    let store = look_at_store(artifacts)?;
    experiment.look_up_name(&store)?;
    let graph = experiment.graph(&[experiment.branch()])?;
    experiment.take_notes(&graph);
    say_notes(&experiment.notes);
    let graph = graph.graph;
    let Some(node) = graph.nodes().find(|node| node.node == stage) else {
        return Err(unknown("stage", stage, graph.nodes().map(|node| node.node)));
    };
    let planned = plan_of(&graph, &store, Some(&[stage]))?;
    for planned in planned.into_iter().filter(|planned| planned.node == stage) {
        out!("{stage}: {}", planned.status);
        if let Some(fingerprint) = &planned.fingerprint {
            out!("key: {fingerprint}");
        }
    }
    out!("inputs: {}", if node.inputs.is_empty() { "none".to_owned() } else { node.inputs.join(", ") });
    if let Some(record) =
        store.head(graph.name(), stage)?.map(|head| store.record(&head)).transpose()?.flatten()
    {
        out!(
            "newest result: {} bytes, made {} in {:.1} s on {}",
            record.bytes(),
            record.made.at,
            record.made.seconds,
            record.made.host
        );
        for file in &record.files {
            out!("  {} ({} bytes)", file.path, file.size);
        }
        out!("its settings: {:#}", record.manifest.settings);
    }
    Ok(())
}
