//! `classes.txt`: a class a line, and what CLIP is told of it.
//!
//! ```text
//! # a comment
//! Trouser
//! T-shirt/top: t-shirt | top
//! ```
//! A line is a name, and after a colon and a blank its texts, separated by `|`. Without texts CLIP is told the name,
//! underscores as blanks. It knows nothing of images.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

use crate::dataset::catalog::{ALTERNATIVES, Classes};
use crate::dataset::names::normalised;

/// The classes that the file lists.
///
/// # Errors
/// A file that cannot be read or is no text; a line without a name or with an empty text; a class or a text twice.
/// All name the line.
pub(crate) fn read(path: &Path) -> Result<Classes> {
    let text = std::fs::read_to_string(path).or_fail(|| {
        Error::new("cannot read the list of classes")
            .at(path)
            .help("CLASSES names a text file (UTF-8) with a class a line")
    })?;
    parse(&text).map_err(|fault| {
        Error::new(format!("the list of classes is not valid: {fault}"))
            .at(path)
            .help("write a class a line: `name`, or `name: what CLIP is told | another wording`; # begins a comment")
    })
}

fn parse(content: &str) -> Result<Classes, String> {
    let mut classes = Classes { names: Vec::new(), texts: Vec::new(), renamed: Vec::new() };
    let (mut names, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for (number, line) in (1..).zip(content.trim_start_matches('\u{feff}').lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, wordings) = split(line);
        if name.is_empty() {
            return Err(format!("line {number} has no name before the colon"));
        }
        let text = match wordings {
            None if name.contains(ALTERNATIVES) => {
                return Err(format!("line {number} has several texts and no name before them: `{name}`"));
            }
            None => default_text(name),
            Some(wordings) => {
                let wordings: Vec<&str> = wordings.split(ALTERNATIVES).map(str::trim).collect();
                if wordings.contains(&"") {
                    return Err(format!("line {number} has an empty text for `{name}`"));
                }
                wordings.join(" | ")
            }
        };
        if let Some(before) = names.insert(normalised(name), number) {
            return Err(format!("line {number} names `{name}`, as line {before} does"));
        }
        if let Some(before) = texts.insert(text.clone(), number) {
            return Err(format!("lines {before} and {number} tell CLIP the same: `{text}`"));
        }
        classes.names.push(name.to_owned());
        classes.texts.push(text);
    }
    Ok(classes)
}

/// The name, and what follows a colon that a blank or the line's end follows. `12:30` is a name.
fn split(line: &str) -> (&str, Option<&str>) {
    let colon = line.match_indices(':').map(|(at, _)| at);
    let mut ends = colon.filter(|at| line[at + 1..].chars().next().is_none_or(char::is_whitespace));
    match ends.next() {
        None => (line, None),
        Some(at) => (line[..at].trim(), Some(&line[at + 1..])),
    }
}

/// The text of a class that has a name alone.
pub(super) fn default_text(name: &str) -> String {
    name.replace('_', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_is_a_name_or_a_name_and_its_texts() {
        let text =
            "\u{feff}# clothes\r\nT-shirt/top: t-shirt|  top \r\n\r\nankle_boot\n12:30\nC#\n  猫: a cat\n";
        let classes = parse(text).unwrap();
        assert_eq!(classes.names, ["T-shirt/top", "ankle_boot", "12:30", "C#", "猫"]);
        assert_eq!(classes.texts, ["t-shirt | top", "ankle boot", "12:30", "C#", "a cat"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, words) in [
            ("cat\ndog: puppy |\n", &["line 2", "empty text", "`dog`"][..]),
            ("cat\n\ndog:\n", &["line 3", "empty text"]),
            (": a cat\n", &["line 1", "no name"]),
            ("cat\nlorry | truck\n", &["line 2", "no name before them"]),
            ("T shirt\ndog\nt-shirt\n", &["line 3", "`t-shirt`", "line 1"]),
            ("a: one\nb: one\n", &["lines 1 and 2", "`one`"]),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(words.iter().all(|word| fault.contains(word)), "{fault}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff, 0xfe, 0, 1]).unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()) && error.contains("UTF-8"), "{error}");
    }
}
