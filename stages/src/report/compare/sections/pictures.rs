//! The images whose class changed from the first run to another, as pictures.

use std::collections::HashMap;

use maud::{Markup, html};
use pipeline::error::Result;
use pipeline::stage::Context;

use crate::artifacts::images::Images;
use crate::report::compare::{Changed, Changes, Outcome, Prediction, RunFacts, in_both, tally};
use crate::report::page::{Section, bidi, count, cut, percent, wide};
use crate::report::pictures::Sprites;

/// Most images of a kind.
const SHOWN: usize = 24;
/// Characters of a name for which there is room below a picture.
const LONG: usize = 60;

/// The first run beside another one.
struct Pair<'a> {
    first: &'a RunFacts,
    second: &'a RunFacts,
    changes: Result<Changes<'a>, &'static str>,
}

/// Changed images of one kind.
struct Kind<'a> {
    title: String,
    all: usize,
    shown: Vec<Changed<'a>>,
}

/// The section, unless no run tested anything; and its pictures.
pub(super) fn section(
    runs: &[RunFacts],
    images: Option<(&Images, &Context)>,
) -> Result<(Option<Section>, Sprites)> {
    let Some((first, others)) = runs.split_first() else { return Ok((None, Sprites::empty())) };
    if runs.iter().all(|run| run.predictions.is_empty()) {
        return Ok((None, Sprites::empty()));
    }
    let pair = |second| Pair { first, second, changes: Changes::between(first, second) };
    let pairs: Vec<Pair> = others.iter().map(pair).collect();
    let rows: HashMap<&str, usize> = match images {
        Some((images, _)) => {
            images.index.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect()
        }
        None => HashMap::new(),
    };
    let row = |changed: &Changed| rows.get(changed.first.id.as_str()).copied();
    let sprites = match images {
        Some((images, context)) => {
            let kinds = pairs.iter().flat_map(Pair::kinds);
            let rows: Vec<usize> = kinds.flat_map(|kind| kind.shown).filter_map(|of| row(&of)).collect();
            Sprites::new(images, &rows, context)?
        }
        None => Sprites::empty(),
    };
    let body = html! {
        @if images.is_none() {
            p.note { "The images of " (bidi(&first.name)) " are no longer kept, so that there are no pictures." }
        }
        @for pair in &pairs {
            @if pairs.len() > 1 {
                h3 { (bidi(&pair.first.name)) " and " (bidi(&pair.second.name)) }
            }
            @match &pair.changes {
                Err(why) => p { "Their images are not compared: " (why) "." },
                Ok(changes) => {
                    (pair.counts(changes))
                    @for kind in pair.kinds() {
                        h3 { (kind.title) }
                        @if kind.all > kind.shown.len() {
                            p.note {
                                (count(kind.shown.len())) " of " (count(kind.all))
                                ", those first of which the probabilities changed most."
                            }
                        }
                        div class="pictures" {
                            @for changed in &kind.shown {
                                // A row that no table has is one of which there is no picture.
                                @let row = row(changed).unwrap_or(usize::MAX);
                                (sprites.picture(row, &pair.alt(changed), pair.caption(changed)))
                            }
                        }
                    }
                }
            }
        }
    };
    Ok((Some(Section { id: "images", title: "Images whose class changed".to_owned(), body }), sprites))
}

