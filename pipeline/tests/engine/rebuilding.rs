//! A stage that one process planned runs in another one that never planned anything.

use std::fs;
use std::path::{Path, PathBuf};

use pipeline::fingerprint::{Digest, Manifest, Named};
use pipeline::graph::Graph;
use pipeline::registry::Registry;
use pipeline::stage::{Context, Reads};
use pipeline::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::child;
use crate::project::{Join1, Join2, Project, Source, Tiny, files_below};

/// All that the other process is told.
#[derive(Serialize, Deserialize)]
struct Task {
    stage: String,
    version: u32,
    settings: Value,
    inputs: Vec<Digest>,
}

/// What the other process does in `folder`: runs the task there, and says under which key.
pub fn run_task(folder: &Path) {
    let task: Task = serde_json::from_slice(&fs::read(folder.join("task.json")).unwrap()).unwrap();
    let mut registry = Registry::default();
    registry.register::<Source>().unwrap();
    registry.register::<Join1>().unwrap();
    registry.register::<Join2>().unwrap();
    let node = registry.rebuild(&task.stage, task.version, &task.settings).unwrap();
    let store = Store::open(folder.join("store")).unwrap();
    let input = |digest: &Digest| Named { name: String::new(), digest: *digest };
    let file = |reads: &Reads| Named { name: String::new(), digest: store.digest_outside(reads).unwrap() };
    let key = node.key().unwrap();
    let manifest = Manifest::new(
        node.name(),
        node.version(),
        &key,
        task.inputs.iter().map(input).collect(),
        node.files().iter().map(file).collect(),
    );
    let inputs: Vec<PathBuf> = task.inputs.iter().map(|digest| store.object(digest)).collect();
    fs::create_dir(folder.join("made")).unwrap();
    node.run(&inputs, &Context::for_test(folder.join("checkpoint")), &folder.join("made")).unwrap();
    fs::write(folder.join("key.json"), key.to_string()).unwrap();
    fs::write(folder.join("fingerprint"), manifest.unwrap().fingerprint().to_string()).unwrap();
}

#[test]
fn a_stage_rebuilt_in_another_process_gives_the_same_key_fingerprint_and_bytes() {
    let project = Project::new();
    let folder = project.folder.path();
    let prompts = folder.join("prompts.txt");
    fs::write(&prompts, "a photo of a {}").unwrap();
    let mut graph = Graph::new("demo").unwrap();
    let a = project.source(&mut graph, project.tiny("images", "i"));
    let b = project.source(&mut graph, project.tiny("others", "o"));
    let joined = Tiny { files: vec![prompts.clone()], ..project.tiny("labels", "join") };
    graph.add("labels", Join2(joined), (a, b)).unwrap();
    let report = project.run(&graph);
    let digest_of = |node: &str| report.node(node).unwrap().digest().unwrap();

    let node = graph.stage("labels").unwrap();
    let task = Task {
        stage: node.name().to_owned(),
        version: node.version(),
        settings: node.settings().unwrap(),
        inputs: vec![digest_of("images"), digest_of("others")],
    };
    fs::write(folder.join("task.json"), serde_json::to_vec(&task).unwrap()).unwrap();
    let output = child::spawn("run a task", folder).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let said = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(said("key.json"), node.key().unwrap().to_string());
    assert!(!said("key.json").contains("prompts.txt"), "the place of a file is in the key");
    assert_eq!(said("fingerprint"), report.node("labels").unwrap().fingerprint().unwrap().to_string());
    let object = project.store().object(&digest_of("labels"));
    assert_eq!(files_below(&folder.join("made")), files_below(&object));
}
