//! A project in a temporary folder: a hub with a small data set and a tiny CLIP, a description of the data
//! set, and settings so small that a whole run takes a second or two.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use serde_json::Value;

use crate::hub::{COMMIT, Hub};
use crate::image_set::{self, CLASSES, Row};
use crate::program::Coreg;
use crate::tables;

/// The name of the data set, and so of the folder of the view.
pub const DATA_SET: &str = "shapes";
/// Paths in the hub's folder.
pub const TRAIN: &str = "datasets/some/shapes/data/train-00000-of-00001.parquet";
/// See [`TRAIN`].
pub const TEST: &str = "datasets/some/shapes/data/test-00000-of-00001.parquet";
/// The CLIP's folder in the hub's folder.
pub const CLIP: &str = "models/some/clip";

/// Rows of the two files.
pub const ROWS: [usize; 2] = [64, 32];

/// All stages, in the order in which a run names them.
pub const STAGES: [&str; 11] = [
    "download",
    "clip",
    "embed",
    "annotate",
    "label",
    "statistics",
    "warm-up",
    "co-reg",
    "evaluate",
    "findings",
    "report",
];

/// A small network and a short training in which every term of the loss is in force.
const TINY: &str = "input.size=16 network.width=8 network.blocks=[1,1,1,1] network.embedding=16 \
                    warm-up.epochs=2 warm-up.batch=32 co-reg.epochs=3 co-reg.batch_partial=32 co-reg.batch_unlabeled=32 \
                    co-reg.ramp=2 co-reg.regularise_after=1 co-reg.queue=128 download.limit_train=0 optimizer.budget=0";

/// Few, so that the tiny CLIP, whose weights are random, does not vote for every class.
pub const TEMPLATES: [&str; 3] = ["a photo of a {}.", "{}", "the {} of a cat"];

/// A temporary folder with all that a run needs; `hub/` in it is what the hub serves, `artifacts/` what runs leave.
pub struct Project {
    folder: tempfile::TempDir,
    /// The hub, which serves `hub/` in the project's folder.
    pub hub: Hub,
    started: AtomicUsize,
}

