//! What each annotator adds, what other candidate rules would give, and how each class fares: the tables of statistics, of
//! the training images.

use std::cmp::Reverse;

use maud::{Markup, html};

use crate::artifacts::images::Split;
use crate::artifacts::statistics::{AnnotatorStatistics, ClassStatistics, RuleStatistics, SOFT_MEAN};
use crate::report::facts::Facts;
use crate::report::page::{Section, bidi, count, percent, wide};

/// Rows of a table at most.
const ROWS: usize = 100;

/// The section; none where there are no statistics.
pub(crate) fn section(facts: &Facts) -> Option<Section> {
    let statistics = facts.statistics;
    let annotators = statistics.annotators.iter().filter(|of| of.split == Split::Train).collect();
    let rules: Vec<_> = statistics.rules.iter().filter(|of| of.split == Split::Train).collect();
    let classes = statistics.classes.iter().filter(|of| of.split == Split::Train).collect();
    let parts: Vec<Markup> = [annotators_table(annotators), rules_table(&rules), classes_table(classes)]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| Section {
        id: "annotators",
        title: "Annotators, candidates, classes".to_owned(),
        body: html! {
            p.note { "All of it is of the training images." }
            @for part in &parts { (part) }
        },
    })
}

/// A share where it is known.
fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), percent)
}

/// The heads of a table: all but the first are of numbers.
fn head(names: &[&str]) -> Markup {
    html! { thead { tr { @for name in names { th scope="col" { (name) } } } } }
}

/// How many rows of a table are left out.
fn left_out(all: usize, table: &str) -> Markup {
    html! {
        @if all > ROWS {
            p.note {
                (count(all - ROWS)) " of " (count(all)) " rows are left out here; all are in "
                code { "statistics/" (table) } "."
            }
        }
    }
}

/// What each adds, whoever adds most first: the most truths, of as many the fewest candidates; without truth the most
/// candidates.
fn annotators_table(mut annotators: Vec<&AnnotatorStatistics>) -> Option<Markup> {
    let known = annotators.iter().any(|of| of.truths_added.is_some());
    annotators.sort_by(|a, b| {
        let truths = |of: &AnnotatorStatistics| of.truths_added.unwrap_or(0.0);
        let candidates = match known {
            true => a.candidates_added.total_cmp(&b.candidates_added),
            false => b.candidates_added.total_cmp(&a.candidates_added),
        };
        truths(b).total_cmp(&truths(a)).then(candidates)
    });
    let all = annotators.len();
    let partly = annotators.iter().any(|of| of.voted < 1.0);
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" { "annotator" }
                    @if known { th scope="col" { "truths that it alone names" } }
                    th scope="col" { "images with a candidate that it alone names" }
                    @if known { th scope="col" { "right" } }
                    th scope="col" { "agrees with the average" }
                    @if partly { th scope="col" { "voted on" } }
                }
            }
            tbody {
                @for of in annotators.iter().take(ROWS) {
                    tr {
                        th scope="row" { (bidi(&of.template)) }
                        @if known { td { (share(of.truths_added)) } }
                        td { (percent(of.candidates_added)) }
                        @if known { td { (share(of.accuracy)) } }
                        td { (share(of.agreement)) }
                        @if partly { td { (percent(of.voted)) } }
                    }
                }
            }
        }
    };
    (all > 0).then(|| {
        html! {
            h3 { "What each annotator adds" }
            p {
                @if known {
                    "Whoever alone names most true classes comes first. An annotator that adds candidates and no truths \
                    makes the lists longer and no better."
                } @else {
                    "Whoever alone names most candidates comes first; which of them are true is not known."
                }
            }
            (wide("What each annotator adds", &table))
            (left_out(all, "templates.parquet"))
        }
    })
}

/// What the candidates would be under each rule.
fn rules_table(rules: &[&RuleStatistics]) -> Option<Markup> {
    let known = rules.iter().any(|of| of.eta.is_some());
    let mut names = vec!["rule", "candidates an image", "images with one candidate"];
    names.extend(known.then_some("images whose candidates lack the truth (eta)"));
    let table = html! {
        table {
            (head(&names))
            tbody {
                @for of in rules.iter().take(ROWS) {
                    tr {
                        th scope="row" { code { (of.rule) } }
                        td { (format!("{:.2}", of.avg_candidates)) }
                        td { (percent(of.single)) }
                        @if known { td { (share(of.eta)) } }
                    }
                }
            }
        }
    };
    (!rules.is_empty()).then(|| {
        html! {
            h3 { "Candidates under other rules" }
            p { "What the same votes would give under another rule: write the rule behind SET to take it." }
            @if rules.iter().any(|of| of.rule == SOFT_MEAN) {
                p.note {
                    "The soft mean is no list. Of it the candidates are e to the power of the entropy, one candidate is \
                    fewer than 1.5 of them, and eta is the mean probability of all classes but the true one."
                }
            }
            (wide("Candidates under other rules", &table))
            (left_out(rules.len(), "rules.parquet"))
        }
    })
}

