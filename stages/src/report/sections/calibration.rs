//! How sure student and annotators are of the test images, and how often they are right when they are that sure.

use maud::{Markup, html};

use crate::report::facts::Facts;
use crate::report::page::{Section, count, percent, wide};
use crate::report::plot::{Bin, Histogram, Layer, Reliability};

/// Bins of the reliability diagram and of the expected calibration error, as Guo et al. 2017 have them.
const BINS: usize = 15;
/// Bins of the histogram: five points each.
const FINE: usize = 20;

/// What somebody says of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Answer {
    /// The probability of the class that it is taken for.
    confidence: f64,
    /// Whether that is right, where it is known.
    right: Option<bool>,
}

/// Somebody who answers.
struct Voice {
    who: &'static str,
    answers: Vec<Answer>,
}

/// The section; none without a test image.
pub(crate) fn section(facts: &Facts) -> Option<Section> {
    let rows = facts.test_rows();
    let answer = |row: usize, class: usize, confidence: f32| Answer {
        confidence: f64::from(confidence),
        right: facts.truth(row).map(|truth| truth == class),
    };
    let student = rows.iter().filter_map(|&row| {
        let said = facts.said(row)?;
        Some(answer(row, said.class, said.confidence))
    });
    let annotators = facts.votes.into_iter().flat_map(|votes| {
        rows.iter().filter_map(move |&row| {
            let class = usize::from(votes.most_probable(row)?);
            Some(answer(row, class, *votes.probs(row).get(class)?))
        })
    });
    let voices = [
        Voice { who: "student", answers: student.collect() },
        Voice { who: "annotators' average", answers: annotators.collect() },
    ];
    let voices: Vec<Voice> = voices.into_iter().filter(|voice| !voice.answers.is_empty()).collect();
    // Of two networks the logits are added up before they become probabilities.
    let added_up = facts.evaluation.get("agreement").is_some();
    (!voices.is_empty()).then(|| Section {
        id: "calibration",
        title: "How sure, and how right".to_owned(),
        body: body(&voices, added_up),
    })
}

fn body(voices: &[Voice], added_up: bool) -> Markup {
    let known = voices.iter().any(|voice| voice.answers.iter().any(|answer| answer.right.is_some()));
    html! {
        p {
            "The confidence in a test image is the probability of the class that it is taken for. "
            @if added_up {
                "The student's is that of its networks' summed logits, which is surer than their mean's would be. "
            }
            @if known {
                "Whoever is well calibrated is right as often as the confidence says. The expected calibration error is \
                the mean distance between the two over " (BINS) " bins of confidence, each counting as many times as it \
                has images."
            }
        }
        @if known { (wide("Calibration", &errors(voices))) }
        div.plots {
            @for voice in voices { (voice.histogram().render()) }
            @for voice in voices {
                @if voice.answers.iter().any(|answer| answer.right.is_some()) { (voice.reliability().render()) }
            }
        }
    }
}

/// The calibration of each in figures.
fn errors(voices: &[Voice]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "test images of known truth" }
                    th scope="col" { "images" }
                    th scope="col" { "mean confidence" }
                    th scope="col" { "right" }
                    th scope="col" { "expected calibration error" }
                }
            }
            tbody {
                @for voice in voices {
                    @let all = bin(voice.answers.iter().filter_map(Answer::known));
                    @if all.images > 0 {
                        tr {
                            th scope="row" { (voice.who) }
                            td { (count(all.images)) }
                            td { (percent(all.confidence)) }
                            td { (percent(all.accuracy)) }
                            td { (percent(calibration_error(&bins(&voice.answers)))) }
                        }
                    }
                }
            }
        }
    }
}

impl Answer {
    /// Confidence and whether it is right, where that is known.
    fn known(&self) -> Option<(f64, bool)> {
        self.right.map(|right| (self.confidence, right))
    }
}

impl Voice {
    fn histogram(&self) -> Histogram {
        let kinds = [(Some(true), "right"), (Some(false), "wrong"), (None, "of unknown truth")];
        let layer = |(kind, name): (Option<bool>, &str)| {
            let mut images = vec![0; FINE];
            for answer in self.answers.iter().filter(|answer| answer.right == kind) {
                images[place(answer.confidence, FINE)] += 1;
            }
            Layer { name: name.to_owned(), images }
        };
        let there =
            |(kind, _): &(Option<bool>, &str)| self.answers.iter().any(|answer| answer.right == *kind);
        Histogram {
            title: format!("Confidence of the {}", self.who),
            x: "confidence".to_owned(),
            layers: kinds.into_iter().filter(there).map(layer).collect(),
        }
    }

    fn reliability(&self) -> Reliability {
        let bins = bins(&self.answers);
        let error = percent(calibration_error(&bins));
        Reliability {
            title: format!("Reliability of the {}: expected calibration error {error}", self.who),
            bins,
        }
    }
}

