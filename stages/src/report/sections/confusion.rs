//! The confusion matrix: which classes the student takes for which, with pictures of every cell.
//!
//! A number of the matrix leads to the pictures of its images, which the page shows when they are led to; that takes no
//! script.

mod choice;
mod order;

use maud::{Markup, html};

use super::caption::{LONG, images, pictures};
use crate::report::facts::Facts;
use crate::report::page::{Section, bidi, count, cut, percent, wide};
use crate::report::pictures::Sprites;
use choice::Cell;
pub(super) use choice::Choice;

/// The section's id, to which the pictures of a cell lead back.
const ID: &str = "confusion";

pub(super) fn section(facts: &Facts, sprites: &Sprites, choice: &Choice) -> Section {
    let title = if choice.by_truth { "Confusions" } else { "Where student and annotators disagree" };
    let body = html! {
        (introduction(choice))
        (matrix(facts, choice))
        (list(facts, choice))
        @for cell in choice.pictured() {
            (pictures_of(facts, sprites, choice, cell))
        }
    };
    Section { id: ID, title: title.to_owned(), body }
}

fn introduction(choice: &Choice) -> Markup {
    let (all, different) = (choice.images.iter().sum::<usize>(), choice.different());
    html! {
        p {
            @if choice.by_truth {
                "Of " (images(all)) " of the test split whose true class is known, " (count(different))
                @if different == 1 { " is" } @else { " are" }
                " taken for another. Rows are true classes, columns what the student takes their images for."
            } @else {
                "No true class of a test image is known. Of " (images(all)) " of the test split that "
                "somebody annotated, the student takes " (count(different)) " for another class than the one "
                "that the annotators hold most likely. Rows are the annotators' classes, columns the "
                "student's; which of them is right the matrix does not say."
            }
            " The stronger a cell's colour, the larger its share of the row. Classes that are taken for each "
            "other stand side by side. A number leads to pictures of its images."
        }
        @if choice.is_part() {
            p {
                "Of " (count(choice.images.len())) " classes the rows are the "
                (count(choice.matrix.len())) " of which most images are taken for another, and the columns the "
                (count(choice.columns.len())) " that these are taken for most often. The last column counts what is "
                "taken for any other class. The list below the matrix is of all classes."
            }
        }
        @if choice.without_pictures > 0 {
            p {
                "The pictures are those of the most frequent cells; " (count(choice.without_pictures))
                @if choice.without_pictures == 1 { " cell has none." } @else { " cells have none." }
            }
        }
    }
}

fn matrix(facts: &Facts, choice: &Choice) -> Markup {
    let rows = if choice.by_truth { "true class" } else { "annotators" };
    let table = html! {
        table class="matrix" {
            thead {
                tr {
                    td { (rows) " ↓ student →" }
                    @for &class in &choice.columns {
                        th scope="col" title=(facts.class(class)) { span { (bidi(facts.class(class))) } }
                    }
                    @if choice.is_part() {
                        th scope="col" { span { "others" } }
                    }
                }
            }
            tbody {
                @for &class in &choice.matrix {
                    tr {
                        th scope="row" title=(facts.class(class)) { span { (bidi(facts.class(class))) } }
                        @for &taken_for in &choice.columns {
                            (field(facts, choice, class, taken_for))
                        }
                        @if choice.is_part() {
                            td { (count(others(choice, class))) }
                        }
                    }
                }
            }
        }
    };
    wide("Confusion matrix", &table)
}

fn field(facts: &Facts, choice: &Choice, class: usize, taken_for: usize) -> Markup {
    let Some(cell) = choice.cell(class, taken_for) else { return html! { td {} } };
    let share = choice.share(cell);
    let kind = if cell.differs() { "different" } else { "same" };
    let title = format!("{} taken for {}: {}", facts.class(class), facts.class(taken_for), percent(share));
    html! {
        td class=(kind) style=(format!("--share:{share:.3}")) title=(title) { (number(cell)) }
    }
}

/// Images of a class that are taken for a class that is no column of the matrix.
fn others(choice: &Choice, class: usize) -> usize {
    let cells = choice.columns.iter().filter_map(|&taken_for| choice.cell(class, taken_for));
    choice.images[class] - cells.map(|cell| cell.images).sum::<usize>()
}

/// How many images a cell has; a link where they are shown.
fn number(cell: &Cell) -> Markup {
    html! {
        @if cell.pictures.is_empty() {
            (count(cell.images))
        } @else {
            a href={ "#" (anchor(cell)) } { (count(cell.images)) }
        }
    }
}

fn anchor(cell: &Cell) -> String {
    format!("c-{}-{}", cell.class, cell.taken_for)
}

