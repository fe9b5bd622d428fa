//! What was run and what came of it: the figures of the terminal's summary, findings, what was assumed, and the settings
//! that were changed.

#[cfg(test)]
pub(super) mod example_tests;
mod scores;

use maud::{Markup, html};

use crate::artifacts::findings::Finding;
use crate::artifacts::images::Split;
use crate::report::facts::Facts;
use crate::report::page::{Section, bidi, count, cut, percent, wide};
use scores::{Score, Scores, Teacher};

/// Classes that are named without being asked for.
const NAMED: usize = 12;
/// Characters of a class's name in the list of all.
const LONG: usize = 60;

/// The summary.
pub(crate) fn section(facts: &Facts) -> Section {
    let teacher = Teacher::of(facts.statistics);
    let scores = Scores::of(facts, teacher);
    let assumed = &facts.about.assumed;
    let findings = &facts.findings.0;
    let body = html! {
        (headline(facts, &scores, teacher))
        (asked(facts, teacher))
        h3 { "What was assumed of the input before images were read" }
        @if assumed.is_empty() {
            p { "Nothing beyond the settings." }
        } @else {
            ul.plain { @for line in assumed { li { (line) } } }
        }
        h3 { "The labels" }
        (labels(facts))
        h3 { @if scores.accuracies.is_empty() { "The student" } @else { "Who gets how much of the test right" } }
        (accuracies(&scores))
        (beside(&scores))
        @if !findings.is_empty() {
            h3 { "Worth a second look" }
            ul.findings {
                @for Finding { what, advice, .. } in findings { li { (what) span.advice { "try: " (advice) } } }
            }
        }
        p.note {
            "How long each stage took, and how much memory it needed, is on "
            a href={ "../../times/" (facts.about.name) ".html" } { "a page of the newest run" }
            ", which is found where this page still lies in the artifacts."
        }
    };
    Section { id: "summary", title: "Summary".to_owned(), body }
}

/// The one figure that the page is opened for.
fn headline(facts: &Facts, scores: &Scores, teacher: Option<Teacher>) -> Markup {
    let tested = facts.evaluation.labels.len();
    let known = facts.evaluation.labels.iter().flatten().count();
    let points = |gain: f64| if gain < 0.0 { "points below" } else { "points above" };
    html! {
        p.headline {
            @if let Some(accuracy) = scores.accuracy {
                strong { (percent(accuracy)) } " of "
                @if known < tested {
                    "the " (count(known)) " test images whose true class is known (of " (count(tested - known))
                    " it is not) are right"
                } @else {
                    (count(tested)) " test images are right"
                }
                @if let (Some(gain), Some(teacher)) = (scores.gain, teacher) {
                    ", " strong { (format!("{:.1}", gain.abs())) } " " (points(gain)) " " (teacher.whose) " average"
                }
                "."
            } @else {
                "No test image has a true label, so there is no accuracy."
            }
        }
    }
}

/// What was asked for.
fn asked(facts: &Facts, teacher: Option<Teacher>) -> Markup {
    let (about, classes) = (facts.about, facts.classes());
    let [train, test] = [Split::Train, Split::Test].map(|split| count(facts.images.index.of(split).len()));
    let names = html! {
        @for (at, class) in classes.iter().enumerate() { @if at > 0 { ", " } (cut(class, LONG)) }
    };
    let annotators = facts.statistics.annotators.iter().filter(|of| of.split == Split::Train).count();
    let parameters =
        facts.evaluation.get("parameters").map(|parameters| format!("{:.2} M", parameters / 1e6));
    html! {
        dl.facts {
            dt { "data set" }
            dd { (bidi(&about.title)) " (" code { (bidi(&about.name)) } ")" }
            dt { "images" }
            dd { (train) " for training, " (test) " for testing" }
            dt { (count(classes.len())) " classes" }
            dd { @if classes.len() <= NAMED { (names) } @else { details { summary { "names" } (names) } } }
            dt { "annotators" }
            dd {
                (bidi(&about.annotators))
                @if let Some(teacher) = teacher { ", " (count(annotators)) " " (teacher.votes) }
            }
            @if let Some(human) = facts.labels.human_in_words() {
                dt { "beside them" }
                dd { (human) }
            }
            dt { "method" }
            dd { (about.method) }
            @if let Some(parameters) = parameters {
                dt { "student" }
                dd {
                    @if facts.evaluation.get("agreement").is_some() { "two networks, each of " }
                    @else { "one network of " }
                    (parameters) " parameters"
                }
            }
        }
        @if !about.note.is_empty() { p.note { (about.note) } }
    }
}

/// What the labels are like.
fn labels(facts: &Facts) -> Markup {
    let figure = |name: &str| Split::ALL.map(|split| facts.statistics.get(name, split));
    let written = |values: [Option<f64>; 2], write: fn(f64) -> String| values.map(|value| value.map(write));
    let rows = [
        ("images that somebody voted on", written(figure("voted"), percent)),
        ("candidates an image", written(figure("avg_candidates"), |mean| format!("{mean:.2}"))),
        ("images whose candidates lack the truth (eta)", written(figure("eta"), percent)),
    ];
    let table = html! {
        table {
            thead { tr { th scope="col" {} th scope="col" { "training" } th scope="col" { "test" } } }
            tbody {
                @for (name, values) in rows.iter().filter(|row| row.1.iter().any(Option::is_some)) {
                    tr {
                        th scope="row" { (name) }
                        @for value in values { td { (value.as_deref().unwrap_or("unknown")) } }
                    }
                }
            }
        }
    };
    html! {
        (wide("The labels", &table))
        @if facts.labels.human.contains(&true) {
            p.note { "Images that a human labelled are left out of these figures." }
        }
    }
}