/// In which of so many equal bins from 0 to 1 a confidence lies: the first one holds 0, and each its upper end.
fn place(confidence: f64, bins: usize) -> usize {
    let upper = (confidence * bins as f64).ceil() as usize;
    upper.saturating_sub(1).min(bins.saturating_sub(1))
}

/// The answers of known truth by confidence.
fn bins(answers: &[Answer]) -> Vec<Bin> {
    let mut sorted = vec![Vec::new(); BINS];
    for (confidence, right) in answers.iter().filter_map(Answer::known) {
        sorted[place(confidence, BINS)].push((confidence, right));
    }
    sorted.into_iter().map(bin).collect()
}

fn bin(answers: impl IntoIterator<Item = (f64, bool)>) -> Bin {
    let (mut images, mut confidence, mut right) = (0, 0.0, 0.0);
    for (sure, is_right) in answers {
        images += 1;
        confidence += sure;
        right += f64::from(u8::from(is_right));
    }
    let of = |sum: f64| if images > 0 { sum / images as f64 } else { 0.0 };
    Bin { images, confidence: of(confidence), accuracy: of(right) }
}

/// The mean distance between confidence and accuracy, each bin counting as many times as it has images.
fn calibration_error(bins: &[Bin]) -> f64 {
    let images: usize = bins.iter().map(|bin| bin.images).sum();
    let apart = |bin: &Bin| bin.images as f64 * (bin.accuracy - bin.confidence).abs();
    bins.iter().map(apart).sum::<f64>() / images.max(1) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::artifacts::annotation::{Names, Votes};
    use crate::report::sections::fixture_tests::{Example, Run};

    #[test]
    fn the_calibration_error_is_that_worked_out_by_hand() {
        // Bin 14 of 15, above 0.8667 to 0.9333: confidences 0.9 and 0.92, one right: |0.5 − 0.91| = 0.41.
        // Bin 8, above 0.4667 to 0.5333: 0.5 and 0.5, both right: |1 − 0.5| = 0.5. Bin 15: 1.0, wrong: 1.
        // (2 · 0.41 + 2 · 0.5 + 1 · 1) / 5 = 0.564; what is not known does not count.
        let answers = [
            (0.9, Some(true)),
            (0.92, Some(false)),
            (0.5, Some(true)),
            (0.5, Some(true)),
            (1.0, Some(false)),
            (0.7, None),
        ];
        let bins = bins(&answers.map(|(confidence, right)| Answer { confidence, right }));
        assert!((calibration_error(&bins) - 0.564).abs() < 1e-12, "{}", calibration_error(&bins));
        let images: Vec<usize> = bins.iter().map(|bin| bin.images).collect();
        assert_eq!(images, [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 2, 1]);
        assert_eq!(calibration_error(&[]), 0.0);
    }

    #[test]
    fn a_bin_holds_its_upper_end_and_the_first_one_zero_too() {
        let places = [0.0, 0.05, 0.051, 0.5, 1.0].map(|confidence| place(confidence, 20));
        assert_eq!(places, [0, 0, 1, 9, 19]);
        assert_eq!((place(f64::NAN, 20), place(2.0, 20)), (0, 19));
    }

    fn run(truth: Option<i32>) -> Run {
        let classes = ["x", "y"].map(str::to_owned).to_vec();
        Run::new(classes, &[(0, 0.75), (1, 0.625)].map(|said| Example::test(truth, Some(0), said)))
    }

    #[test]
    fn confidences_need_no_truth_and_reliability_does() {
        let page = |truth| section(&run(truth).facts()).unwrap().body.into_string();
        let (known, unknown) = (page(Some(0)), page(None));
        assert!(
            known.contains("1 right, 1 wrong") && known.contains("Reliability of the student"),
            "{known}"
        );
        assert!(unknown.contains("2 of unknown truth") && !unknown.contains("Reliability"), "{unknown}");
        // 0.75 and right, 0.625 and wrong: (0.25 + 0.625) / 2.
        assert!(known.contains("expected calibration error 43.8 %"), "{known}");
    }

    #[test]
    fn annotators_stand_beside_the_student_where_they_voted() {
        let mut run = run(Some(0));
        run.votes = Some(Votes {
            votes: vec![Some(0), None],
            mean_probs: vec![0.875, 0.125, 0.5, 0.5],
            names: Names { annotators: vec!["a".into()], classes: vec!["x".into(), "y".into()] },
            ..Votes::default()
        });
        let page = section(&run.facts()).unwrap().body.into_string();
        assert!(
            page.contains("Confidence of the annotators' average: images by confidence: 1 right"),
            "{page}"
        );
    }

    #[test]
    fn without_a_test_image_there_is_nothing_to_say() {
        let run = Run::new(vec!["x".to_owned()], &[Example::train(&[(0, 1.0)], (0, 1.0))]);
        assert!(section(&run.facts()).is_none());
    }
}
