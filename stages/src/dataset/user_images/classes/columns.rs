//! Lists of classes that are tables: a heading above them, numbers beside the names.
//!
//! It finds the column of names, and says what was assumed. It knows nothing of images or files.

use crate::dataset::names::normalised;

/// A line and its number.
pub(super) type Line = (usize, String);

/// What a column of names is called.
const HEADINGS: [&str; 12] = [
    "class",
    "classes",
    "classname",
    "classnames",
    "name",
    "names",
    "label",
    "labels",
    "labelname",
    "category",
    "categories",
    "categoryname",
];

/// What a column of the classes' numbers is called.
const NUMBERS: [&str; 9] = ["id", "index", "number", "no", "nr", "idx", "classid", "labelid", "label"];

/// How to have lines taken as they are.
const AS_THEY_ARE: &str = "a JSON list of names, [\"…\", …], has them as they are written";

/// Whether a line is what a column of names is called.
pub(super) fn is_heading(line: &str) -> bool {
    HEADINGS.contains(&normalised(line).as_str())
}

/// The names in a table, and what is to be said of how they were found; none if the lines are no table. It is one if
/// each line has as many fields, and a heading says which are the names or all fields but the first are numbers. Where
/// the numbers are the classes' own, from 0 or 1, the names come in their order. With `table` the file is called a
/// table, and a heading alone is one.
///
/// # Errors
/// Two columns of either of which the heading says that it is the names.
pub(super) fn names(lines: &[(usize, &str)], table: bool) -> Result<Option<(Vec<Line>, String)>, String> {
    for separator in *b",;\t" {
        if let Some(rows) = rows(lines, separator)
            && let Some(found) = of_rows(lines, &rows)?
        {
            return Ok(Some(found));
        }
    }
    let Some((heading, rest)) =
        lines.split_first().filter(|(heading, rest)| table && !rest.is_empty() && is_heading(heading.1))
    else {
        return Ok(None);
    };
    let single = |(at, line): &(usize, &str)| match &fields(line, b',')?[..] {
        [name] => Some((*at, name.clone())),
        _ => None,
    };
    let as_written = || rest.iter().map(|(at, line)| (*at, (*line).to_owned())).collect();
    let names: Vec<Line> = rest.iter().map(single).collect::<Option<_>>().unwrap_or_else(as_written);
    let note = format!("the line `{}` is taken for a heading; where it is a class, {AS_THEY_ARE}", heading.1);
    Ok(Some((names, note)))
}

/// The fields of all lines, if each has as many, and more than one.
fn rows(lines: &[(usize, &str)], separator: u8) -> Option<Vec<Vec<String>>> {
    let rows: Vec<Vec<String>> =
        lines.iter().map(|(_, line)| fields(line, separator)).collect::<Option<_>>()?;
    let width = rows.first()?.len();
    (rows.len() > 1 && width > 1 && rows.iter().all(|row| row.len() == width)).then_some(rows)
}

fn fields(line: &str, separator: u8) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(line.as_bytes());
    let record = reader.records().next()?.ok()?;
    Some(record.iter().map(str::to_owned).collect())
}