/// The most frequent confusions: what of the matrix can be read aloud, and on a small screen.
fn list(facts: &Facts, choice: &Choice) -> Markup {
    let length = choice.listed().len();
    if length == 0 {
        return html! {};
    }
    let table = html! {
        table {
            caption {
                @if length == 1 {
                    "The only confusion"
                } @else {
                    "The " (count(length)) " most frequent confusions"
                }
            }
            thead {
                tr {
                    th scope="col" { @if choice.by_truth { "true class" } @else { "annotators" } }
                    th scope="col" class="words" { "taken for" }
                    th scope="col" { "images" }
                    th scope="col" { "share of the class" }
                }
            }
            tbody {
                @for cell in choice.listed() {
                    tr {
                        th scope="row" { (cut(facts.class(cell.class), LONG)) }
                        td class="words" { (cut(facts.class(cell.taken_for), LONG)) }
                        td { (number(cell)) }
                        td { (percent(choice.share(cell))) }
                    }
                }
            }
        }
    };
    wide("The most frequent confusions", &table)
}

/// The pictures of a cell, which are hidden until they are led to.
fn pictures_of(facts: &Facts, sprites: &Sprites, choice: &Choice, cell: &Cell) -> Markup {
    let shown = cell.pictures.len();
    let order = if cell.differs() { "the surest first" } else { "the least sure first" };
    html! {
        section class="cell" id=(anchor(cell)) {
            h3 {
                (cut(facts.class(cell.class), LONG))
                @if cell.differs() {
                    " taken for " (cut(facts.class(cell.taken_for), LONG))
                } @else if choice.by_truth {
                    " taken for what it is"
                } @else {
                    " by both"
                }
                ": " (images(cell.images))
            }
            p {
                @if shown < cell.images { (count(shown)) " of them, " (order) ". " }
                @else if shown > 1 { "All of them, " (order) ". " }
                a href={ "#" (ID) } { "Back to the matrix" }
            }
            (pictures(facts, sprites, &cell.pictures))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::report::sections::fixture_tests::{Example, Run};

    fn page(run: &Run) -> Section {
        let facts = run.facts();
        section(&facts, &Sprites::empty(), &Choice::new(&facts).unwrap())
    }

    fn run(truth: Option<i32>) -> Run {
        let classes = ["Forest", "<script>alert(1)</script>", "River"].map(str::to_owned).to_vec();
        let said = [(0, 0.9), (1, 0.8), (1, 0.7), (2, 0.6)];
        Run::new(classes, &said.map(|said| Example::test(truth, Some(0), said)))
    }

    #[test]
    fn a_number_leads_to_its_pictures_and_they_lead_back() {
        let page = page(&run(Some(0)));
        let body = page.body.into_string();
        for anchor in ["c-0-0", "c-0-1", "c-0-2"] {
            let target = format!(r#"<section class="cell" id="{anchor}">"#);
            assert_eq!(body.matches(&target).count(), 1, "{anchor} in {body}");
            assert!(body.contains(&format!(r##"<a href="#{anchor}">"##)), "{anchor} in {body}");
        }
        assert_eq!(body.matches(r##"<a href="#confusion">"##).count(), 3);
        assert_eq!((page.id, page.title.as_str()), ("confusion", "Confusions"));
    }

    #[test]
    fn a_cell_says_its_share_of_the_row() {
        let body = page(&run(Some(0))).body.into_string();
        assert!(body.contains(r#"<td class="different" style="--share:0.500""#), "{body}");
        assert!(body.contains(r#"<td class="same" style="--share:0.250""#), "{body}");
    }

    #[test]
    fn without_truth_the_page_says_whom_the_student_is_compared_with() {
        let page = page(&run(None));
        assert_eq!(page.title, "Where student and annotators disagree");
        assert!(page.body.into_string().contains("No true class of a test image is known"));
    }

    #[test]
    fn the_name_of_a_class_stays_text() {
        let body = page(&run(Some(0))).body.into_string();
        assert!(!body.contains("<script>"), "{body}");
        assert!(body.contains("Forest taken for &lt;script&gt;alert(1)&lt;/script&gt;: "), "{body}");
    }

    #[test]
    fn what_is_taken_for_a_class_beyond_the_matrix_is_counted_as_others() {
        // Each class is taken for class 100 twice, and once for a class that no other is taken for.
        let of = |class: u16| {
            [100, 100, 101 + class].map(|said| Example::test(Some(class.into()), None, (said, 0.5)))
        };
        let names = (0..150).map(|n| n.to_string()).collect();
        let run = Run::new(names, &(0..40).flat_map(of).collect::<Vec<_>>());
        let facts = run.facts();
        let choice = Choice::new(&facts).unwrap();
        let counted: Vec<usize> = choice.matrix.iter().map(|&class| others(&choice, class)).collect();
        // Thirty columns: class 100, and those of the first 29 classes.
        assert_eq!((counted.len(), counted.iter().sum::<usize>()), (30, 1));
        let body = section(&facts, &Sprites::empty(), &choice).body.into_string();
        assert!(body.contains("<span>others</span>") && body.contains("Of 150 classes the rows are the 30"));
    }

    #[test]
    fn a_long_name_is_whole_in_its_title() {
        let name = "x".repeat(240);
        let tested = [(0, 0.9), (1, 0.8)].map(|said| Example::test(Some(0), None, said));
        let body = page(&Run::new(vec![name.clone(), "y".to_owned()], &tested)).body.into_string();
        for place in ["th scope=\"col\"", "th scope=\"row\"", "bdi"] {
            assert!(body.contains(&format!("<{place} title=\"{name}\">")), "{place} in {body}");
        }
    }
}
