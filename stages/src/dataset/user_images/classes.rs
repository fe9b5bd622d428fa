//! `classes.txt`: a class a line, and what CLIP is told of it.
//!
//! ```text
//! # a comment
//! Trouser
//! T-shirt/top: t-shirt | top
//! ```
//! A line is a name, and after a colon and a blank its texts, separated by `|`. Without texts CLIP is told the name,
//! underscores as blanks. Lists in JSON, numbered lines, tables and lines with the same signs around them are read as
//! well. It knows nothing of images.

mod columns;
pub(crate) mod dressing;
mod forms;
mod lines;

use std::collections::BTreeMap;
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};

use crate::dataset::catalog::{ALTERNATIVES, Classes};
use crate::dataset::names::{NameIndex, canonical};
use crate::runtime::text;

/// Classes as a file lists them.
#[derive(Debug)]
pub(crate) struct ClassList {
    /// The classes.
    pub(crate) classes: Classes,
    /// What is to be said of how the file was read.
    pub(crate) notes: Vec<String>,
    /// The classes as the lines are written, where numbers or signs around the names were left out: what folders or labels
    /// are called may show that they belong to the names.
    pub(crate) written: Option<Classes>,
    /// The number that the list gives its first class.
    pub(crate) first: Option<i64>,
}

/// A class of the list.
#[derive(Debug)]
struct Entry {
    /// Its line, or its place in a JSON list, from 1.
    at: usize,
    name: String,
    /// What CLIP is told of it, where that is said.
    wordings: Option<Vec<String>>,
}

/// What is said of each class after its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// What CLIP is told, which differs from class to class.
    ToClip,
    /// What else it is called; that no two are called the same is checked where the classes are known.
    Alias,
}

/// The classes that the file lists.
///
/// # Errors
/// A file that cannot be read or is no text; a line without a name or with an empty text; a class or a text twice.
/// All name the line.
pub(crate) fn list(path: &Path) -> Result<ClassList> {
    let content = text::read(path).or_fail(|| {
        Error::new("cannot read the list of classes")
            .at(path)
            .help("CLASSES names a text file (UTF-8) with a class a line")
    })?;
    parse(&content, &ending(path), Said::ToClip).map_err(|fault| {
        Error::new(format!("the list of classes is not valid: {fault}"))
            .at(path)
            .help("write a class a line: `name`, or `name: what CLIP is told | another wording`; # begins a comment")
    })
}

/// The classes that a file lists with what else they are called, in place of the texts.
///
/// # Errors
/// As [`list`], but for texts that two classes share.
pub(crate) fn aliases(path: &Path) -> Result<ClassList> {
    let content = text::read(path).or_fail(|| {
        Error::new("cannot read the list of aliases")
            .at(path)
            .help("votes.aliases names a text file (UTF-8) with a class a line: `class: word | another`")
    })?;
    parse(&content, &ending(path), Said::Alias).map_err(|fault| {
        Error::new(format!("the list of aliases is not valid: {fault}"))
            .at(path)
            .help("write a class a line: `class: word | another`; # begins a comment")
    })
}

fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The classes in a text; by the `ending` of its name it must be JSON, or is a table.
fn parse(content: &str, ending: &str, said: Said) -> Result<ClassList, String> {
    match serde_json::from_str(content) {
        Ok(value @ (serde_json::Value::Array(_) | serde_json::Value::Object(_))) => {
            let (entries, notes) = forms::of_json(&value)?;
            build(entries, notes, "entry", said)
        }
        Err(error) if ending == "json" => Err(format!("it is no JSON: {error}")),
        _ => {
            let lines: Vec<(usize, &str)> = text::lines(content).collect();
            let begins = |key: &str| lines.iter().any(|(_, line)| line.starts_with(key));
            if begins("names:") && (begins("nc:") || begins("path:") || begins("train:")) {
                return Err(
                    "it is a description of a data set in YAML, as YOLO has it: write the names that follow \
                            `names:` into a file of their own, one a line"
                        .to_owned(),
                );
            }
            let mut notes = Vec::new();
            let plain = lines::plain(&lines, matches!(ending, "csv" | "tsv"), said, &mut notes)?;
            let read = |lines: &[(usize, String)], notes| {
                let entries =
                    lines.iter().map(|(at, line)| entry(*at, line)).collect::<Result<_, String>>()?;
                build(entries, notes, "line", said)
            };
            let written: Vec<(usize, String)> =
                lines.iter().map(|(at, line)| (*at, (*line).to_owned())).collect();
            if plain == written {
                return read(&plain, notes);
            }
            match (read(&plain, notes), read(&written, Vec::new())) {
                (Ok(list), written) => {
                    let written = written.ok().map(|list| list.classes);
                    Ok(ClassList { written, first: forms::first_number(&lines), ..list })
                }
                // `2 stars` and `3 stars` are not numbers before names.
                (Err(_), Ok(written)) => Ok(written),
                (Err(fault), Err(_)) => Err(fault),
            }
        }
    }
}

