//! The tables that users open: their columns, types and values are a promise.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use arrow::array::{
    Array, AsArray, BinaryArray, Float32Array, Float64Array, Int32Array, StringArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use tests::image_set::{self, CLASSES};
use tests::project::{CLIP, Project, ROWS, STAGES, TEMPLATES, TEST, TRAIN};
use tests::tables::{column, figures, lists, metadata, texts};

/// The metadata entry of a table of the view.
fn entry(project: &Project, file: &str) -> serde_json::Value {
    metadata(&project.view(file)).unwrap()
}

/// All Parquet files below the view, with their columns.
const TABLES: [(&str, &str); 15] = [
    ("annotate/votes.parquet", "id: Utf8, split: Utf8, votes: List(UInt16), mean_probs: List(Float32)"),
    (
        "co-reg/history.parquet",
        "epoch: UInt32, network: UInt8, learning_rate: Float64, loss: Float64, loss_partial: Float64, \
         loss_unlabeled: Float64, loss_prototype_partial: Float64, loss_prototype_unlabeled: Float64, \
         loss_contrastive: Float64, size_partial: Float64, size_unlabeled: Float64, mean_w: Float64, \
         purity: Float64, purity_partial: Float64, purity_unlabeled: Float64, \
         pseudo_label_accuracy_partial: Float64, pseudo_label_accuracy_unlabeled: Float64, \
         accuracy_test: Float64, accuracy_test_both: Float64, agreement: Float64, within_candidates: Float64, \
         believed: Float64, decisiveness: Float64, balance: Float64, density: Float64",
    ),
    (
        "co-reg/pseudo_labels.parquet",
        "id: Utf8, pseudo_label: UInt16, confidence: Float32, w: Float32, split_kind: Utf8",
    ),
    (
        "download/images.parquet",
        "id: Utf8, split: Utf8, label: Int32, image: Struct(\"bytes\": Binary, \"path\": Utf8)",
    ),
    ("embed/embeddings.parquet", "id: Utf8, sha256: Utf8, embedding: List(Float32)"),
    ("evaluate/confusion.parquet", "label: Utf8, prediction: Utf8, images: UInt64"),
    ("evaluate/metrics.parquet", "metric: Utf8, value: Float64"),
    ("evaluate/predictions.parquet", "id: Utf8, label: Int32, prediction: UInt16, probs: List(Float32)"),
    ("findings/findings.parquet", "kind: Utf8, finding: Utf8, advice: Utf8"),
    (
        "label/labels.parquet",
        "id: Utf8, split: Utf8, candidates: List(UInt16), weights: List(Float32), single: UInt16, human: Boolean, \
         label: Int32",
    ),
    (
        "statistics/classes.parquet",
        "class: Utf8, split: Utf8, images: Float64, candidate_in: UInt64, single_label_of: UInt64, \
         eta: Float64, zero_shot_mean: Float64, prior: Float64",
    ),
    (
        "statistics/rules.parquet",
        "rule: Utf8, split: Utf8, avg_candidates: Float64, single: Float64, eta: Float64",
    ),
    ("statistics/summary.parquet", "metric: Utf8, split: Utf8, value: Float64"),
    (
        "statistics/templates.parquet",
        "template: Utf8, split: Utf8, accuracy: Float64, voted: Float64, agreement: Float64, \
         candidates_added: Float64, truths_added: Float64",
    ),
    (
        "warm-up/history.parquet",
        "epoch: UInt32, network: UInt8, learning_rate: Float64, loss: Float64, loss_partial: Float64, \
         loss_negative_entropy: Float64, accuracy_test: Float64, accuracy_test_both: Float64, agreement: Float64, within_candidates: Float64, \
         believed: Float64, decisiveness: Float64, balance: Float64, density: Float64",
    ),
];

