//! Small runs for the tests of sections, made of what is said of each image.

#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

use crate::artifacts::annotation::{Labels, Names, Votes};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::findings::Findings;
use crate::artifacts::history::History;
use crate::artifacts::images::{Images, Index, Split};
use crate::artifacts::statistics::Statistics;
use crate::artifacts::student::{InputFormat, Provenance, Student};
use crate::artifacts::training::{SampleDivision, SampleLabels, Trained};
use crate::network::Architecture;
use crate::report::About;
use crate::report::facts::Facts;

/// An image.
#[derive(Clone, Debug)]
pub(super) struct Example {
    pub split: Split,
    pub truth: Option<i32>,
    /// Candidates, ascending, and how much each is believed.
    pub candidates: Vec<(u16, f32)>,
    /// The class that annotators hold most likely.
    pub single: Option<u16>,
    /// What it is taken for in the end, and how surely.
    pub said: (u16, f32),
    /// Whether it belongs to 𝒫.
    pub believed: bool,
}

impl Example {
    /// A training image whose first candidate is the most likely one.
    pub fn train(candidates: &[(u16, f32)], said: (u16, f32)) -> Self {
        let mut candidates = candidates.to_vec();
        let single = candidates.first().map(|&(class, _)| class);
        candidates.sort_by_key(|&(class, _)| class);
        Self { split: Split::Train, truth: None, candidates, single, said, believed: true }
    }

    /// A test image.
    pub fn test(truth: Option<i32>, annotated: Option<u16>, said: (u16, f32)) -> Self {
        let candidates = annotated.iter().map(|&class| (class, 1.0)).collect();
        Self { split: Split::Test, truth, candidates, single: annotated, said, believed: false }
    }
}

/// What a report is made of.
pub(super) struct Run {
    pub images: Images,
    pub labels: Labels,
    pub votes: Option<Votes>,
    pub trained: Trained,
    pub evaluation: Evaluation,
    about: About,
    statistics: Statistics,
    findings: Findings,
}

impl Run {
    /// Image `n` is called `"n".png`, quotes included, and shows nothing.
    pub fn new(classes: Vec<String>, examples: &[Example]) -> Self {
        let ids: Vec<String> = (0..examples.len()).map(|n| format!("\"{n}\".png")).collect();
        let of = |split: Split| examples.iter().zip(&ids).filter(move |(example, _)| example.split == split);
        let ids_of = |split| of(split).map(|(_, id)| id.clone()).collect::<Vec<_>>();
        let settled = SampleLabels {
            ids: ids_of(Split::Train),
            labels: of(Split::Train).map(|(example, _)| example.said.0).collect(),
            confidence: of(Split::Train).map(|(example, _)| example.said.1).collect(),
            division: Some(SampleDivision {
                w: vec![0.5; ids_of(Split::Train).len()],
                partial: of(Split::Train).map(|(example, _)| example.believed).collect(),
            }),
        };
        let mut probs = vec![0.0; ids_of(Split::Test).len() * classes.len()];
        for ((example, _), probs) in of(Split::Test).zip(probs.chunks_mut(classes.len())) {
            probs[usize::from(example.said.0)] = example.said.1;
        }
        let evaluation = Evaluation {
            ids: ids_of(Split::Test),
            labels: of(Split::Test).map(|(example, _)| example.truth).collect(),
            predictions: of(Split::Test).map(|(example, _)| example.said.0).collect(),
            probs,
            class_count: classes.len(),
            ..Evaluation::default()
        };
        let splits: Vec<Split> = examples.iter().map(|example| example.split).collect();
        let truth: Vec<Option<i32>> = examples.iter().map(|example| example.truth).collect();
        let parts =
            |example: &Example| -> (Vec<u16>, Vec<f32>) { example.candidates.iter().copied().unzip() };
        let (candidates, weights): (Vec<_>, Vec<_>) = examples.iter().map(parts).unzip();
        let labels = Labels {
            ids: ids.clone(),
            splits: splits.clone(),
            candidates,
            weights,
            single: examples.iter().map(|example| example.single).collect(),
            human: vec![false; examples.len()],
            truth: truth.clone(),
            names: Names { annotators: Vec::new(), classes: classes.clone() },
        };
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(2, 2).write_to(&mut png, ImageFormat::Png).unwrap();
        let encoded = vec![png.into_inner(); ids.len()];
        let paths = vec![None; ids.len()];
        let student = Student {
            method: "co-reg".into(),
            classes: classes.clone(),
            input: InputFormat { size: 8, channels: 3, mean: vec![0.5; 3], std: vec![0.25; 3] },
            architecture: Architecture::resnet18(3, 8, classes.len()),
            networks: Vec::new(),
            provenance: Provenance::default(),
        };
        Self {
            images: Images::new(Index { ids, splits, labels: truth, classes }, encoded, paths),
            labels,
            votes: None,
            trained: Trained { student, history: History::default(), sample_labels: Some(settled) },
            evaluation,
            about: About::default(),
            statistics: Statistics::default(),
            findings: Findings::default(),
        }
    }

    pub fn facts(&self) -> Facts<'_> {
        let (images, labels, votes) = (&self.images, &self.labels, self.votes.as_ref());
        Facts::new(
            &self.about,
            (images, labels, votes),
            &self.statistics,
            Vec::new(),
            &self.trained,
            &self.evaluation,
            &self.findings,
        )
    }
}
