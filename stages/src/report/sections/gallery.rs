//! Images with their candidates and what became of them: the surest ones, the doubtful ones, those on which the
//! annotators are not believed, and some of each class.

mod choice;

use maud::{Markup, html};

use super::caption::{LONG, images, pictures};
use crate::report::facts::Facts;
use crate::report::page::{Section, count, cut};
use crate::report::pictures::Sprites;
pub(super) use choice::Choice;
use choice::{Group, OfClass};

pub(super) fn sections(facts: &Facts, sprites: &Sprites, choice: &Choice) -> Vec<Section> {
    let (whose, who) =
        if choice.settled { ("training images", "the method") } else { ("test images", "the student") };
    let galleries = [
        (
            "surest",
            "The surest images",
            &choice.surest,
            format!("The {whose} of whose class {who} is surest, one of each class in turn."),
        ),
        (
            "doubtful",
            "The least sure images",
            &choice.doubtful,
            format!("The {whose} of whose class {who} is least sure."),
        ),
        (
            "disagree",
            "Images on which annotators are overruled",
            &choice.disagree,
            "Training images, then test images, that are taken for another class than the annotators hold most likely: of \
             the ones those of which the method is surest, of the others those of which the student is."
                .to_owned(),
        ),
        (
            "not-believed",
            "Images whose candidates are not believed",
            &choice.not_believed,
            "Training images of 𝒰: the method does not believe that their candidates hold the true class, and \
             learns from them as unlabeled ones. Those of whose class it is surest nevertheless."
                .to_owned(),
        ),
    ];
    let galleries = galleries.into_iter().filter(|(_, _, group, _)| !group.rows.is_empty());
    let mut sections: Vec<Section> =
        galleries.map(|(id, title, group, what)| gallery(facts, sprites, id, title, group, &what)).collect();
    sections.extend(classes(facts, sprites, choice));
    sections
}

fn gallery(
    facts: &Facts,
    sprites: &Sprites,
    id: &'static str,
    title: &str,
    group: &Group,
    what: &str,
) -> Section {
    let body = html! {
        p { (what) " " (legend(facts)) }
        (pictures(facts, sprites, &group.rows))
    };
    Section { id, title: format!("{title}: {} of {}", count(group.rows.len()), count(group.of)), body }
}

/// What the captions say, and where the rest is.
fn legend(facts: &Facts) -> Markup {
    let support = if facts.votes.is_some() { "how many voted for each" } else { "how much each is believed" };
    html! {
        "Below each image are its candidates with " (support) ", and behind the arrow what it is taken for. "
        "All images are in " code { "label/labels.parquet" } " and " code { "evaluate/predictions.parquet" } "."
    }
}

/// Images of each class; none where there is no class to speak of.
fn classes(facts: &Facts, sprites: &Sprites, choice: &Choice) -> Option<Section> {
    let shown = choice.classes.len();
    if shown == 0 {
        return None;
    }
    let body = html! {
        p {
            "Of each class, images that are taken for it, and images that have it among their candidates and "
            "are taken for another. "
            @if choice.left_out > 0 {
                "The classes that are candidates most often are shown; " (count(choice.left_out))
                " are left out. "
            }
            (legend(facts))
        }
        @for class in &choice.classes {
            (of_class(facts, sprites, class))
        }
    };
    let title = format!("Classes: {} of {}", count(shown), count(shown + choice.left_out));
    Some(Section { id: "classes", title, body })
}

fn of_class(facts: &Facts, sprites: &Sprites, class: &OfClass) -> Markup {
    let OfClass { class, candidate_of, taken, passed_over } = class;
    html! {
        details {
            summary {
                (cut(facts.class(*class), LONG)) ": candidate of " (images(*candidate_of)) ", " (count(taken.of))
                " taken for it"
            }
            @if !taken.rows.is_empty() {
                p { "Taken for it, the surest " (count(taken.rows.len())) " of " (count(taken.of)) ":" }
                (pictures(facts, sprites, &taken.rows))
            }
            @if !passed_over.rows.is_empty() {
                p {
                    "A candidate, but taken for another class, " (count(passed_over.rows.len())) " of "
                    (count(passed_over.of)) ":"
                }
                (pictures(facts, sprites, &passed_over.rows))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sections::fixture_tests::{Example, Run};

    fn page(classes: &[&str], examples: &[Example]) -> Vec<Section> {
        let run = Run::new(classes.iter().map(|&class| class.to_owned()).collect(), examples);
        let facts = run.facts();
        sections(&facts, &Sprites::empty(), &Choice::new(&facts))
    }

    #[test]
    fn a_heading_says_how_many_images_there_are() {
        let image = Example::train(&[(0, 0.5), (1, 0.5)], (0, 0.75));
        let images = vec![image; 40];
        let sections = page(&["x", "y"], &images);
        let titles: Vec<&str> = sections.iter().map(|section| section.title.as_str()).collect();
        let surest = format!("The surest images: {} of {}", count(24), count(40));
        let doubtful = format!("The least sure images: {} of {}", count(24), count(40));
        assert_eq!(titles, [surest.as_str(), doubtful.as_str(), "Classes: 2 of 2"]);
    }

    #[test]
    fn a_class_opens_to_its_pictures_and_its_name_stays_text() {
        let images = [(0, 0.9), (1, 0.8)].map(|said| Example::train(&[(0, 0.5), (1, 0.5)], said));
        let sections = page(&["<script>alert(1)</script>", "y"], &images);
        assert!(sections.iter().any(|section| section.id == "classes"));
        for section in sections {
            let body = section.body.into_string();
            assert!(!body.contains("<script>"), "{body}");
            if section.id == "classes" {
                let (details, figures) = (body.matches("<details>"), body.matches("<figure"));
                assert_eq!((details.count(), figures.count()), (2, 4), "{body}");
            }
        }
    }

    #[test]
    fn what_there_is_none_of_has_no_section() {
        assert!(page(&["x"], &[]).is_empty());
    }
}