#[test]
fn every_table_has_the_columns_and_types_that_were_promised() {
    let project = Project::after_a_run();
    let mut found = Vec::new();
    for stage in STAGES {
        let mut files: Vec<String> = fs::read_dir(project.view(stage))
            .unwrap()
            .map(|entry| format!("{stage}/{}", entry.unwrap().file_name().to_string_lossy()))
            .filter(|file| file.ends_with(".parquet"))
            .collect();
        found.append(&mut files);
    }
    found.sort();
    assert_eq!(found, TABLES.iter().map(|(file, _)| *file).collect::<Vec<_>>());
    for (file, columns) in TABLES {
        let schema = project.table(file).schema();
        let fields = schema.fields().iter().map(|field| {
            // List(non-null UInt16, field: 'element') → List(UInt16): what readers see.
            let kind = field.data_type().to_string();
            let kind = kind.replace("non-null ", "").replace(", field: 'element'", "");
            format!("{}: {kind}", field.name())
        });
        assert_eq!(fields.collect::<Vec<_>>().join(", "), columns, "{file}");
    }
}

#[test]
fn images_are_the_bytes_of_the_source_and_labels_null_where_unknown() {
    let project = Project::new();
    let unknown = [3, 10, 11];
    project.change_rows(TRAIN, |rows| unknown.iter().for_each(|&row| rows[row].label = None));
    project.run().args(["--only", "statistics"]).ok();
    let (images, features) =
        (project.table("download/images.parquet"), entry(&project, "download/images.parquet"));
    let source = [image_set::rows(1, ROWS[0]), image_set::rows(2, ROWS[1])].concat();
    let image = images.column_by_name("image").unwrap().as_struct();
    let bytes: &BinaryArray = image.column_by_name("bytes").unwrap().as_binary();
    let paths: &StringArray = image.column_by_name("path").unwrap().as_string();
    let (labels, splits) = (column::<Int32Array>(&images, "label"), texts(&images, "split"));
    assert_eq!(images.num_rows(), source.len());
    for (row, source) in source.iter().enumerate() {
        assert_eq!(
            (bytes.value(row), paths.value(row)),
            (&source.bytes[..], source.path.as_str()),
            "row {row}"
        );
        assert_eq!(labels.is_null(row), unknown.contains(&row), "row {row}");
        assert!(labels.is_null(row) || i64::from(labels.value(row)) == source.label.unwrap(), "row {row}");
        assert_eq!(splits[row], if row < ROWS[0] { "train" } else { "test" });
    }
    let ids = texts(&images, "id");
    assert_eq!((ids[5].as_str(), ids[ROWS[0]].as_str()), ("train-00000/000005", "test-00000/000000"));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    // What Hugging Face `datasets` makes columns of; the class names stand beside.
    assert_eq!(features["info"]["features"]["image"]["_type"], "Image");
    assert_eq!(features["classes"], serde_json::json!(CLASSES));
    // The labels go on as they are, and count in the statistics only where they are known.
    assert_eq!(column::<Int32Array>(&project.table("label/labels.parquet"), "label"), labels);
    assert_eq!(summary(&project, "labelled", "train"), (ROWS[0] - unknown.len()) as f64);
    assert_eq!(summary(&project, "images", "train"), ROWS[0] as f64);
}

/// A figure of the annotation.
fn summary(project: &Project, metric: &str, split: &str) -> f64 {
    figures(&project.view("statistics/summary.parquet"), Some(split))[metric]
}

#[test]
fn a_data_set_without_labels_is_trained_on_and_measured_as_far_as_that_goes() {
    let project = Project::new();
    for file in [TRAIN, TEST] {
        project.change_rows(file, |rows| rows.iter_mut().for_each(|row| row.label = None));
    }
    let told = project.run().ok();
    assert!(told.stderr.contains("no true labels"), "{}", told.stderr);
    let metrics = texts(&project.table("evaluate/metrics.parquet"), "metric");
    assert!(
        metrics.contains(&"agreement".to_owned()) && !metrics.contains(&"accuracy".to_owned()),
        "{metrics:?}"
    );
    let summary = texts(&project.table("statistics/summary.parquet"), "metric");
    assert!(
        summary.contains(&"avg_candidates".to_owned()) && !summary.contains(&"eta".to_owned()),
        "{summary:?}"
    );
    let history = project.table("co-reg/history.parquet");
    assert_eq!(column::<Float64Array>(&history, "purity").null_count(), history.num_rows());
    assert_eq!(project.table("evaluate/predictions.parquet").num_rows(), ROWS[1]);
    assert_eq!(project.table("evaluate/confusion.parquet").num_rows(), 0);
    // A source without a column of labels is the same.
    let column = "label_column = \"label\"\n";
    project.describe(column, "");
    project.run().ok();
    assert_eq!(project.ran(), ["download"]);
}