fn entry(at: usize, line: &str) -> Result<Entry, String> {
    let (name, wordings) = split(line);
    if wordings.is_none() && name.contains(ALTERNATIVES) {
        return Err(format!("line {at} has several texts and no name before them: `{name}`"));
    }
    let wordings =
        wordings.map(|texts| texts.split(ALTERNATIVES).map(|text| text.trim().to_owned()).collect());
    Ok(Entry { at, name: name.to_owned(), wordings })
}

/// The classes of these entries; `unit` is what the list consists of.
fn build(entries: Vec<Entry>, mut notes: Vec<String>, unit: &str, said: Said) -> Result<ClassList, String> {
    let mut classes = Classes { names: Vec::new(), texts: Vec::new(), renamed: Vec::new() };
    let (mut names, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for Entry { at, name, wordings } in entries {
        if name.is_empty() {
            let colon = if wordings.is_some() { " before the colon" } else { "" };
            return Err(format!("{unit} {at} has no name{colon}"));
        }
        let text = match wordings {
            None => default_text(&name),
            Some(wordings) if wordings.is_empty() || wordings.iter().any(String::is_empty) => {
                return Err(format!("{unit} {at} has an empty text for `{name}`"));
            }
            Some(wordings) => wordings.join(" | "),
        };
        if let Some(before) = names.insert(canonical(&name), at) {
            return Err(format!("{unit} {at} names `{name}`, as {unit} {before} does"));
        }
        if let Some(before) = texts.insert(text.clone(), at).filter(|_| said == Said::ToClip) {
            return Err(format!("{unit}s {before} and {at} tell CLIP the same: `{text}`"));
        }
        classes.names.push(name);
        classes.texts.push(text);
    }
    if said == Said::Alias {
        return Ok(ClassList { classes, notes, written: None, first: None });
    }
    for group in NameIndex::new(&classes.names).alike() {
        let group: Vec<String> = group.into_iter().map(|at| format!("`{}`", classes.names[at])).collect();
        let count = if group.len() == 2 { "two".to_owned() } else { group.len().to_string() };
        notes.push(format!("{} are {count} classes, told apart as they are written", group.join(" and ")));
    }
    if classes.names.len() > 1
        && classes.names.iter().all(|name| name.bytes().all(|b| b.is_ascii_digit()))
        && classes.names != classes.texts
    {
        notes.push(format!(
            "the classes are called by numbers, `{}` and so on, and CLIP is told `{}` and so on; where what follows the colon is the name, leave the numbers out",
            classes.names[0], classes.texts[0]
        ));
    }
    Ok(ClassList { classes, notes, written: None, first: None })
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

    fn parse(content: &str, json: bool) -> Result<ClassList, String> {
        super::parse(content, if json { "json" } else { "txt" }, Said::ToClip)
    }

    #[test]
    fn a_heading_alone_is_a_class_unless_the_list_is_a_table() {
        for heading in ["class", "Name", "label", "classes"] {
            let text = format!("# animals\n{heading}\ncat\ndog\n");
            let ClassList { classes, notes, .. } = parse(&text, false).unwrap();
            assert_eq!(classes.names, [heading, "cat", "dog"]);
            let note = format!("line 2 `{heading}` is taken for a class; if it is a heading, remove it");
            assert_eq!(notes, [note]);
            let ClassList { classes, notes, .. } = super::parse(&text, "csv", Said::ToClip).unwrap();
            assert_eq!(classes.names, ["cat", "dog"]);
            assert!(notes[0].contains("taken for a heading"), "{notes:?}");
        }
        assert!(parse("cat\nname\n", false).unwrap().notes.is_empty());
        let ClassList { classes, notes, .. } = parse("class\n\"cat\"\n\"dog\"\n", false).unwrap();
        assert_eq!(classes.names, ["cat", "dog"]);
        assert!(notes.len() == 1 && notes[0].contains("`class` is taken for a heading"), "{notes:?}");
    }

    #[test]
    fn signs_around_all_names_and_columns_of_numbers_are_left_out_and_that_is_said() {
        for text in [
            "\"cat\"\n\"dog\"\n",
            "- cat\n- dog\n",
            "* cat\n* dog\n",
            "• cat\n• dog\n",
            "cat,\ndog,\n",
            "cat,5\ndog,7\n",
        ] {
            let ClassList { classes, notes, .. } = parse(text, false).unwrap();
            assert_eq!(
                (&classes.names[..], &classes.texts[..]),
                (&words(&["cat", "dog"])[..], &words(&["cat", "dog"])[..])
            );
            let first = text.lines().next().unwrap();
            let said = format!("`{first}` is the class `cat`; a JSON list");
            assert!(notes.len() == 1 && notes[0].contains(&said), "{notes:?}");
        }
        let ClassList { classes, notes, .. } = parse("\"cat\"\ndog\n", false).unwrap();
        assert!(classes.names == ["\"cat\"", "dog"] && notes.is_empty());
        assert_eq!(parse("- cat: a kitty\n- dog\n", false).unwrap().classes.texts, ["a kitty", "dog"]);
    }

    #[test]
    fn aliases_are_not_what_clip_is_told() {
        let read = |text: &str| super::parse(text, "txt", Said::Alias);
        assert!(read("cat: pet\ndog: pet\n").is_ok());
        assert!(read("cat: pet\ncat: kitten\n").unwrap_err().contains("line 2 names `cat`"));
    }

    #[test]
    fn a_line_is_a_name_or_a_name_and_its_texts() {
        let text = "# clothes\r\nT-shirt/top: t-shirt|  top \r\n\r\nankle_boot\n12:30\nC#\n  猫: a cat\n";
        let ClassList { classes, notes, .. } = parse(text, false).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
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
            ("T shirt\ndog\n T shirt \n", &["line 3", "`T shirt`", "line 1"]),
            ("\u{e9}t\u{e9}\ne\u{301}te\u{301}\n", &["line 2", "line 1"]),
            ("sea_lake\nsea lake\n", &["lines 1 and 2", "`sea lake`"]),
            (r#"["cat", "dog", "cat"]"#, &["entry 3", "`cat`", "entry 1"]),
            (r#"["cat", ""]"#, &["entry 2", "no name"]),
            (r#"{"cat": []}"#, &["entry 1", "empty text"]),
            ("a: one\nb: one\n", &["lines 1 and 2", "`one`"]),
            ("nc: 2\nnames: [cat, dog]\n", &["YAML", "one a line"]),
        ] {
            let fault = parse(text, false).unwrap_err();
            assert!(words.iter().all(|word| fault.contains(word)), "{fault}");
        }
    }

    #[test]
    fn names_that_are_written_differently_are_classes_of_their_own_and_that_is_said() {
        let ClassList { classes, notes, .. } = parse("A\nT shirt\na\nt-shirt\n10-1\n101\n", false).unwrap();
        assert_eq!(classes.names, ["A", "T shirt", "a", "t-shirt", "10-1", "101"]);
        let told_apart = "are two classes, told apart as they are written";
        assert_eq!(
            notes,
            [format!("`A` and `a` {told_apart}"), format!("`T shirt` and `t-shirt` {told_apart}")]
        );
    }

    #[test]
    fn lists_of_other_programs_are_read_and_what_is_assumed_is_said() {
        let read = |text: &str| parse(text, false).unwrap();
        let ClassList { classes, notes, .. } = read("0 cat\n1 ice_cream: ice | cream\n");
        assert_eq!(
            (classes.names, classes.texts),
            (words(&["cat", "ice_cream"]), words(&["cat", "ice | cream"]))
        );
        assert!(notes[0].contains("`0 cat` is the class `cat`"), "{notes:?}");
        assert_eq!(read(r#"["0 cat", "1 dog"]"#).classes.names, ["0 cat", "1 dog"]);
        assert_eq!(read(r#"{"1": "cat", "0": "sea_lake"}"#).classes.texts, ["sea lake", "cat"]);
        // Where numbers are names, what follows the colon is the text.
        let ClassList { classes, notes, .. } = read("0: zero\n1: one\n");
        assert_eq!((classes.names, notes.len()), (words(&["0", "1"]), 1));
        assert_eq!(read("[a]\n[b]\n").classes.names, ["[a]", "[b]"]);
        assert!(parse("cat\ndog\n", true).unwrap_err().contains("no JSON"));
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0xff, 0xfe, 0, 0xd8]).unwrap();
        let error = list(file.path()).unwrap_err().to_string();
        assert!(error.contains(file.path().to_str().unwrap()) && error.contains("UTF-8"), "{error}");
    }
}
