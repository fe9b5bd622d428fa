//! What the page of a comparison shows, section by section.

mod pictures;

use maud::{Markup, html};
use pipeline::error::Result;
use pipeline::stage::Context;

use super::{
    Difference, Figure, Row, RunFacts, changed_settings, classes_differ, side_by_side, told_figures,
};
use crate::artifacts::images::Images;
use crate::report::page::{Section, bidi, count, cut, wide};
use crate::report::plot::{Line, LinePlot};

/// Runs up to so many have a column each; more have a row each.
const COLUMNS: usize = 4;
/// Characters of a name or a value for which there is room in a table's head.
const LONG: usize = 40;

/// All sections of which there is something to say, and the pictures as CSS. Of variants the figures come first: what
/// differs between them is what they are called.
pub(super) fn all(
    runs: &[RunFacts],
    differences: &[Difference],
    images: Option<(&Images, &Context)>,
) -> Result<(Vec<Section>, String)> {
    let mut sections = Vec::new();
    match legend(runs) {
        Some(legend) => sections.extend([legend, settings(runs), figures(runs, differences)]),
        None => sections.extend([figures(runs, differences), settings(runs)]),
    }
    sections.extend(curves(runs));
    let (images, sprites) = pictures::section(runs, images)?;
    sections.extend(images);
    Ok((sections, sprites.css()))
}

/// Which runs they are, where their names do not say so.
fn legend(runs: &[RunFacts]) -> Option<Section> {
    let titled = runs.iter().any(|run| !run.title.is_empty());
    let body = html! {
        dl.facts {
            @for run in runs {
                dt { (bidi(&run.name)) }
                dd { (bidi(&run.title)) ", data set " (bidi(&run.data_set)) }
            }
        }
    };
    titled.then(|| Section { id: "runs", title: "The runs".to_owned(), body })
}

fn settings(runs: &[RunFacts]) -> Section {
    let cells = |row: &Row<String>| {
        row.values.iter().map(|value| value.map_or_else(|| "–".to_owned(), String::clone)).collect()
    };
    let rows: Vec<(&str, Vec<String>)> =
        changed_settings(runs).iter().map(|row| (row.name, cells(row))).collect();
    let body = html! {
        @if classes_differ(runs) {
            p { "The runs have different classes." }
        }
        @if rows.is_empty() {
            p { "No difference: all settings are the same." }
        } @else {
            (table("settings that differ", runs, &rows))
        }
    };
    Section { id: "settings", title: "Settings that differ".to_owned(), body }
}

/// The figures; those of later runs with the difference to the first. What all have alike is folded away.
fn figures(runs: &[RunFacts], differences: &[Difference]) -> Section {
    let [told, same] = told_figures(runs);
    let name = runs.first().map_or("", |run| run.name.as_str());
    let body = html! {
        @if !told.is_empty() {
            p.note { "In parentheses: the difference to " (bidi(name)) ", of shares in percentage points." }
            (table("figures", runs, &compared(&told)))
        }
        @if !differences.is_empty() { (apart(name, differences)) }
        @if !same.is_empty() {
            details {
                summary {
                    (count(same.len())) @if same.len() == 1 { " figure that is" } @else { " figures that are" }
                    " the same in all"
                }
                (alike(&same))
            }
        }
    };
    Section { id: "figures", title: "Figures".to_owned(), body }
}

/// The figures of each run, and how far they are from those of the first.
fn compared<'a>(rows: &[Row<'a, Figure>]) -> Vec<(&'a str, Vec<String>)> {
    let cells = |row: &Row<Figure>| {
        let first = row.values.first().copied().flatten();
        let cell = |figure: &Option<&Figure>| match figure {
            None => "–".to_owned(),
            Some(figure) => match first.and_then(|first| figure.difference_to(first)) {
                None => figure.shown(),
                Some(difference) => format!("{} ({difference})", figure.shown()),
            },
        };
        row.values.iter().map(cell).collect()
    };
    rows.iter().map(|row| (row.name, cells(row))).collect()
}