/// How each class fares: the worst first, of the classes whose truth is known.
fn classes_table(mut classes: Vec<&ClassStatistics>) -> Option<Markup> {
    let all = classes.len();
    let known = classes.iter().any(|of| of.images.is_some());
    let prior = classes.iter().any(|of| of.prior.is_some());
    match known {
        // Classes without an image have no share, and come last.
        true => classes.sort_by(|a, b| b.eta.unwrap_or(-1.0).total_cmp(&a.eta.unwrap_or(-1.0))),
        false => classes.sort_by_key(|of| Reverse(of.candidate_in)),
    }
    let mut names = vec!["class"];
    names.extend(known.then_some("images"));
    names.extend(["images with it as a candidate", "images with it as the likeliest"]);
    names.extend(known.then_some("its images whose candidates lack it (eta)"));
    names.extend(known.then_some("its images that the average gets right"));
    names.extend(prior.then_some("prior"));
    let table = html! {
        table {
            (head(&names))
            tbody {
                @for of in classes.iter().take(ROWS) {
                    tr {
                        th scope="row" { (bidi(&of.class)) }
                        @if known { td { (count(of.images.unwrap_or(0.0) as usize)) } }
                        td { (count(of.candidate_in as usize)) }
                        td { (count(of.single_label_of as usize)) }
                        @if known {
                            td { (share(of.eta)) }
                            td { (share(of.zero_shot_mean)) }
                        }
                        @if prior { td { (share(of.prior)) } }
                    }
                }
            }
        }
    };
    (all > 0).then(|| {
        html! {
            h3 { "Classes" }
            p {
                @if known {
                    "The class whose images most often lack it among their candidates comes first."
                } @else {
                    "The class that is a candidate most often comes first."
                }
                @if prior { " The prior is the mean probability that the annotators give it." }
            }
            (wide("Classes", &table))
            (left_out(all, "classes.parquet"))
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::artifacts::statistics::Statistics;
    use crate::report::sections::overview::example_tests::{Told, statistics};

    fn page(statistics: Statistics) -> String {
        Told::new(None, statistics).facts(|facts| section(facts).unwrap().body.into_string())
    }

    /// Where each of these words comes first, ascending.
    fn in_order(page: &str, words: &[&str]) -> bool {
        let places: Vec<usize> = words.iter().map(|word| page.find(word).unwrap()).collect();
        places.is_sorted()
    }

    #[test]
    fn who_adds_most_truths_comes_first_and_without_truth_who_adds_most_candidates() {
        let mut told = statistics(&["few {}", "most {}", "costly {}", "<script>alert(1)</script>"]);
        let added = [(0.125, 0.0), (0.25, 0.5), (0.5, 0.5), (0.75, 0.0)];
        for (annotator, (candidates, truths)) in told.annotators.iter_mut().zip(added) {
            (annotator.candidates_added, annotator.truths_added) = (candidates, Some(truths));
        }
        let known = page(told.clone());
        assert!(in_order(&known, &["most {}", "costly {}", "few {}", "&lt;script&gt;alert(1)"]), "{known}");
        told.annotators.iter_mut().for_each(|annotator| annotator.truths_added = None);
        let unknown = page(told);
        assert!(
            in_order(&unknown, &["&lt;script&gt;alert(1)", "costly {}", "most {}", "few {}"]),
            "{unknown}"
        );
        assert!(!known.contains("<script") && !unknown.contains("truths that it alone"), "{unknown}");
    }

    #[test]
    fn a_long_table_has_a_hundred_rows_and_says_how_many_are_left_out() {
        let names: Vec<String> = (0..130).map(|n| format!("annotator {n}")).collect();
        let page = page(statistics(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(page.matches("<th scope=\"row\">").count(), 100);
        assert!(page.contains("30 of 130 rows are left out here"), "{page}");
        assert!(page.contains("<code>statistics/templates.parquet</code>"), "{page}");
    }

    #[test]
    fn the_class_that_candidates_lack_most_comes_first_and_one_without_images_last() {
        let class = |name: &str, eta: Option<f64>| ClassStatistics {
            class: name.to_owned(),
            split: Split::Train,
            images: Some(if eta.is_some() { 4.0 } else { 0.0 }),
            candidate_in: 3,
            single_label_of: 2,
            eta,
            zero_shot_mean: eta,
            prior: None,
        };
        let classes = vec![class("empty", None), class("easy", Some(0.0)), class("hard", Some(0.75))];
        let page = page(Statistics { classes, ..Statistics::default() });
        assert!(in_order(&page, &["<bdi>hard", "<bdi>easy", "<bdi>empty"]), "{page}");
        assert!(!page.contains("prior"), "{page}");
    }

    #[test]
    fn without_statistics_there_is_no_section() {
        assert!(Told::new(None, Statistics::default()).facts(|facts| section(facts).is_none()));
    }
}
