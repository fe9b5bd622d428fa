//! The lines of a list of classes, without what other programs and people write around the names.
//!
//! It says what was left out. It knows nothing of images or files.

use super::columns::Line;
use super::{Said, columns, dressing, forms};

/// The lines without signs around them, numbers, headings and other columns.
pub(super) fn plain(
    lines: &[(usize, &str)],
    table: bool,
    said: Said,
    notes: &mut Vec<String>,
) -> Result<Vec<Line>, String> {
    let lines = undressed(lines, notes);
    if let Some((lines, note)) = forms::without_numbers(&lines) {
        notes.push(note);
        return Ok(lines.into_iter().map(|(at, line)| (at, line.to_owned())).collect());
    }
    if let Some((lines, note)) = columns::names(&lines, table)? {
        notes.push(note);
        return Ok(lines);
    }
    if let Some((at, heading)) = lines.first().filter(|(_, line)| columns::is_heading(line))
        && lines.len() > 1
        && said == Said::ToClip
    {
        notes.push(format!("line {at} `{heading}` is taken for a class; if it is a heading, remove it"));
    }
    Ok(lines.into_iter().map(|(at, line)| (at, line.to_owned())).collect())
}

/// The lines without the signs that all have around them, or all but a heading.
fn undressed<'a>(lines: &[(usize, &'a str)], notes: &mut Vec<String>) -> Vec<(usize, &'a str)> {
    let bare = |lines: &[(usize, &'a str)]| {
        let texts: Vec<&'a str> = lines.iter().map(|(_, line)| *line).collect();
        dressing::undressed(&texts)
    };
    let headed = || {
        let (heading, rest) = lines.split_first()?;
        let texts: Vec<&str> = rest.iter().map(|(_, line)| *line).collect();
        let above = columns::is_heading(heading.1) && dressing::quoted(&texts) && texts.len() > 1;
        above.then(|| bare(rest)).flatten().map(|bare| (heading.1, rest, bare))
    };
    let (heading, dressed, bare) = match (bare(lines), headed()) {
        (Some(bare), _) => (None, lines, bare),
        (None, Some((heading, rest, bare))) => (Some(heading), rest, bare),
        (None, None) => return lines.to_vec(),
    };
    let heading =
        heading.map(|line| format!("the line `{line}` is taken for a heading, and ")).unwrap_or_default();
    let (line, name) = (dressed[0].1, bare[0]);
    notes.push(format!(
        "{heading}the signs around all names are left out: `{line}` is the class `{name}`; a JSON list of names, [\"…\", …], has them as they are written"
    ));
    dressed.iter().zip(bare).map(|((at, _), line)| (*at, line)).collect()
}
