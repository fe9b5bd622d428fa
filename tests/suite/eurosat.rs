//! Real images and a trained CLIP, where there are some: `COREG_HUB` names a folder with
//! `datasets/timm/eurosat-rgb` and `models/standin/clip-eurosat` in hub layout.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::Float64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::child::Coreg;
use tests::hub::Hub;

#[test]
fn votes_on_real_images_are_as_good_as_they_were_measured_to_be() {
    let Some(served) = std::env::var_os("COREG_HUB") else {
        return println!("skipped: COREG_HUB names no folder with EuroSAT and a CLIP");
    };
    for repo in ["datasets/timm/eurosat-rgb", "models/standin/clip-eurosat"] {
        assert!(Path::new(&served).join(repo).is_dir(), "COREG_HUB has no {repo}");
    }
    let hub = Hub::serve(&served).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = Coreg::new(path("log"))
        .env("HF_ENDPOINT", hub.endpoint())
        .env("HF_HOME", path("cache"))
        .env("RAYON_NUM_THREADS", "2")
        .args([Path::new("--artifacts"), &path("artifacts")])
        .args(["run", "--dataset", "eurosat", "--clip", "standin/clip-eurosat", "--device", "cpu"])
        .args(["--only", "statistics"])
        .set("download.limit_train=1000 download.limit_test=200")
        .ok();
    println!("{}", run.stdout);
    let summary = summary(&path("artifacts/eurosat/statistics/summary.parquet"));
    assert_eq!(summary["images"], 1000.0);
    println!("{summary:?}");
    for (metric, range) in [("avg_candidates", 1.5..2.5), ("eta", 0.2..0.4), ("zero_shot_mean", 0.40..0.52)] {
        assert!(range.contains(&summary[metric]), "{metric} is {}", summary[metric]);
    }
}

/// Figures of the training split.
fn summary(path: &Path) -> BTreeMap<String, f64> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let mut figures = BTreeMap::new();
    for batch in reader.map(Result::unwrap) {
        let text =
            |name: &str| -> StringArray { batch.column_by_name(name).unwrap().as_string::<i32>().clone() };
        let values = batch.column_by_name("value").unwrap().as_primitive::<Float64Type>();
        for ((metric, split), value) in text("metric").iter().zip(&text("split")).zip(values.values()) {
            if split == Some("train") {
                figures.insert(metric.unwrap().to_owned(), *value);
            }
        }
    }
    figures
}
