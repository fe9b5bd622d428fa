//! Labels of a small data set, gathered from its tables.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use pipeline::artifact::Artifact;

use super::*;
use crate::artifacts::annotation::{Labels, Names};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::images::{Images, Index, Split};

const CLASSES: [&str; 3] = ["a", "b", "c"];

fn ids() -> Vec<String> {
    ["train/0", "train/1", "train/2", "test/0"].map(str::to_owned).into()
}

fn names() -> Vec<String> {
    CLASSES.map(str::to_owned).into()
}

/// Three training images, of which nobody voted on the last, and a test image.
fn labels() -> Labels {
    Labels {
        ids: ids(),
        splits: [Split::Train, Split::Train, Split::Train, Split::Test].into(),
        candidates: [vec![0, 2], vec![1], vec![0, 1, 2], vec![1, 2]].into(),
        weights: [vec![0.25, 0.75], vec![1.0], vec![0.3, 0.3, 0.4], vec![0.5, 0.5]].into(),
        single: [Some(2), Some(0), None, Some(1)].into(),
        human: vec![false; 4],
        truth: [Some(0), None, Some(1), Some(2)].into(),
        names: Names { annotators: Vec::new(), classes: names() },
    }
}

/// A view with images and labels.
fn view(folder: &Path, labels: &Labels) -> Stages {
    let put = |stage: &str| -> PathBuf {
        let path = folder.join(stage);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let Labels { splits, truth, .. } = self::labels();
    let index = Index { ids: ids(), splits, labels: truth, classes: names() };
    Images::new(index, vec![vec![1]; 4], vec![None; 4]).save(&put("download")).unwrap();
    labels.save(&put("label")).unwrap();
    Stages { data_set: folder.to_owned(), method: None, evaluated: false }
}

fn evaluate(folder: &Path, ids: &[&str]) {
    let evaluation = Evaluation {
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        labels: vec![None; ids.len()],
        predictions: vec![2; ids.len()],
        probs: [0.1, 0.1, 0.8].repeat(ids.len()),
        class_count: 3,
        ..Evaluation::default()
    };
    std::fs::create_dir_all(folder.join("evaluate")).unwrap();
    evaluation.save(&folder.join("evaluate")).unwrap();
}

#[test]
fn annotators_speak_where_no_student_does_and_nobody_where_nobody_voted() {
    let folder = tempfile::tempdir().unwrap();
    let stages = view(folder.path(), &labels());
    let said = |set: &LabelSet| -> Vec<_> {
        let of = |said: Said| (said.class, said.confidence, set.source(said.source).to_owned());
        set.images.iter().map(|image| image.said.map(of)).collect()
    };
    let annotators = |class: usize, confidence: f32| Some((class, confidence, "annotators".to_owned()));
    let set = LabelSet::load(&stages).unwrap();
    // The class of the second image is none of its candidates: nobody voted for it.
    assert_eq!(said(&set), [annotators(2, 0.75), annotators(0, 0.0), None, annotators(1, 0.5)]);
    assert_eq!(set.images[0].truth, Some(0));
    assert_eq!(set.images[1].truth, None);

    evaluate(folder.path(), &["test/0"]);
    let set = LabelSet::load(&Stages { evaluated: true, ..stages }).unwrap();
    assert_eq!(said(&set)[3], Some((2, 0.8, "student".to_owned())));
    let chosen = Chosen { set: &set, rows: Choice::default().rows(&set.images) };
    assert_eq!(chosen.rows, [2, 3, 1, 0]);
    let counts = [Some(Source::Method), Some(Source::Student), Some(Source::Annotators), None];
    assert_eq!(counts.map(|source| chosen.count(source)), [0, 1, 2, 1]);
}

#[test]
fn what_a_human_said_is_a_humans() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = labels();
    given.human[0] = true;
    let set = LabelSet::load(&view(folder.path(), &given)).unwrap();
    let sources: Vec<_> = set.images.iter().filter_map(|image| image.said).map(|said| said.source).collect();
    assert_eq!(sources, [Source::Human, Source::Annotators, Source::Annotators]);
    assert_eq!(set.source(Source::Human), "human");
}

#[test]
fn results_of_different_runs_are_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let mut others = labels();
    others.ids[1] = "train/7".to_owned();
    let error = LabelSet::load(&view(folder.path(), &others)).unwrap_err().to_string();
    assert!(error.contains("`train/7`") && error.contains("help: "), "{error}");

    let mut others = labels();
    others.names.classes[1] = "z".to_owned();
    let error = LabelSet::load(&view(folder.path(), &others)).unwrap_err().to_string();
    assert!(error.contains("does not belong") && error.contains("label"), "{error}");

    let stages = Stages { evaluated: true, ..view(folder.path(), &labels()) };
    evaluate(folder.path(), &["test/9"]);
    let error = LabelSet::load(&stages).unwrap_err().to_string();
    assert!(error.contains("does not belong") && error.contains("evaluate"), "{error}");
}
