//! Runs side by side on the terminal.

use pipeline::error::Result;

use crate::report::compare::{
    Changed, Changes, Row, RunFacts, changed_settings, classes_differ, in_both, no_difference, side_by_side,
    tally, told_figures,
};

/// Changed images that are listed, and pairs of classes.
const LISTED: usize = 10;

pub(super) fn print(runs: &[RunFacts]) -> Result<()> {
    let rows = runs.iter().map(|run| vec![run.name.clone(), run.title.clone(), run.data_set.clone()]);
    for line in aligned(&rows.collect::<Vec<_>>(), 3) {
        out!("{line}");
    }
    if no_difference(runs) {
        out!("\nno difference: settings, figures, predictions and stages are the same");
        return Ok(());
    }
    settings(runs)?;
    figures(runs)?;
    if let Some((first, others)) = runs.split_first() {
        others.iter().try_for_each(|other| images(first, other))?;
    }
    stages(runs)
}

/// The lines of a table with a headline of the runs' names.
fn table(runs: &[RunFacts], rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let head = std::iter::once(String::new()).chain(runs.iter().map(|run| run.name.clone()));
    let rows: Vec<Vec<String>> = std::iter::once(head.collect()).chain(rows).collect();
    for line in aligned(&rows, 1) {
        out!("  {line}");
    }
    Ok(())
}

/// Rows as lines of aligned columns, of which the first `left` begin at the left and the others end at the right.
pub(in crate::cli) fn aligned(rows: &[Vec<String>], left: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column < left {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn settings(runs: &[RunFacts]) -> Result<()> {
    let rows = changed_settings(runs);
    out!("\nSettings that differ");
    if classes_differ(runs) {
        out!("  the runs have different classes: their images are not compared");
    }
    if rows.is_empty() {
        out!("  no difference");
        return Ok(());
    }
    let row = |row: Row<String>| {
        let values = row.values.iter().map(|value| value.map_or_else(|| "–".to_owned(), String::clone));
        std::iter::once(row.name.to_owned()).chain(values).collect()
    };
    table(runs, rows.into_iter().map(row))
}

/// The figures, those of later runs with the difference to the first: of shares in percentage points. Those that all runs
/// have alike are counted.
fn figures(runs: &[RunFacts]) -> Result<()> {
    out!("\nFigures (in parentheses the difference to the first run, of shares in points)");
    let [told, same] = told_figures(runs);
    let rows = told.into_iter().map(|row| {
        let first = row.values.first().copied().flatten();
        let values = row.values.iter().map(|figure| {
            let Some(figure) = figure else { return "–".to_owned() };
            let difference = first.and_then(|first| figure.difference_to(first));
            format!("{}{}", figure.shown(), difference.map(|by| format!(" ({by})")).unwrap_or_default())
        });
        std::iter::once(row.name.to_owned()).chain(values).collect()
    });
    table(runs, rows)?;
    match same.len() {
        0 => {}
        1 => out!("  and 1 figure that is the same in all, which the page has"),
        count => out!("  and {count} figures that are the same in all, which the page has"),
    }
    Ok(())
}

fn images(first: &RunFacts, second: &RunFacts) -> Result<()> {
    let changes = match Changes::between(first, second) {
        Ok(changes) => changes,
        Err(why) => {
            out!("\nTest images of {} and {} are not compared: {why}", first.name, second.name);
            return Ok(());
        }
    };
    let (changed, all) = (changes.changed.len(), changes.images());
    out!("\nTest images whose class changed from {} to {}: {changed} of {all}", first.name, second.name);
    if let Some(words) = in_both(&first.name, &second.name, &changes) {
        out!("  {words}, which alone are compared");
    }
    let rows = tally(&first.name, &second.name, &changes).into_iter();
    let rows: Vec<Vec<String>> = rows.map(|(words, number)| vec![words, number]).collect();
    for line in aligned(&rows, 1) {
        out!("  {line}");
    }
    pairs(first, &changes)?;
    listed(first, second, &changes.changed)
}

/// Between which classes images whose truth is not known changed.
fn pairs(run: &RunFacts, changes: &Changes) -> Result<()> {
    let pairs = changes.class_pairs();
    if pairs.is_empty() {
        return Ok(());
    }
    out!("  of those whose truth is not known:");
    let rows = pairs.iter().take(LISTED).map(|&((from, to), count)| {
        vec![format!("{} → {}", run.class(from), run.class(to)), count.to_string()]
    });
    for line in aligned(&rows.collect::<Vec<_>>(), 1) {
        out!("    {line}");
    }
    if pairs.len() > LISTED {
        out!("    and {} more pairs of classes", pairs.len() - LISTED);
    }
    Ok(())
}

/// The changed images whose probabilities changed most.
fn listed(first: &RunFacts, second: &RunFacts, changed: &[Changed]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    out!("  those whose probabilities changed most:");
    let rows = changed.iter().take(LISTED).map(|of| {
        let said = |run: &RunFacts, class: usize, confidence: f32| {
            format!("{}: {} {:.1} %", run.name, run.class(class), 100.0 * confidence)
        };
        let truth = of.first.truth.map(|truth| format!("truth: {}", first.class(truth)));
        vec![
            of.first.id.clone(),
            said(first, of.first.class, of.first.confidence()),
            said(second, of.second.class, of.second.confidence()),
            truth.unwrap_or_default(),
        ]
    });
    for line in aligned(&rows.collect::<Vec<_>>(), 4) {
        out!("    {line}");
    }
    Ok(())
}

/// Which stages have one result in all runs.
fn stages(runs: &[RunFacts]) -> Result<()> {
    let rows = side_by_side(runs, |run| &run.stages[..]);
    let named = |which: &dyn Fn(&Row<String>) -> bool| {
        let names: Vec<&str> = rows.iter().filter(|&row| which(row)).map(|row| row.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    out!("\nStages");
    out!("  the same result: {}", named(&|row| row.is_same()));
    out!("  another result:  {}", named(&|row| !row.is_same() && row.values.iter().all(Option::is_some)));
    for (at, run) in runs.iter().enumerate() {
        let lacks = |row: &Row<String>| row.values.get(at).is_some_and(Option::is_none);
        if rows.iter().any(lacks) {
            out!("  not in {}:       {}", run.name, named(&lacks));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_to_the_left_and_then_to_the_right() {
        let rows = [["", "A", "B"], ["größer", "1", "10.5"], ["x", "–", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows, 1), ["        A     B", "größer  1  10.5", "x       –"]);
        assert!(aligned(&[], 1).is_empty());
    }
}