/// From the first annotator to the student.
fn accuracies(scores: &Scores) -> Markup {
    if scores.accuracies.is_empty() {
        return html! {};
    }
    let unequal = scores.accuracies.iter().any(|score| score.recall.is_some());
    let bar = |share: Option<f64>| {
        html! {
            @match share {
                Some(share) => td.bar style={ "--share:" (format!("{share:.4}")) } { (percent(share)) },
                None => td {},
            }
        }
    };
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" {}
                    th scope="col" { "test accuracy" }
                    @if unequal { th scope="col" { "each class counting alike (macro recall)" } }
                }
            }
            tbody {
                @for Score { who, accuracy, recall, final_one } in &scores.accuracies {
                    tr.strong[*final_one] {
                        th scope="row" { (bidi(who)) }
                        (bar(Some(*accuracy)))
                        @if unequal { (bar(*recall)) }
                    }
                }
            }
        }
    };
    wide("Test accuracies", &table)
}

/// Figures that need no truth.
fn beside(scores: &Scores) -> Markup {
    if scores.beside.is_empty() {
        return html! {};
    }
    let table = html! {
        table {
            tbody {
                @for (name, share) in &scores.beside { tr { th scope="row" { (name) } td { (percent(*share)) } } }
            }
        }
    };
    wide("Figures without the truth", &table)
}

/// The settings that differ from their defaults.
pub(crate) fn settings(facts: &Facts) -> Section {
    let changed = &facts.about.changed;
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" { "setting" }
                    th.words scope="col" { "value" }
                    th.words scope="col" { "default" }
                    th.words scope="col" { "changed by" }
                }
            }
            tbody {
                @for (key, change) in changed {
                    tr {
                        th scope="row" { code { (key) } }
                        td.words { code { (bidi(&change.value)) } }
                        td.words { code { (bidi(&change.default)) } }
                        td.words { (change.by) }
                    }
                }
            }
        }
    };
    let body = html! {
        @if changed.is_empty() {
            p { "No setting differs from its default." }
        } @else {
            p {
                (count(changed.len())) @if changed.len() == 1 { " setting differs" } @else { " settings differ" }
                " from the defaults; all others have them."
            }
            (wide("Changed settings", &table))
        }
    };
    Section { id: "settings", title: "Settings".to_owned(), body }
}

#[cfg(test)]
mod tests {
    use super::example_tests::{Told, statistics};
    use super::*;
    use crate::artifacts::findings::Findings;
    use crate::report::{About, Change};

    const SCRIPT: &str = "<script>alert(1)</script>";

    #[test]
    fn what_others_wrote_is_text_and_never_markup() {
        let text = || SCRIPT.to_owned();
        let change = Change { value: text(), default: text(), by: "SET".to_owned() };
        let mut told = Told::new(Some(0), statistics(&["a photo of a {}"]));
        told.about = About {
            title: text(),
            name: text(),
            note: text(),
            method: text(),
            annotators: text(),
            assumed: vec![text()],
            changed: [("download.train".to_owned(), change)].into(),
        };
        told.findings = Findings(vec![Finding { kind: text(), what: text(), advice: text() }]);
        let page =
            told.facts(|facts| section(facts).body.into_string() + &settings(facts).body.into_string());
        assert!(!page.contains("<script"), "{page}");
        // Title, name, note, method as such and before "both networks", annotators, assumption, finding, advice, two of
        // the setting.
        assert!(page.matches("&lt;script&gt;alert(1)").count() >= 10, "{page}");
    }

    #[test]
    fn the_headline_says_how_much_is_right_and_how_far_that_is_from_the_annotators() {
        let told = Told::new(Some(0), statistics(&["a photo of a {}"]));
        let page = told.facts(|facts| section(facts).body.into_string());
        assert!(page.contains(
            "<strong>75.0 %</strong> of 4 test images are right, <strong>25.0</strong> points above"
        ));
        assert!(page.contains("CLIP's average.") && page.contains("--share:0.7500"), "{page}");
    }

    #[test]
    fn the_headline_counts_the_images_whose_class_is_known() {
        let mut told = Told::new(Some(0), statistics(&["a photo of a {}"]));
        told.run.evaluation.labels[3] = None;
        let page = told.facts(|facts| section(facts).body.into_string());
        let words = " of the 3 test images whose true class is known (of 1 it is not) are right, ";
        assert!(page.contains(words), "{page}");
    }

    #[test]
    fn labels_of_humans_are_told_where_there_are_some() {
        let mut told = Told::new(Some(0), statistics(&["a photo of a {}"]));
        let page = |told: &Told| told.facts(|facts| section(facts).body.into_string());
        let [counted, left_out] = ["2 human labels: 0 to 2 of a class", "a human labelled are left out"];
        assert!(!page(&told).contains(left_out) && !page(&told).contains("human label"));
        told.run.labels.human = vec![true, true, false, false];
        let page = page(&told);
        assert!(page.contains(counted) && page.contains(left_out), "{page}");
    }

    #[test]
    fn without_truth_the_page_says_that_there_is_no_accuracy() {
        let page = Told::new(None, statistics(&[])).facts(|facts| section(facts).body.into_string());
        assert!(
            page.contains("No test image has a true label") && page.contains("mean confidence"),
            "{page}"
        );
        assert!(!page.contains("test accuracy"), "{page}");
    }

    #[test]
    fn unchanged_settings_are_said_to_be_so() {
        let page = Told::new(None, statistics(&[])).facts(|facts| settings(facts).body.into_string());
        assert!(page.contains("No setting differs") && !page.contains("<table"), "{page}");
    }
}