impl<'a> Pair<'a> {
    /// The kinds of which there are images.
    fn kinds(&self) -> Vec<Kind<'a>> {
        let Ok(changes) = &self.changes else { return Vec::new() };
        let (first, second) = (&self.first.name, &self.second.name);
        let kinds = [
            (Outcome::OnlyFirst, format!("Only {first} is right")),
            (Outcome::OnlySecond, format!("Only {second} is right")),
            (Outcome::WrongOtherwise, "Both are wrong, each with another class".to_owned()),
            (Outcome::UnknownOtherwise, "Changed, and the truth is not known".to_owned()),
        ];
        let kind = |(outcome, title)| {
            let all = changes.changed.iter().copied().filter(move |changed| changed.outcome == outcome);
            Kind { title, all: changes.count(outcome), shown: all.take(SHOWN).collect() }
        };
        kinds.into_iter().map(kind).filter(|kind| kind.all > 0).collect()
    }

    /// How many images came out how.
    fn counts(&self, changes: &Changes) -> Markup {
        let (first, second) = (&self.first.name, &self.second.name);
        let table = html! {
            table {
                tbody {
                    tr {
                        th scope="row" { "test images of both" }
                        td { (changes.images()) }
                    }
                    @for (words, number) in tally(first, second, changes) {
                        tr {
                            th scope="row" { (bidi(&words)) }
                            td { (number) }
                        }
                    }
                }
            }
        };
        html! {
            @if let Some(words) = in_both(first, second, changes) {
                p { (words) ", which alone are compared." }
            }
            @if changes.changed.is_empty() {
                p { "No difference: every image has the same class." }
            }
            (wide("how many images came out how", &table))
        }
    }

    /// The class that a run says, its probability, and whether it is right.
    fn said(run: &RunFacts, of: &Prediction) -> Markup {
        let (class, mark) = match of.truth {
            None => ("said", ""),
            Some(truth) if truth == of.class => ("right", " ✓"),
            Some(_) => ("wrong", " ✗"),
        };
        html! {
            div class=(class) {
                (bidi(&run.name)) " → " (cut(run.class(of.class), LONG)) " " (percent(f64::from(of.confidence()))) (mark)
            }
        }
    }

    fn caption(&self, changed: &Changed) -> Markup {
        // Where one of them is right, that says the truth.
        let truth = changed.first.truth.filter(|_| changed.outcome == Outcome::WrongOtherwise);
        html! {
            div class="id" { (cut(&changed.first.id, LONG)) }
            (Self::said(self.first, changed.first))
            (Self::said(self.second, changed.second))
            @if let Some(truth) = truth {
                div class="truth" { "truth: " (cut(self.first.class(truth), LONG)) }
            }
        }
    }

    fn alt(&self, changed: &Changed) -> String {
        let Changed { first, second, .. } = changed;
        let mut text = format!(
            "image {}: {} says {}, {} says {}",
            first.id,
            self.first.name,
            self.first.class(first.class),
            self.second.name,
            self.second.class(second.class)
        );
        if let Some(truth) = first.truth {
            text += &format!(", truth {}", self.first.class(truth));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(name: &str, said: &[(Option<usize>, usize)]) -> RunFacts {
        let predictions = said.iter().enumerate().map(|(at, &(truth, class))| Prediction {
            id: format!("<{at}>"),
            truth,
            class,
            probs: (0..3).map(|other| if other == class { 0.8 } else { 0.1 }).collect(),
            content: None,
        });
        RunFacts {
            name: name.to_owned(),
            classes: ["Forest", "River", "<Sea>"].map(str::to_owned).to_vec(),
            predictions: predictions.collect(),
            ..RunFacts::default()
        }
    }

    fn body(runs: &[RunFacts]) -> String {
        section(runs, None).unwrap().0.unwrap().body.into_string()
    }

    #[test]
    fn every_kind_has_its_images_with_what_both_runs_say() {
        let a = run("A", &[(Some(0), 0), (Some(0), 1), (Some(0), 1), (None, 1), (Some(0), 0)]);
        let b = run("B", &[(Some(0), 1), (Some(0), 0), (Some(0), 2), (None, 0), (Some(0), 0)]);
        let page = body(&[a, b]);
        let kinds = [
            "Only A is right",
            "Only B is right",
            "Both are wrong, each with another class",
            "Changed, and the truth",
        ];
        for kind in kinds {
            assert!(page.contains(&format!("<h3>{kind}")), "{kind}: {page}");
        }
        assert_eq!(page.matches("<figure").count(), 4);
        assert!(page.contains("<bdi>A</bdi> → <bdi>Forest</bdi> 80.0 % ✓"), "{page}");
        assert!(page.contains("<bdi>B</bdi> → <bdi>&lt;Sea&gt;</bdi> 80.0 % ✗"), "{page}");
        assert!(page.contains("truth: <bdi>Forest</bdi>"), "{page}");
        assert!(!page.contains("<Sea>") && !page.contains("<0>"), "{page}");
    }

    #[test]
    fn no_more_than_a_handful_of_each_kind_is_shown_and_the_rest_counted() {
        let all = |class| vec![(Some(0), class); SHOWN + 6];
        let page = body(&[run("A", &all(0)), run("B", &all(1))]);
        assert_eq!(page.matches("<figure").count(), SHOWN);
        assert!(page.contains("24 of 30"), "{page}");
    }

    #[test]
    fn of_other_images_those_that_both_have_are_compared_and_counted() {
        let of = |images: &str, last: &str| {
            let mut run = run(images, &[(Some(0), 0), (Some(0), 1)]);
            run.images = images.to_owned();
            for (prediction, content) in run.predictions.iter_mut().zip(["x", last]) {
                prediction.content = Some(content.to_owned());
            }
            run
        };
        let page = body(&[of("A", "y"), of("B", "z")]);
        assert!(page.contains("1 of 2 test images are in both, which alone are compared."), "{page}");
    }

    #[test]
    fn runs_whose_images_cannot_be_compared_say_why() {
        let a = run("A", &[(None, 0)]);
        let other = RunFacts { images: "others".to_owned(), ..run("B", &[(None, 0)]) };
        assert!(body(&[a.clone(), other]).contains("not compared: they read other images, and those of one"));
        assert!(body(&[a.clone(), a.clone()]).contains("No difference: every image has the same class."));
        let untested = RunFacts::default();
        assert!(section(&[untested.clone(), untested], None).unwrap().0.is_none());
    }
}