/// Figures of which one value says all.
fn alike(rows: &[Row<Figure>]) -> Markup {
    let table = html! {
        table {
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" { (bidi(row.name)) }
                        td { @if let Some(figure) = row.values.iter().flatten().next() { (figure.shown()) } }
                    }
                }
            }
        }
    };
    wide("figures that are the same in all", &table)
}

/// How far each variant's test accuracy is from the first one's over the seeds, and whether that is more than chance.
fn apart(first: &str, differences: &[Difference]) -> Markup {
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" { "variant" }
                    th scope="col" { "points above " (cut(first, LONG)) }
                    th scope="col" { "can be told apart" }
                    th scope="col" { "seeds" }
                }
            }
            tbody {
                @for of in differences {
                    tr {
                        th scope="row" { (bidi(&of.name)) }
                        td { (of.shown()) }
                        td { @if of.can_be_told_apart() { "yes" } @else { "no" } }
                        td { (count(of.seeds)) }
                    }
                }
            }
        }
    };
    html! {
        h3 { "Test accuracy, the same seeds compared" }
        p.note {
            "± is the 95 % interval of the mean difference. Where it leaves out 0, the variants can be told apart."
        }
        (wide("test accuracy, the same seeds compared", &table))
    }
}

/// A plot for each figure of the epochs, in it a line for each run.
fn curves(runs: &[RunFacts]) -> Option<Section> {
    let plots: Vec<LinePlot> = side_by_side(runs, |run| &run.curves[..])
        .into_iter()
        .map(|row| {
            let lines = runs.iter().zip(&row.values).filter_map(|(run, curve)| {
                let points = curve.as_ref()?.points.iter();
                let points = points.map(|&(epoch, value)| (f64::from(epoch), value)).collect();
                Some(Line { name: run.name.clone(), points })
            });
            LinePlot {
                title: row.name.to_owned(),
                x: "epoch".to_owned(),
                y: row.name.to_owned(),
                shares: row.values.iter().flatten().any(|curve| curve.share),
                lines: lines.collect(),
            }
        })
        .collect();
    let body = html! {
        p.note { "Epochs are counted through all trainings that go on from one another, the warm-up first." }
        div.plots { @for plot in &plots { (plot.render()) } }
    };
    (!plots.is_empty()).then(|| Section { id: "curves", title: "Epoch by epoch".to_owned(), body })
}

