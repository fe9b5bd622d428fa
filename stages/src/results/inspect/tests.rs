//! What is found in labels and predictions that are made up.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::artifacts::annotation::Names;
use crate::artifacts::history::{Epoch, History};
use crate::artifacts::student::{InputFormat, Provenance, Student};
use crate::network::Architecture;

/// Test images: the class that the labels give each, the class that the student says, and the truth where it is known.
fn found(classes: usize, images: &[(u16, u16, Option<i32>)]) -> (Labels, Evaluation) {
    let ids: Vec<String> = (0..images.len()).map(|n| n.to_string()).collect();
    let names =
        Names { annotators: Vec::new(), classes: (0..classes).map(|n| format!("class {n}")).collect() };
    let labels = Labels {
        ids: ids.clone(),
        splits: vec![Split::Test; images.len()],
        candidates: images.iter().map(|image| vec![image.0]).collect(),
        weights: vec![vec![1.0]; images.len()],
        single: images.iter().map(|image| Some(image.0)).collect(),
        human: vec![false; images.len()],
        truth: images.iter().map(|image| image.2).collect(),
        names,
    };
    let predictions = images.iter().map(|image| image.1).collect();
    (labels, Evaluation { ids, predictions, class_count: classes, ..Evaluation::default() })
}

/// So many images of each class, of which the student says a part and takes the others for the last class.
fn images(of_classes: &[(usize, usize)]) -> Vec<(u16, u16, Option<i32>)> {
    let last = of_classes.len() as u16 - 1;
    let of = |(class, &(all, said)): (usize, &(usize, usize))| {
        (0..all).map(move |n| (class as u16, if n < said { class as u16 } else { last }, None))
    };
    of_classes.iter().enumerate().flat_map(of).collect()
}

fn missed(of_classes: &[(usize, usize)]) -> Vec<String> {
    let (labels, evaluation) = found(of_classes.len(), &images(of_classes));
    vanished(&labels, &evaluation).into_iter().map(|finding| finding.what).collect()
}

#[test]
fn a_class_that_the_student_hardly_ever_says_is_missed_where_enough_images_are_expected() {
    // Nine expected are too few to miss them; of 10, 2 may be found by chance, and none may not.
    assert!(missed(&[(9, 0), (51, 51)]).is_empty());
    assert!(missed(&[(10, 2), (50, 50)]).is_empty());
    let expected = "the student says `class 0` of 0 of 60 test images, where the labels give it 16.7 %";
    assert_eq!(missed(&[(10, 0), (50, 50)]), [expected]);
    // A quarter of what is expected is not hardly any.
    assert!(missed(&[(100, 25), (100, 100)]).is_empty());
    assert_eq!(missed(&[(100, 24), (100, 100)]).len(), 1);
    // One image of each of sixty classes.
    assert!(missed(&[(1, 0); 60]).is_empty());
}

#[test]
fn more_than_three_classes_are_one_finding_that_names_three() {
    assert_eq!(missed(&[(20, 0), (20, 0), (20, 0), (40, 40)]).len(), 3);
    let expected = "the student hardly ever says 4 of the 5 classes in 120 test images: \
                    `class 0` (1 where the labels let 20 be expected), `class 1` (0 where the labels let 20 be expected), \
                    `class 2` (0 where the labels let 20 be expected), …";
    assert_eq!(missed(&[(20, 1), (20, 0), (20, 0), (20, 0), (40, 40)]), [expected]);
}

/// What is said of a student that alone is right on so many images of 100, whose labels alone are on so many others.
fn gain(student: usize, annotators: usize) -> Option<String> {
    let image = |n: usize| match n {
        n if n < student => (1, 0, Some(0)),
        n if n < student + annotators => (0, 1, Some(0)),
        _ => (0, 0, Some(0)),
    };
    let (labels, evaluation) = found(2, &(0..100).map(image).collect::<Vec<_>>());
    no_gain(&labels, &evaluation).map(|finding| finding.what)
}

#[test]
fn a_student_is_said_to_gain_nothing_only_where_it_is_worse() {
    assert_eq!((gain(5, 5), gain(6, 5), gain(0, 0)), (None, None, None));
    // mcnemar(4, 6) is 0.75, mcnemar(4, 20) 0.0015.
    let within = "the student is right in 94.0 %, the labels' most likely class in 96.0 %: \
                  it is no better than its annotators, and worse by no more than chance allows";
    assert_eq!(gain(4, 6).as_deref(), Some(within));
    let beyond = "the student is right in 80.0 %, the labels' most likely class in 96.0 %: \
                  it is worse than its annotators";
    assert_eq!(gain(4, 20).as_deref(), Some(beyond));
}

/// A training that ends with so many images in 𝒫 and in 𝒰.
fn divided(partial: f64, unlabeled: f64) -> Trained {
    let mut history = History::new(["size_partial", "size_unlabeled"]);
    let values = [("size_partial", partial), ("size_unlabeled", unlabeled)];
    let values = values.map(|(name, value)| (name.to_owned(), value)).into();
    history.push(Epoch { epoch: 1, network: 1, values }).unwrap();
    let student = Student {
        method: "co-reg".into(),
        classes: Vec::new(),
        input: InputFormat { size: 8, channels: 3, mean: vec![0.5; 3], std: vec![0.5; 3] },
        architecture: Architecture::resnet18(3, 8, 2),
        networks: Vec::new(),
        provenance: Provenance::default(),
    };
    Trained { student, history, sample_labels: None }
}

#[test]
fn what_humans_labelled_says_nothing_of_a_division_or_of_labels_of_one_class() {
    let (mut labels, _) = found(2, &[(0, 0, None); 100]);
    labels.splits.fill(Split::Train);
    let told = |labels: &Labels, trained: &Trained| division(labels, trained).map(|finding| finding.what);
    assert_eq!(told(&labels, &divided(13.0, 87.0)), None);
    assert!(one_class(&labels).is_some());
    for row in 0..10 {
        (labels.human[row], labels.single[row]) = (true, Some(1));
    }
    // Ten of the thirteen are believed because a human said so.
    let expected =
        "in the end 3 of 90 training images without a human label are in 𝒫: hardly any label is believed";
    assert_eq!(told(&labels, &divided(13.0, 87.0)).as_deref(), Some(expected));
    assert_eq!(told(&labels, &divided(60.0, 40.0)), None);
    assert!(one_class(&labels).is_some_and(|finding| finding.what.contains("`class 0`")));
}

#[test]
fn without_truth_nobody_is_worse() {
    let (labels, evaluation) = found(2, &[(0, 1, None); 40]);
    assert!(no_gain(&labels, &evaluation).is_none());
}