#[test]
fn an_annotation_is_consistent_from_embedding_to_statistics() {
    let project = Project::after_a_run();
    let images = project.table("download/images.parquet");
    let ids = texts(&images, "id");
    let truth = column::<Int32Array>(&images, "label");

    let embeddings = project.table("embed/embeddings.parquet");
    assert_eq!(texts(&embeddings, "id"), ids);
    for row in lists::<Float32Array>(&embeddings, "embedding") {
        let square: f64 = row.values().iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!(row.len() == 20 && (square - 1.0).abs() < 1e-5, "length² {square}");
    }

    let (votes, names) = (project.table("annotate/votes.parquet"), entry(&project, "annotate/votes.parquet"));
    let labels = project.table("label/labels.parquet");
    assert_eq!(names["annotators"], serde_json::json!(TEMPLATES));
    assert_eq!(names["classes"], serde_json::json!(CLASSES));
    assert_eq!((texts(&votes, "id"), texts(&labels, "id")), (ids.clone(), ids));
    let (cast, probs) = (lists::<UInt16Array>(&votes, "votes"), lists::<Float32Array>(&votes, "mean_probs"));
    let candidates = lists::<UInt16Array>(&labels, "candidates");
    let single = column::<UInt16Array>(&labels, "single");
    let (mut sizes, mut outside, mut kinds, mut once, mut right_once) = (0, 0, BTreeSet::new(), 0, 0);
    for row in 0..ROWS[0] + ROWS[1] {
        let (votes, candidates, probs) = (cast[row].values(), candidates[row].values(), probs[row].values());
        assert_eq!((votes.len(), probs.len()), (TEMPLATES.len(), CLASSES.len()));
        assert!(votes.iter().all(|&class| usize::from(class) < CLASSES.len()));
        assert!(candidates.windows(2).all(|pair| pair[0] < pair[1]), "not ascending: {candidates:?}");
        let union: BTreeSet<u16> = votes.iter().copied().collect();
        assert_eq!(candidates.to_vec(), union.into_iter().collect::<Vec<_>>());
        assert!((probs.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{probs:?}");
        let most = probs.iter().copied().fold(0.0, f32::max);
        assert_eq!(probs[usize::from(single.value(row))], most);
        kinds.insert(candidates.len());
        if row < ROWS[0] {
            sizes += candidates.len();
            let truth = truth.value(row) as u16;
            outside += usize::from(!candidates.contains(&truth));
            let alone = |class: &&u16| votes.iter().filter(|vote| vote == class).count() == 1;
            once += votes.iter().filter(alone).count();
            right_once += votes.iter().filter(alone).filter(|class| **class == truth).count();
        }
    }
    assert!(kinds.len() > 1, "the templates should not always agree: {kinds:?}");
    let near =
        |metric, value: f64| assert!((summary(&project, metric, "train") - value).abs() < 1e-12, "{metric}");
    near("avg_candidates", sizes as f64 / ROWS[0] as f64);
    near("eta", outside as f64 / ROWS[0] as f64);
    for metric in ["zero_shot", "zero_shot_mean"] {
        assert!((0.0..=1.0).contains(&summary(&project, metric, "test")));
    }
    let templates = project.table("statistics/templates.parquet");
    assert_eq!(texts(&templates, "template"), [TEMPLATES, TEMPLATES].concat());
    let of = |name| column::<Float64Array>(&templates, name).values()[..TEMPLATES.len()].to_vec();
    assert_eq!(of("voted"), [1.0; 3]);
    let is = |name, count: usize| {
        let (sum, share) = (of(name).iter().sum::<f64>(), count as f64 / ROWS[0] as f64);
        assert!((sum - share).abs() < 1e-12, "{name}: {sum} and {share}");
    };
    is("candidates_added", once);
    is("truths_added", right_once);
    assert!(once > 0 && of("agreement").iter().all(|share| (0.0..=1.0).contains(share)));
    let rules = project.table("statistics/rules.parquet");
    assert_eq!(texts(&rules, "rule")[0], "label.rule=union label.min_votes=1");
    let first = |name| column::<Float64Array>(&rules, name).value(0);
    near("avg_candidates", first("avg_candidates"));
    near("eta", first("eta"));
    let sizes = column::<Float64Array>(&rules, "avg_candidates").values().to_vec();
    assert!(sizes[1] < sizes[0] && sizes.iter().all(|&size| size >= 1.0), "{sizes:?}");
    // The soft mean stands last; what it gives to wrong classes is counted from the votes' own table.
    let last = texts(&rules, "split").iter().rposition(|split| split == "train").unwrap();
    assert_eq!(texts(&rules, "rule")[last], "soft mean (METHOD=distill)");
    let wrong = |row: usize| 1.0 - f64::from(probs[row].value(truth.value(row) as usize));
    let wrong: f64 = (0..ROWS[0]).map(wrong).sum::<f64>() / ROWS[0] as f64;
    assert!((column::<Float64Array>(&rules, "eta").value(last) - wrong).abs() < 1e-9);
    assert!((1.0..=4.0).contains(&sizes[last]), "{sizes:?}");
    let classes = project.table("statistics/classes.parquet");
    assert_eq!(texts(&classes, "class"), [CLASSES, CLASSES].concat());
    let images: f64 = column::<Float64Array>(&classes, "images").values().iter().sum();
    assert_eq!(images, (ROWS[0] + ROWS[1]) as f64);
}

#[test]
fn a_training_leaves_histories_networks_and_pseudo_labels() {
    let project = Project::after_a_run();
    for (stage, epochs) in [("warm-up", 2), ("co-reg", 3)] {
        let history = project.table(&format!("{stage}/history.parquet"));
        let rows: Vec<_> = (column::<UInt32Array>(&history, "epoch").values().iter())
            .zip(column::<UInt8Array>(&history, "network").values())
            .map(|(epoch, network)| (*epoch, *network))
            .collect();
        let expected: Vec<_> = (1..=epochs).flat_map(|epoch| [(epoch, 1), (epoch, 2)]).collect();
        assert_eq!(rows, expected);
        for name in ["learning_rate", "loss", "loss_partial", "accuracy_test", "accuracy_test_both"] {
            let values = column::<Float64Array>(&history, name);
            assert!(
                values.null_count() == 0 && values.values().iter().all(|v| v.is_finite()),
                "{stage}: {name}"
            );
        }
        let bytes = project.bytes(&format!("{stage}/student.safetensors"));
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let student: serde_json::Value =
            serde_json::from_slice(&project.bytes(&format!("{stage}/student.json"))).unwrap();
        assert_eq!((&student["method"], &student["architecture"]["width"]), (&stage.into(), &8.into()));
        assert_eq!(student["classes"].as_array().unwrap().len(), CLASSES.len());
        assert_eq!(student["input"]["size"], 16);
        assert_eq!(student["provenance"]["training_images"], ROWS[0]);
        for network in student["networks"].as_array().unwrap() {
            let prefix = format!("{}.", network.as_str().unwrap());
            let of_network = header.as_object().unwrap().keys().filter(|name| name.starts_with(&prefix));
            assert!(of_network.count() > 10, "{header}");
        }
    }
    let history = project.table("co-reg/history.parquet");
    let counts = |name: &str| column::<Float64Array>(&history, name).values().to_vec();
    for (partial, unlabeled) in counts("size_partial").into_iter().zip(counts("size_unlabeled")) {
        assert_eq!(partial + unlabeled, ROWS[0] as f64);
    }
    for name in ["loss_prototype_partial", "loss_contrastive"] {
        let values = column::<Float64Array>(&history, name);
        let in_force: Vec<bool> = (0..values.len()).map(|row| values.is_valid(row)).collect();
        assert_eq!(in_force, [false, false, true, true, true, true], "{name}: from the second epoch on");
    }

    let labels = project.table("co-reg/pseudo_labels.parquet");
    let images = project.table("download/images.parquet");
    assert_eq!(texts(&labels, "id"), texts(&images, "id")[..ROWS[0]]);
    let w = column::<Float32Array>(&labels, "w");
    let confidence = column::<Float32Array>(&labels, "confidence");
    for (row, kind) in texts(&labels, "split_kind").into_iter().enumerate() {
        assert_eq!(kind, if w.value(row) > 0.5 { "partial" } else { "unlabeled" });
        assert!((0.0..=1.0).contains(&w.value(row)));
        assert!((0.25..=1.0001).contains(&confidence.value(row)), "{}", confidence.value(row));
        assert!(usize::from(column::<UInt16Array>(&labels, "pseudo_label").value(row)) < CLASSES.len());
    }
}

#[test]
fn an_evaluation_adds_up() {
    let project = Project::after_a_run();
    let predictions = project.table("evaluate/predictions.parquet");
    let images = project.table("download/images.parquet");
    assert_eq!(texts(&predictions, "id"), texts(&images, "id")[ROWS[0]..]);
    let labels = column::<Int32Array>(&predictions, "label");
    let given = column::<UInt16Array>(&predictions, "prediction");
    let mut hits = 0;
    for (row, probs) in lists::<Float32Array>(&predictions, "probs").into_iter().enumerate() {
        assert!(probs.len() == CLASSES.len() && (probs.values().iter().sum::<f32>() - 1.0).abs() < 1e-4);
        let most = probs.values().iter().copied().fold(0.0, f32::max);
        assert_eq!(probs.value(usize::from(given.value(row))), most);
        hits += usize::from(labels.value(row) == i32::from(given.value(row)));
    }
    let metrics = figures(&project.view("evaluate/metrics.parquet"), None);
    let metric = |name: &str| *metrics.get(name).unwrap_or_else(|| panic!("no metric {name}"));
    assert_eq!(metric("accuracy"), hits as f64 / ROWS[1] as f64);
    for name in ["accuracy_network1", "accuracy_network2", "macro_f1", "agreement"] {
        assert!((0.0..=1.0).contains(&metric(name)), "{name}");
    }
    let confusion = project.table("evaluate/confusion.parquet");
    let cells = column::<UInt64Array>(&confusion, "images").values();
    assert_eq!(cells.iter().sum::<u64>(), ROWS[1] as u64);
    let diagonal = texts(&confusion, "label").into_iter().zip(texts(&confusion, "prediction")).zip(cells);
    let diagonal: u64 = diagonal.filter(|((label, given), _)| label == given).map(|(_, n)| n).sum();
    assert_eq!(diagonal as usize, hits);
}

#[test]
fn no_artifact_holds_a_clock_reading_a_path_or_a_name_of_this_machine() {
    let project = Project::after_a_run();
    let folder = project.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let words = [folder.as_str(), host.trim(), "seconds"];
    for (name, bytes) in project.artifact_bytes() {
        for word in words.iter().filter(|word| word.len() > 5) {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{name} holds `{word}`");
        }
    }
}

#[test]
fn whoever_may_read_the_tables_may_read_the_networks() {
    let project = Project::after_a_run();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let of_images = mode(&project.view("download/images.parquet"));
    for stage in STAGES {
        for entry in fs::read_dir(project.view(stage)).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), of_images, "{}: {:o} and {of_images:o}", path.display(), mode(&path));
        }
    }
}

#[test]
fn the_clip_is_named_by_its_files_and_their_hashes() {
    let project = Project::after_a_run();
    let model: serde_json::Value = serde_json::from_slice(&project.bytes("clip/model.json")).unwrap();
    let files = model["files"].as_array().unwrap();
    let names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    let weights = fs::read(project.path("hub").join(CLIP).join("model.safetensors")).unwrap();
    assert_eq!(files[1]["size"], weights.len());
    assert_eq!(files[1]["sha256"], tests::hub::name_of(&weights));
}