impl Project {
    /// A project in which nothing has run yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("hub");
        image_set::write(&served.join(TRAIN), &image_set::rows(1, ROWS[0]), &CLASSES);
        image_set::write(&served.join(TEST), &image_set::rows(2, ROWS[1]), &CLASSES);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stages/src/clip/golden/quick");
        fs::create_dir_all(served.join(CLIP)).unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::copy(golden.join(file), served.join(CLIP).join(file)).unwrap();
        }
        let project = Self::in_folder(folder, &served);
        project.file("shapes.toml", &description());
        project.file("prompts.txt", &TEMPLATES.join("\n"));
        project
    }

    /// A project with nothing in it, whose hub serves a folder elsewhere.
    pub fn on_hub(served: &Path) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), served)
    }

    fn in_folder(folder: tempfile::TempDir, served: &Path) -> Self {
        Self { folder, hub: Hub::serve(served).unwrap(), started: AtomicUsize::new(0) }
    }

    /// A project in which the pipeline has run once.
    pub fn after_a_run() -> Self {
        let project = Self::new();
        project.run().ok();
        assert_eq!(project.ran(), STAGES);
        project.hub.take_log();
        project
    }

    /// A path in the project's folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Changes the rows of a file of the hub.
    pub fn change_rows(&self, file: &str, change: impl FnOnce(&mut Vec<Row>)) {
        let which = usize::from(file == TEST);
        let mut rows = image_set::rows(which as u64 + 1, ROWS[which]);
        change(&mut rows);
        image_set::write(&self.path("hub").join(file), &rows, &CLASSES);
    }

    /// Changes the description of the data set.
    pub fn describe(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("shapes.toml")).unwrap();
        assert!(text.contains(from), "no `{from}` in: {text}");
        fs::write(self.path("shapes.toml"), text.replacen(from, to, 1)).unwrap();
    }

    /// Writes an image, or another file, below the folder `images`, which [`run_images`](Self::run_images) may take.
    pub fn put_image(&self, name: &str, bytes: &[u8]) {
        let path = self.path("images").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes a text file into the project's folder and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The program, in this project and with no argument but the folder of artifacts.
    pub fn coreg_into(&self, artifacts: &str) -> Coreg {
        let log = self.path(&format!("log{}", self.started.fetch_add(1, Ordering::Relaxed)));
        Coreg::new(log)
            .env("HF_ENDPOINT", self.hub.endpoint())
            .env("HF_HOME", self.path("cache"))
            .env("HOME", self.folder.path())
            .args([Path::new("--artifacts"), &self.path(artifacts)])
    }

    /// The program, in this project and with no argument but the folder of artifacts.
    pub fn coreg(&self) -> Coreg {
        self.coreg_into("artifacts")
    }

    /// `coreg COMMAND …` on the project's data set, CLIP and settings.
    pub fn on_shapes(&self, coreg: Coreg, command: &[&str]) -> Coreg {
        self.on_device("cpu", coreg, command)
    }

    fn on_device(&self, device: &str, coreg: Coreg, command: &[&str]) -> Coreg {
        let set = self.path("shapes.toml");
        let choice = ["--dataset", set.to_str().unwrap()];
        self.with_settings(device, coreg.args(command).args(choice))
    }

    fn with_settings(&self, device: &str, coreg: Coreg) -> Coreg {
        let prompts = format!("annotate.prompts={}", self.path("prompts.txt").display());
        coreg.args(["--clip", "some/clip", "--device", device]).set(TINY).set(&prompts)
    }

    /// `coreg run` on the user's images, which are at this path in the project's folder.
    pub fn run_images(&self, images: &str) -> Coreg {
        self.with_settings("cpu", self.coreg().args(["run", "--images"]).args([self.path(images)]))
    }

    /// `coreg run` on a data set of the catalog, as it is on the hub's branch `main`.
    pub fn run_catalog(&self, name: &str) -> Coreg {
        let run = self.coreg().args(["run", "--dataset", name]);
        self.with_settings("cpu", run).set("download.revision=main")
    }

    /// `coreg run` on the project's data set.
    pub fn run(&self) -> Coreg {
        self.on_shapes(self.coreg(), &["run"])
    }

    /// As [`run`](Self::run), on another device than the CPU.
    pub fn run_on(&self, device: &str) -> Coreg {
        self.on_device(device, self.coreg(), &["run"])
    }

    /// As [`run`](Self::run), into another folder of artifacts.
    pub fn run_into(&self, artifacts: &str) -> Coreg {
        self.on_shapes(self.coreg_into(artifacts), &["run"])
    }

    /// `coreg plan` on the project's data set.
    pub fn plan(&self) -> Coreg {
        self.on_shapes(self.coreg(), &["plan"])
    }

    /// What the newest run record tells: one object an event.
    pub fn record(&self) -> Vec<Value> {
        let mut records: Vec<_> =
            fs::read_dir(self.path("artifacts/runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
        records.sort();
        let text = fs::read_to_string(records.last().unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The nodes to which `event` happened in the newest run, in the order of [`STAGES`].
    pub fn nodes_that(&self, event: &str) -> Vec<String> {
        let record = self.record();
        let nodes =
            record.iter().filter(|line| line["event"] == event).filter_map(|line| line["node"].as_str());
        let mut nodes: Vec<String> = nodes.map(str::to_owned).collect();
        nodes.sort_by_key(|node| STAGES.iter().position(|stage| node.starts_with(stage)));
        nodes
    }

    /// The stages that the newest run really ran to their ends, in the order of [`STAGES`].
    pub fn ran(&self) -> Vec<String> {
        self.nodes_that("finished")
    }

    /// Every file under the view and every file of the store's objects, by path.
    pub fn artifact_bytes(&self) -> BTreeMap<String, Vec<u8>> {
        self.artifact_bytes_in("artifacts")
    }

    /// As [`artifact_bytes`](Self::artifact_bytes), of another folder of artifacts.
    pub fn artifact_bytes_in(&self, artifacts: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(artifacts);
        let mut files = BTreeMap::new();
        for folder in [DATA_SET, "store/objects"] {
            collect(&root.join(folder), folder, &mut files);
        }
        files
    }

    /// A file of the view, `label/labels.parquet`.
    pub fn view(&self, file: &str) -> PathBuf {
        self.path("artifacts").join(DATA_SET).join(file)
    }

    /// A table of the view, whole.
    pub fn table(&self, file: &str) -> RecordBatch {
        tables::read(&self.view(file))
    }

    /// The content of a file of the view.
    pub fn bytes(&self, file: &str) -> Vec<u8> {
        fs::read(self.view(file)).unwrap()
    }

    /// Asserts that every kept result is whole.
    pub fn is_whole(&self) {
        let verified = self.coreg().args(["verify"]).ok();
        assert!(verified.stdout.contains("whole"), "{}", verified.stdout);
    }
}

/// All files below a folder, links followed.
fn collect(folder: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => collect(&entry.path(), &name, files),
            false => drop(files.insert(name, fs::read(entry.path()).unwrap())),
        }
    }
}

/// The catalog file of the data set.
fn description() -> String {
    format!(
        r#"
name = "{DATA_SET}"
title = "Shapes"

[source]
repo = "some/shapes"
revision = "{COMMIT}"
image_column = "image"
label_column = "label"

[[source.files]]
path = "data/train-00000-of-00001.parquet"
split = "train"
rows = {}

[[source.files]]
path = "data/test-00000-of-00001.parquet"
split = "test"
rows = {}

[split]
rule = "standard"

[classes]
names = ["stripes", "bars", "disc", "checks"]

[image]
channels = 3
size = 32
first_stride = 1
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]

[augmentation]
flip = true
strong = "operations"

[schedule]
warm_up = 2
total = 5
"#,
        ROWS[0], ROWS[1]
    )
}
