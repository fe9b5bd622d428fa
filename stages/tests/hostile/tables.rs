//! Tables: ours, and votes from elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use candle_core::{DType, Device, Tensor};
use parquet::arrow::ArrowWriter;
use pipeline::artifact::Artifact;
use pipeline::stage::{Context, Machine, Stage};
use stages::annotation::import_votes::ImportVotes;
use stages::artifacts::annotation::{Embeddings, Further, Labels, Unmatched, Votes};
use stages::artifacts::history::{Epoch, History};
use stages::artifacts::images::{Images, Index, Split};
use stages::artifacts::student::{InputFormat, Provenance, Student};
use stages::artifacts::training::{SampleDivision, SampleLabels, Trained};
use stages::network::Architecture;

use crate::{Trial, corrupt, ids, names, tries};

#[test]
fn a_table_of_votes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("votes.parquet");
    let words = |of: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..40).map(|n| Some(of(n))).collect::<StringArray>())
    };
    let columns = [
        ("id", words(&|n| format!("train/{n:06}"))),
        ("annotator", words(&|_| "llava".to_owned())),
        ("class", words(&|n| ["a cat", "dog.", "no idea", "2"][n % 4].to_owned())),
        ("confidence", Arc::new((0..40).map(|n| (n % 3 > 0).then_some(0.5)).collect::<Float64Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    corrupt_votes("votes of others", &path, &fs::read(&path).unwrap());
}

#[test]
fn a_table_of_votes_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let rows =
        (0..40).map(|n| (format!("train/{n:06}"), ["a cat, no dog", "it isn't a dog", "不是猫", "2"][n % 4]));
    let csv = rows.clone().map(|(id, answer)| format!("{id},llava,\"{answer}\",0.5\n")).collect::<String>();
    let csv = format!("id,annotator,class,confidence\n{csv}");
    let json = rows.map(|(id, answer)| {
        format!(
            "{{\"id\": \"{id}\", \"annotator\": \"llava\", \"class\": \"{answer}\", \"confidence\": NaN}}\n"
        )
    });
    for (name, text) in [("votes.csv", csv), ("votes.jsonl", json.collect())] {
        corrupt_votes("votes of others as text", &folder.path().join(name), text.as_bytes());
    }
}

/// Corrupts a table of votes, and imports it.
fn corrupt_votes(name: &'static str, path: &Path, whole: &[u8]) {
    let index = Index {
        ids: ids(),
        splits: vec![Split::Train; 40],
        labels: vec![None; 40],
        classes: names().classes,
    };
    let images = Arc::new(Images::new(index, vec![Vec::new(); 40], vec![None; 40]));
    let import = ImportVotes {
        file: path.to_owned(),
        annotator: None,
        class_texts: names().classes,
        aliases: BTreeMap::new(),
        min_confidence: 0.0,
        incomplete: true,
        surplus: true,
    };
    let mut trial = Trial::new(name);
    for _ in 0..tries() {
        fs::write(path, corrupt(whole, &mut trial.random)).unwrap();
        trial.of(|| {
            import
                .check(&Machine::default())
                .and_then(|()| import.run((images.clone(),), &Context::for_test("nowhere")))
                .ok()
        });
    }
}

/// Corrupts the files of an artifact in turn, and loads it.
fn artifact<A: Artifact>(name: &'static str, good: &A, with: impl Fn(A)) {
    let folder = tempfile::tempdir().unwrap();
    good.save(folder.path()).unwrap();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut trial = Trial::new(name);
    for n in 0..tries() {
        let path = &files[n % files.len()];
        let whole = fs::read(path).unwrap();
        fs::write(path, corrupt(&whole, &mut trial.random)).unwrap();
        trial.of(|| A::load(folder.path()).ok().map(&with));
        fs::write(path, whole).unwrap();
    }
}

#[test]
fn tables_of_images() {
    let index = Index {
        ids: ids(),
        splits: vec![Split::Train; 40],
        labels: (0..40).map(|n| (n % 4 > 0).then_some(n % 3)).collect(),
        classes: names().classes,
    };
    let images =
        Images::new(index, (0..40).map(|n| vec![n; 9]).collect(), vec![Some("x.png".to_owned()); 40]);
    artifact("images", &images, |images| drop(images.encoded()));
}

#[test]
fn tables_of_annotations() {
    let images = vec!["5e".repeat(32); 40];
    let embeddings = Embeddings { ids: ids(), images, features: vec![0.25; 160], width: 4 };
    artifact("embeddings", &embeddings, drop);
    let splits = vec![Split::Train; 40];
    let votes = Votes {
        ids: ids(),
        splits: splits.clone(),
        votes: (0..80).map(|n| (n % 7 > 0).then_some(1)).collect(),
        mean_probs: vec![0.3; 120],
        further: vec![Further { row: 3, annotator: 0, class: 0 }],
        unmatched: vec![Unmatched {
            annotator: "a {}".to_owned(),
            answer: "a cow".to_owned(),
            reason: "no class".to_owned(),
            images: 6,
        }],
        names: names(),
    };
    artifact("votes", &votes, drop);
    let candidates: Vec<Vec<u16>> = (0..40).map(|n| (0..n % 3).collect()).collect();
    let labels = Labels {
        ids: ids(),
        splits,
        weights: candidates.iter().map(|of| vec![0.5; of.len()]).collect(),
        candidates,
        single: vec![Some(1); 40],
        human: vec![false; 40],
        truth: vec![Some(2); 40],
        names: names(),
    };
    artifact("labels", &labels, drop);
}

#[test]
fn networks_and_what_training_left() {
    let tensor = |n: usize| Tensor::zeros((n, 3), DType::F32, &Device::Cpu).unwrap();
    let weights = || BTreeMap::from([("a".to_owned(), tensor(4)), ("b".to_owned(), tensor(9))]);
    let student = Student {
        method: "co-reg".to_owned(),
        classes: names().classes,
        input: InputFormat { size: 32, channels: 3, mean: vec![0.5], std: vec![0.5] },
        architecture: Architecture::resnet18(3, 32, 3),
        networks: vec![("network1".to_owned(), weights()), ("network2".to_owned(), weights())],
        provenance: Provenance::default(),
    };
    let mut history = History::new(["loss"]);
    let values = BTreeMap::from([("loss".to_owned(), 0.5)]);
    history.push(Epoch { epoch: 1, network: 1, values }).unwrap();
    let sample_labels = SampleLabels {
        ids: ids(),
        labels: vec![1; 40],
        confidence: vec![0.5; 40],
        division: Some(SampleDivision { w: vec![0.5; 40], partial: vec![true; 40] }),
    };
    artifact("training", &Trained { student, history, sample_labels: Some(sample_labels) }, drop);
}
