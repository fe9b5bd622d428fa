//! Every artifact comes back as it was, and the same value always gives the same bytes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use pipeline::artifact::Artifact;

use super::annotation::{Embeddings, Further, Labels, Names, Unmatched, Votes};
use super::evaluation::Evaluation;
use super::history::{Epoch, History};
use super::images::{Images, Index, Split};
use super::statistics::{AnnotatorStatistics, ClassStatistics, Metric, RuleStatistics, Statistics};
use super::student::{InputFormat, Provenance, Student, Weights};
use super::training::{SampleDivision, SampleLabels, Trained};
use crate::network::Architecture;

/// Saves twice, checks that the bytes are the same, and loads.
fn round_trip<A: Artifact>(value: &A) -> A {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    folders.iter().for_each(|folder| value.save(folder.path()).unwrap());
    let [first, second] = folders.each_ref().map(|folder| files(folder.path()));
    assert!(!first.is_empty());
    assert_eq!(first, second);
    A::load(folders[0].path()).unwrap()
}

fn files(folder: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("train/{i:06}")).collect()
}

fn splits(count: usize) -> Vec<Split> {
    (0..count).map(|i| Split::ALL[usize::from(i % 3 == 2)]).collect()
}

#[test]
fn images_come_back_with_their_index_and_their_bytes() {
    let count = 5000; // more than two row groups
    let index = Index {
        ids: ids(count),
        splits: splits(count),
        labels: (0..count as i32).map(|i| (i % 5 > 0).then_some(i % 3)).collect(),
        classes: vec!["a".to_owned(), "ß".to_owned(), "c".to_owned()],
    };
    let encoded: Vec<Vec<u8>> = (0..count).map(|i| vec![i as u8; i % 7]).collect();
    let paths = (0..count).map(|i| (i % 2 == 0).then(|| format!("{i}.png"))).collect();
    let images = round_trip_images(Images::new(index.clone(), encoded.clone(), paths));
    let (index_back, encoded_back) = images;
    assert_eq!(index_back, index);
    assert_eq!(encoded_back, encoded);
}

/// Images read their bytes from the folder, which must outlive them.
fn round_trip_images(images: Images) -> (Index, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    images.save(folder.path()).unwrap();
    let back = Images::load(folder.path()).unwrap();
    let encoded = back.encoded().unwrap();
    let bytes = (0..encoded.len()).map(|row| encoded.get(row).to_vec()).collect();
    (back.index.clone(), bytes)
}

#[test]
fn annotations_come_back() {
    let names = Names {
        annotators: vec!["a {}".into(), "the {}".into()],
        classes: vec!["x".into(), "y".into(), "z".into()],
    };
    let images = vec!["5e".repeat(32), "af".repeat(32)];
    let embeddings = Embeddings { ids: ids(2), images, features: vec![0.6, 0.8, 1.0, 0.0], width: 2 };
    assert_eq!(round_trip(&embeddings), embeddings);

    let votes = Votes {
        ids: ids(2),
        splits: splits(2),
        votes: vec![Some(0), None, Some(2), Some(2)],
        mean_probs: vec![0.5, 0.25, 0.25, 0.0, 0.0, 1.0],
        further: vec![Further { row: 0, annotator: 0, class: 1 }, Further { row: 1, annotator: 1, class: 0 }],
        unmatched: vec![Unmatched {
            annotator: "a {}".into(),
            answer: "neither".into(),
            reason: "no class".into(),
            images: 1,
        }],
        names: names.clone(),
    };
    assert_eq!(round_trip(&votes), votes);
    assert_eq!(votes.named_on(1), [Some(2), Some(2), Some(0)]);
    let all = Votes { unmatched: Vec::new(), further: Vec::new(), ..votes };
    assert_eq!(round_trip(&all), all);

    let labels = Labels {
        ids: ids(3),
        splits: splits(3),
        candidates: vec![vec![0, 2], vec![], vec![1]],
        weights: vec![vec![0.25, 0.75], vec![], vec![1.0]],
        single: vec![Some(2), None, Some(1)],
        human: vec![false, false, true],
        truth: vec![Some(2), None, Some(0)],
        names: Names { annotators: Vec::new(), ..names },
    };
    let back = round_trip(&labels);
    assert_eq!((&back.candidates, &back.weights), (&labels.candidates, &labels.weights));
    assert_eq!((back.single, back.human), (labels.single, labels.human));
    assert_eq!((back.truth, back.splits), (labels.truth, labels.splits));
}

#[test]
fn labels_of_humans_are_counted_by_class() {
    let of = |human: [bool; 4]| Labels {
        single: [Some(1), Some(0), None, Some(1)].into(),
        human: human.into(),
        names: Names { annotators: Vec::new(), classes: vec!["x".into(), "y".into()] },
        ..Labels::default()
    };
    assert_eq!(of([false; 4]).human_in_words(), None);
    assert_eq!(of([true, true, false, false]).human_in_words().unwrap(), "2 human labels: 1 of each class");
    assert_eq!(of([true, true, false, true]).human_in_words().unwrap(), "3 human labels: 1 to 2 of a class");
    assert_eq!(of([true, false, false, false]).human_in_words().unwrap(), "1 human label");
}

