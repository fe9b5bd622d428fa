//! What the page shows, section by section.
//!
//! The images that sections show are chosen before any is decoded, by what the sections themselves are written from:
//! what is decoded is what is shown.

mod annotators;
mod calibration;
mod caption;
mod confusion;
mod curves;
#[cfg(test)]
mod fixture_tests;
mod gallery;
mod overview;

use std::cmp::Ordering;

use super::facts::Facts;
use super::page::Section;
use super::pictures::Sprites;

/// The rows of all images that a section shows.
pub(super) fn chosen(facts: &Facts) -> Vec<usize> {
    Choice::new(facts).rows()
}

/// All sections of which there is something to say, in their order on the page.
pub(super) fn all(facts: &Facts, sprites: &Sprites) -> Vec<Section> {
    let choice = Choice::new(facts);
    let mut sections = vec![overview::section(facts)];
    sections.extend(curves::section(facts));
    sections.extend(choice.pictured(facts, sprites));
    sections.extend(calibration::section(facts));
    sections.extend(annotators::section(facts));
    sections.push(overview::settings(facts));
    sections
}

/// Which images the sections show; the same for the same facts.
struct Choice {
    confusion: Option<confusion::Choice>,
    gallery: gallery::Choice,
}

impl Choice {
    fn new(facts: &Facts) -> Self {
        Self { confusion: confusion::Choice::new(facts), gallery: gallery::Choice::new(facts) }
    }

    fn rows(&self) -> Vec<usize> {
        let confusion = self.confusion.iter().flat_map(confusion::Choice::rows);
        confusion.chain(self.gallery.rows()).collect()
    }

    /// The sections that show images.
    fn pictured(&self, facts: &Facts, sprites: &Sprites) -> Vec<Section> {
        let confusion = self.confusion.iter().map(|choice| confusion::section(facts, sprites, choice));
        confusion.chain(gallery::sections(facts, sprites, &self.gallery)).collect()
    }
}

/// An image and what is said of it: of a test image by the student, of a training image by the method.
#[derive(Clone, Copy, Debug)]
struct Case {
    row: usize,
    class: usize,
    confidence: f32,
}

/// The images in these rows of which something is said.
fn cases(facts: &Facts, rows: Vec<usize>) -> Vec<Case> {
    let case = |row| facts.said(row).map(|said| Case { row, class: said.class, confidence: said.confidence });
    rows.into_iter().filter_map(case).collect()
}

/// The surer one comes first, of equals the one that the table has first.
fn surest_first(a: &Case, b: &Case) -> Ordering {
    b.confidence.total_cmp(&a.confidence).then(a.row.cmp(&b.row))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use pipeline::stage::Context;

    use super::fixture_tests::{Example, Run};
    use super::*;

    /// Five classes; test images of each class that are taken for it and for the next one, training images whose
    /// second candidate is believed or not.
    fn run() -> Run {
        let tested = (0..60u16).map(|n| {
            let class = n % 5;
            let said = if n % 3 == 0 { (class + 1) % 5 } else { class };
            Example::test(Some(class.into()), Some(class), (said, 0.4 + f32::from(n) / 200.0))
        });
        let trained = (0..80u16).map(|n| {
            let class = n % 5;
            let candidates = [(class, 0.75), (class + 1, 0.25)];
            let said = (class + u16::from(n % 4 == 0), 0.3 + f32::from(n) / 200.0);
            Example { believed: n % 4 != 0, ..Example::train(&candidates, said) }
        });
        let classes = (0..6).map(|n| format!("class {n}")).collect();
        Run::new(classes, &tested.chain(trained).collect::<Vec<_>>())
    }

    #[test]
    fn every_image_that_a_section_shows_is_chosen() {
        let run = run();
        let facts = run.facts();
        let context = Context::for_test("no checkpoint");
        let sprites = Sprites::new(&run.images, &chosen(&facts), &context).unwrap();
        let sections = Choice::new(&facts).pictured(&facts, &sprites);
        let ids: Vec<&str> = sections.iter().map(|section| section.id).collect();
        assert_eq!(ids, ["confusion", "surest", "doubtful", "disagree", "not-believed", "classes"]);
        for section in sections {
            let page = section.body.into_string();
            let figures = page.matches("<figure").count();
            assert!(figures > 0, "{}", section.id);
            assert_eq!(figures, page.matches(r#"role="img""#).count(), "{}", section.id);
        }
    }

    #[test]
    fn the_same_facts_give_the_same_bytes() {
        let page = || {
            let run = run();
            let facts = run.facts();
            let sections = Choice::new(&facts).pictured(&facts, &Sprites::empty());
            let texts = sections.into_iter().map(|section| section.title + &section.body.into_string());
            texts.collect::<String>()
        };
        assert_eq!(page(), page());
    }

    #[test]
    fn thousands_of_classes_and_images_give_a_page_of_a_few_megabytes() {
        let classes = 5000u16;
        // 35 classes, each of which is taken for itself and for three others, 13 times each.
        let tested = (0..35u16).flat_map(|class| {
            let said = move |n: u16| (class + n % 4, f32::from(n) / 60.0);
            (0..52).map(move |n| Example::test(Some(class.into()), Some(class), said(n)))
        });
        let trained = (0..classes).map(|class| {
            let candidates = [(class, 0.5), ((class + 1) % classes, 0.3), ((class + 7) % classes, 0.2)];
            let said = (class + 1) % classes;
            Example { believed: false, ..Example::train(&candidates, (said, 0.5)) }
        });
        let names = (0..classes).map(|n| format!("a class of many, number {n}")).collect();
        let run = Run::new(names, &tested.chain(trained).collect::<Vec<_>>());
        let facts = run.facts();
        let mut rows = chosen(&facts);
        rows.sort_unstable();
        rows.dedup();
        assert!((1000..=2500).contains(&rows.len()), "{} pictures", rows.len());
        let sections = Choice::new(&facts).pictured(&facts, &Sprites::empty());
        let bytes: usize = sections.into_iter().map(|section| section.body.into_string().len()).sum();
        assert!(bytes < 2 << 20, "{bytes} bytes");
    }
}