fn of_rows(lines: &[(usize, &str)], rows: &[Vec<String>]) -> Result<Option<(Vec<Line>, String)>, String> {
    let Some((first, rest)) = rows.split_first() else { return Ok(None) };
    let columns = || 0..first.len();
    let numbers = |rows: &[Vec<String>], column: usize| rows.iter().all(|row| is_number(&row[column]));
    let called: Vec<usize> =
        columns().filter(|&column| is_heading(&first[column]) && !numbers(rest, column)).collect();
    let beside =
        |rows: &[Vec<String>]| !numbers(rows, 0) && (1..first.len()).all(|column| numbers(rows, column));
    // A heading whose words are not known stands above columns of numbers.
    let headed = rest.len() > 1 && beside(rest) && !first.iter().any(|field| is_number(field));
    let (column, body) = match called[..] {
        [column] => (column, rest),
        [one, other, ..] => {
            return Err(format!(
                "line {} has the columns `{}` and `{}`, and either may be the names: leave one of them out",
                lines[0].0, first[one], first[other]
            ));
        }
        [] if headed => (0, rest),
        [] if beside(rows) => (0, rows),
        [] => return Ok(None),
    };
    let skipped = rows.len() - body.len();
    let mut names: Vec<(usize, &str)> =
        lines[skipped..].iter().zip(body).map(|((at, _), row)| (*at, row[column].as_str())).collect();
    let mut distinct: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
    distinct.sort_unstable();
    distinct.dedup();
    // Numbers with a comma in them, or a table of something else.
    if distinct.len() < names.len() {
        return Ok(None);
    }
    let mut said = match skipped {
        0 => "the first column is taken for the names".to_owned(),
        _ => format!(
            "the line `{}` is taken for a heading, and the column `{}` for the names",
            lines[0].1, first[column]
        ),
    };
    let mut example = (lines[skipped].1, names[0].1);
    let may_number = |other: usize| {
        other != column
            && (skipped == 0 || first.len() == 2 || NUMBERS.contains(&normalised(&first[other]).as_str()))
    };
    let order = columns().filter(|&other| may_number(other)).find_map(|other| places(body, other));
    if let Some(places) = order.filter(|places| !places.is_sorted()) {
        let mut placed: Vec<(u64, (usize, &str), &str)> = places
            .into_iter()
            .zip(names)
            .zip(&lines[skipped..])
            .map(|((place, name), (_, line))| (place, name, *line))
            .collect();
        placed.sort_unstable();
        said += ", in the order of their numbers";
        example = (placed[0].2, placed[0].1.1);
        names = placed.into_iter().map(|(_, name, _)| name).collect();
    }
    let note = format!("{said}: `{}` is the class `{}`; {AS_THEY_ARE}", example.0, example.1);
    Ok(Some((names.into_iter().map(|(at, name)| (at, name.to_owned())).collect(), note)))
}

/// The numbers of a column, if they are those from 0, or from 1, each once.
fn places(rows: &[Vec<String>], column: usize) -> Option<Vec<u64>> {
    let places: Vec<u64> = rows.iter().map(|row| row[column].parse().ok()).collect::<Option<_>>()?;
    let mut sorted = places.clone();
    sorted.sort_unstable();
    let first = *sorted.first()?;
    (first <= 1 && sorted.iter().copied().eq(first..first + sorted.len() as u64)).then_some(places)
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(text: &str, table: bool) -> Option<Vec<String>> {
        let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).collect();
        let (names, _) = names(&lines, table).unwrap()?;
        Some(names.into_iter().map(|(_, name)| name).collect())
    }

    #[test]
    fn the_column_of_names_is_found_by_its_heading_or_beside_numbers() {
        for text in [
            "cat,5\ndog,7",
            "cat;5\ndog;7",
            "\"cat\",5,0.5\n\"dog\",7,0.1",
            "name,count\ncat,5\ndog,7",
            "Class\tDescription\ncat\tmeows\ndog\tbarks",
            "species,count\ncat,5\ndog,7",
            "dog,1\ncat,0",
            "label,name\n1,dog\n0,cat",
            "id,name\n7,cat\n9,dog",
        ] {
            assert_eq!(of(text, false).unwrap(), ["cat", "dog"], "{text}");
        }
        for text in [
            "cat\ndog",
            "class\ncat\ndog",
            "cat, big\ndog, small",
            "size 1,5\nsize 1,7",
            "tench, a\ncat",
            "1,2\n3,4",
        ] {
            assert_eq!(of(text, false), None, "{text}");
        }
        assert_eq!(of("class\ncat\ndog", true).unwrap(), ["cat", "dog"]);
        assert_eq!(of("class\n\"cat, big\"\ndog", true).unwrap(), ["cat, big", "dog"]);
        assert_eq!(of("cat\ndog", true), None);
        let two = [(1, "class,label"), (2, "n01,cat"), (3, "n02,dog")];
        assert!(names(&two, false).unwrap_err().contains("`class` and `label`"));
    }
}