#[test]
fn statistics_and_evaluations_come_back() {
    let statistics = Statistics {
        summary: vec![Metric { name: "eta".into(), split: Split::Train, value: 0.3 }],
        annotators: vec![AnnotatorStatistics {
            template: "a {}".into(),
            split: Split::Test,
            accuracy: None,
            voted: 0.5,
            agreement: Some(0.25),
            candidates_added: 0.125,
            truths_added: None,
        }],
        classes: vec![ClassStatistics {
            class: "x".into(),
            split: Split::Train,
            images: Some(3.0),
            candidate_in: 2,
            single_label_of: 1,
            eta: Some(0.5),
            zero_shot_mean: None,
            prior: Some(0.1),
        }],
        rules: vec![RuleStatistics {
            rule: "label.rule=single".into(),
            split: Split::Test,
            avg_candidates: 1.0,
            single: 1.0,
            eta: None,
        }],
    };
    assert_eq!(round_trip(&statistics), statistics);
    let evaluation = Evaluation {
        ids: ids(2),
        labels: vec![Some(1), None],
        predictions: vec![1, 0],
        probs: vec![0.1, 0.9, 0.7, 0.3],
        class_count: 2,
        metrics: vec![("accuracy".into(), 1.0)],
        confusion: vec![("x".into(), "y".into(), 4)],
    };
    assert_eq!(round_trip(&evaluation), evaluation);
}

fn history() -> History {
    let mut history = History::new(["loss", "mean_w"]);
    let values = BTreeMap::from([("loss".to_owned(), 1.5)]);
    history.push(Epoch { epoch: 1, network: 2, values }).unwrap();
    history.push(Epoch { epoch: 2, network: 1, ..Epoch::default() }).unwrap();
    history
}

#[test]
fn a_history_row_keeps_what_it_has_and_lacks_what_it_lacks() {
    assert_eq!(round_trip(&history()), history());
}

#[test]
fn a_figure_that_no_column_knows_is_refused() {
    let values = BTreeMap::from([("los".to_owned(), 1.5)]);
    let error = history().push(Epoch { epoch: 3, network: 1, values }).unwrap_err().to_string();
    assert!(error.contains("`los`"), "{error}");
}

fn trained(sample_labels: Option<SampleLabels>) -> Trained {
    let weights = |value: f32| {
        let tensor = |name: &str| (name.to_owned(), Tensor::new(&[value, 1.0], &Device::Cpu).unwrap());
        Weights::from(["a.weight", "a.running_mean"].map(tensor))
    };
    let student = Student {
        method: "co-reg".into(),
        classes: vec!["x".into(), "<ß>".into()],
        input: InputFormat { size: 8, channels: 1, mean: vec![0.13], std: vec![0.31] },
        architecture: Architecture::resnet18(1, 8, 2),
        networks: vec![("network1".into(), weights(0.5)), ("network12".into(), weights(0.25))],
        provenance: Provenance { version: 3, training_images: 4, ..Provenance::default() },
    };
    Trained { student, history: history(), sample_labels }
}

#[test]
fn a_student_comes_back_with_all_that_predicting_needs() {
    let whole = trained(None);
    let back = round_trip(&whole);
    let (whole, back) = (whole.student, back.student);
    assert_eq!((&back.method, &back.classes, &back.input), (&whole.method, &whole.classes, &whole.input));
    assert_eq!((&back.architecture, &back.provenance), (&whole.architecture, &whole.provenance));
    assert_eq!(back.parameters(), 2);
    for ((name, weights), (own_name, own)) in back.networks.iter().zip(&whole.networks) {
        assert_eq!(name, own_name);
        let values = |weights: &Weights| -> Vec<(String, Vec<f32>)> {
            weights.iter().map(|(name, tensor)| (name.clone(), tensor.to_vec1().unwrap())).collect()
        };
        assert_eq!(values(weights), values(own));
    }
}

#[test]
fn sample_labels_come_back_with_and_without_a_division() {
    let mut labels = SampleLabels {
        ids: ids(2),
        labels: vec![1, 0],
        confidence: vec![0.5, 0.75],
        division: Some(SampleDivision { w: vec![0.25, 0.75], partial: vec![false, true] }),
    };
    assert_eq!(round_trip(&trained(Some(labels.clone()))).sample_labels.as_ref(), Some(&labels));
    labels.division = None;
    assert_eq!(round_trip(&trained(Some(labels.clone()))).sample_labels.as_ref(), Some(&labels));
    assert_eq!(round_trip(&trained(None)).sample_labels, None);
}

#[test]
fn tables_of_other_images_are_told_apart() {
    let index = Index { ids: ids(2), ..Index::default() };
    assert!(index.check_same_ids(&ids(2), "labels").is_ok());
    let error = index.check_same_ids(&ids(3), "labels").unwrap_err().to_string();
    assert!(error.contains("3 rows"), "{error}");
    let error = index.check_same_ids(&["a".into(), "b".into()], "labels").unwrap_err().to_string();
    assert!(error.contains("row 0") && error.contains("`a`"), "{error}");
}