/// A table with a column for each run and these rows, of which each has a cell for each run; where there are many runs,
/// with a row for each.
fn table(label: &str, runs: &[RunFacts], rows: &[(&str, Vec<String>)]) -> Markup {
    let names = runs.iter().map(|run| run.name.as_str());
    let (head, body): (Vec<&str>, Vec<(&str, Vec<&str>)>) = if runs.len() <= COLUMNS {
        let body = rows.iter().map(|(name, cells)| (*name, cells.iter().map(String::as_str).collect()));
        (names.collect(), body.collect())
    } else {
        let of_run =
            |at: usize| rows.iter().filter_map(|(_, cells)| cells.get(at)).map(String::as_str).collect();
        let body = names.enumerate().map(|(at, name)| (name, of_run(at)));
        (rows.iter().map(|(name, _)| *name).collect(), body.collect())
    };
    let table = html! {
        table {
            thead { tr { td {} @for name in head { th scope="col" { (cut(name, LONG)) } } } }
            tbody {
                @for (name, cells) in body {
                    tr {
                        th scope="row" { (bidi(name)) }
                        @for cell in cells {
                            td class=[(cell.chars().count() > LONG).then_some("long")] { (bidi(cell)) }
                        }
                    }
                }
            }
        }
    };
    wide(label, &table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::compare::{Curve, accuracy};

    fn run(name: &str, value: f64) -> RunFacts {
        RunFacts {
            name: name.to_owned(),
            settings: vec![("seed".to_owned(), value.to_string()), ("method".to_owned(), "rc".to_owned())],
            figures: vec![("test accuracy".to_owned(), accuracy(value))],
            curves: vec![("loss".to_owned(), Curve { share: false, points: vec![(1, value), (2, value)] })],
            ..RunFacts::default()
        }
    }

    fn page(runs: &[RunFacts]) -> String {
        let (sections, sheets) = all(runs, &[], None).unwrap();
        assert_eq!(sheets, "");
        sections.into_iter().map(|section| section.body.into_string()).collect()
    }

    #[test]
    fn few_runs_are_columns_and_the_difference_to_the_first_is_told() {
        let page = page(&[run("A", 0.5), run("B", 0.75)]);
        assert!(
            page.contains("<td></td><th scope=\"col\"><bdi>A</bdi></th><th scope=\"col\"><bdi>B</bdi></th>")
        );
        assert!(page.contains("<td><bdi>50.00 %</bdi></td><td><bdi>75.00 % (+25.00)</bdi></td>"), "{page}");
        assert!(page.contains("<bdi>seed</bdi>") && !page.contains("<bdi>method</bdi>"), "{page}");
        assert_eq!(page.matches("<figure class=\"plot\">").count(), 1);
    }

    #[test]
    fn many_runs_are_rows() {
        let runs: Vec<RunFacts> = (0..5).map(|n| run(&format!("variant {n}"), f64::from(n) / 8.0)).collect();
        let page = page(&runs);
        let row = "<th scope=\"row\"><bdi>variant 4</bdi></th><td><bdi>50.00 % (+50.00)</bdi></td>";
        assert!(page.contains(row), "{page}");
    }

    #[test]
    fn runs_that_do_not_differ_are_said_to_be_the_same() {
        let page = page(&[run("A", 0.5), run("B", 0.5)]);
        assert!(page.contains("No difference: all settings are the same."), "{page}");
    }

    #[test]
    fn of_variants_the_figures_come_first_and_of_runs_what_they_were_asked() {
        let ids = |runs: &[RunFacts]| -> Vec<&'static str> {
            all(runs, &[], None).unwrap().0.iter().map(|section| section.id).collect()
        };
        let variants = [run("A", 0.5), run("B", 0.75)];
        assert_eq!(ids(&variants), ["figures", "settings", "curves"]);
        let titled = variants.map(|run| RunFacts { title: "20260101".to_owned(), ..run });
        assert_eq!(ids(&titled), ["runs", "settings", "figures", "curves"]);
    }

    #[test]
    fn figures_that_all_have_alike_are_folded_away() {
        let runs = [0.5, 0.75].map(|value| {
            let mut run = run("A", value);
            run.figures.push(("eta".to_owned(), accuracy(0.125)));
            run
        });
        let page = page(&runs);
        let details = page.split("<details>").nth(1).unwrap();
        assert!(details.contains("1 figure that is the same in all"), "{page}");
        assert!(details.contains("<th scope=\"row\"><bdi>eta</bdi></th><td>12.50 %</td>"), "{page}");
        assert_eq!(page.matches("<bdi>eta</bdi>").count(), 1);
    }

    #[test]
    fn differences_over_seeds_are_told_with_their_interval() {
        let differences: Vec<Difference> = [("B", [2.0, 2.0, 2.5]), ("<script>", [5.0, -5.0, 5.0])]
            .iter()
            .filter_map(|(name, points)| Difference::of(name, points))
            .collect();
        let (sections, _) = all(&[run("A", 0.5), run("B", 0.75)], &differences, None).unwrap();
        let page: String = sections.into_iter().map(|section| section.body.into_string()).collect();
        assert!(page.contains("<td>+2.17 ± 0.72</td><td>yes</td><td>3</td>"), "{page}");
        assert!(page.contains("<td>+1.67 ± 14.34</td><td>no</td><td>3</td>"), "{page}");
        assert!(page.contains("points above <bdi>A</bdi>") && !page.contains("<script>"), "{page}");
    }

    #[test]
    fn names_stay_texts() {
        let mut runs = [run("<script>", 0.5), run("B", 0.25)];
        runs[0].settings[0].1 = "<script>".to_owned();
        runs[0].title = "<script>".to_owned();
        assert!(!page(&runs).contains("<script>"));
    }
}
