//! What the page of a comparison shows, section by section.

mod pictures;

use maud::{Markup, html};
use pipeline::error::Result;
use pipeline::stage::Context;

use super::{Row, RunFacts, changed_settings, classes_differ, side_by_side};
use crate::artifacts::images::Images;
use crate::report::page::{Section, bidi, wide};
use crate::report::plot::{Line, LinePlot};

/// Runs up to so many have a column each; more have a row each.
const COLUMNS: usize = 4;

/// All sections of which there is something to say, and the pictures as CSS.
pub(super) fn all(runs: &[RunFacts], images: Option<(&Images, &Context)>) -> Result<(Vec<Section>, String)> {
    let mut sections = Vec::new();
    sections.extend(legend(runs));
    sections.push(settings(runs));
    sections.push(figures(runs));
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
    let data_sets_differ = runs.windows(2).any(|pair| pair[0].data_set != pair[1].data_set);
    let body = html! {
        @if data_sets_differ {
            p { "The runs are of different data sets." }
        } @else if classes_differ(runs) {
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

/// All figures; those of later runs with the difference to the first.
fn figures(runs: &[RunFacts]) -> Section {
    let rows: Vec<(&str, Vec<String>)> = side_by_side(runs, |run| &run.figures[..])
        .into_iter()
        .map(|row| {
            let first = row.values.first().copied().flatten();
            let cells = row.values.iter().map(|figure| match figure {
                None => "–".to_owned(),
                Some(figure) => match first.and_then(|first| figure.difference_to(first)) {
                    None => figure.shown(),
                    Some(difference) => format!("{} ({difference})", figure.shown()),
                },
            });
            (row.name, cells.collect())
        })
        .collect();
    let name = runs.first().map_or("", |run| run.name.as_str());
    let body = html! {
        p.note { "In parentheses: the difference to " (bidi(name)) ", of shares in percentage points." }
        (table("figures", runs, &rows))
    };
    Section { id: "figures", title: "Figures".to_owned(), body }
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
            thead { tr { td {} @for name in head { th scope="col" { (bidi(name)) } } } }
            tbody {
                @for (name, cells) in body {
                    tr {
                        th scope="row" { (bidi(name)) }
                        @for cell in cells { td { (bidi(cell)) } }
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
        let (sections, sheets) = all(runs, None).unwrap();
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
    fn names_stay_texts() {
        let mut runs = [run("<script>", 0.5), run("B", 0.25)];
        runs[0].settings[0].1 = "<script>".to_owned();
        runs[0].title = "<script>".to_owned();
        assert!(!page(&runs).contains("<script>"));
    }
}
