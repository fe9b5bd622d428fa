//! Files of prompt templates: one a line, or a list in JSON.
//!
//! It says how a file was read. What makes a template a good one, is checked elsewhere.

use pipeline::error::{Error, Result};
use serde_json::Value;

use crate::dataset::first_few;
use crate::dataset::user_images::classes::dressing::undressed;
use crate::runtime::text;

/// Keys under which an object has its list of templates.
const KEYS: [&str; 3] = ["templates", "prompts", "prompt_templates"];

/// The templates in the text of a file, and what is to be said of how it was read.
///
/// # Errors
/// A list in JSON that is none, or not one of texts.
pub(super) fn read(text: &str, file: &str) -> Result<(Vec<String>, Vec<String>)> {
    if let Some(list) = json(text).map_err(|error| error.at(file))? {
        let note = format!(
            "{file}: read as a list in JSON, of which each text is a template ({}); a file with one a line is read as it is",
            list.len()
        );
        return Ok((list, vec![note]));
    }
    let mut notes: Vec<String> = comments_like_templates(text, file).into_iter().collect();
    let lines: Vec<&str> = text::lines(text).map(|(_, line)| line).collect();
    let Some(bare) = undressed(&lines) else {
        return Ok((lines.into_iter().map(str::to_owned).collect(), notes));
    };
    notes.push(format!(
        "{file}: the signs around all templates are left out: `{}` is the template `{}`; a list in JSON, [\"…\", …], has them as they are written",
        lines[0], bare[0]
    ));
    Ok((bare.into_iter().map(str::to_owned).collect(), notes))
}

/// The templates of a list in JSON; none of a text that is no such list.
fn json(text: &str) -> Result<Option<Vec<String>>> {
    let text = text.trim();
    const HELP: &str =
        "write [\"a photo of a {}\", \"the {}\"], or one template a line without brackets and quotes";
    let inner = text.strip_prefix('[').map(str::trim_start).unwrap_or_default();
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        // A template may begin with a bracket; a list begins with a bracket and a quote.
        Err(error) if inner.starts_with(['"', '\'']) && text.ends_with(']') => {
            return Err(Error::new("the list of prompt templates is no JSON").because(error).help(HELP));
        }
        Err(_) => return Ok(None),
    };
    let list = match &value {
        // Nor is a template in brackets, [{}], a list.
        Value::Array(list) if list.is_empty() || list.iter().any(Value::is_string) => list,
        // The template {} is no object.
        Value::Object(object) if !object.is_empty() => {
            let found = KEYS.iter().find_map(|key| object.get(*key)?.as_array());
            found.ok_or_else(|| {
                Error::new("the file of prompt templates is JSON and has no list `templates`").help(HELP)
            })?
        }
        Value::String(template) => return Ok(Some(vec![template.clone()])),
        _ => return Ok(None),
    };
    let template = |(at, value): (usize, &Value)| {
        let wrong =
            || Error::new(format!("entry {at} of the prompt templates is {value}, and no text")).help(HELP);
        value.as_str().map(str::to_owned).ok_or_else(wrong)
    };
    (1..).zip(list).map(template).collect::<Result<_>>().map(Some)
}

/// Says which comments of a file would be templates without their `#`.
fn comments_like_templates(text: &str, file: &str) -> Option<String> {
    let comments = text.lines().map(str::trim).filter(|line| line.starts_with('#') && line.contains("{}"));
    let comments: Vec<&str> = comments.collect();
    (!comments.is_empty()).then(|| {
        format!("{file}: lines that begin with # are comments, and no templates: {}", first_few(comments))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_in_json_and_lines_in_quotes_are_templates_and_that_is_said() {
        for text in [
            "[\"a photo of a {}\", \"a {}\"]",
            "\n[\n  \"a photo of a {}\",\n  \"a {}\"\n]\n",
            "{\"templates\": [\"a photo of a {}\", \"a {}\"]}",
            "\"a photo of a {}\"\n\"a {}\"\n",
            "'a photo of a {}',\n'a {}',\n",
            "- a photo of a {}\n- a {}\n",
        ] {
            let (templates, notes) = read(text, "prompts.txt").unwrap();
            assert_eq!(templates, ["a photo of a {}", "a {}"], "{text}");
            assert!(notes.len() == 1 && notes[0].contains("prompts.txt: "), "{notes:?}");
        }
    }

    #[test]
    fn other_files_have_a_template_a_line() {
        for text in ["{}", "{}\na {}", "[{}]", "[a photo] of a [{}]", "\"{}\", a photo\na {}"] {
            let (templates, notes) = read(text, "prompts.txt").unwrap();
            assert_eq!(templates, text.lines().collect::<Vec<_>>());
            assert!(notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn what_begins_as_a_list_and_is_none_is_refused() {
        for (text, words) in [
            ("['a photo of a {}', 'a {}']", "no JSON"),
            ("[\n\"a {}\",\n]", "no JSON"),
            ("[\"a {}\", 3]", "entry 2 of the prompt templates is 3"),
            ("{\"a\": \"the {}\"}", "no list `templates`"),
        ] {
            let error = read(text, "prompts.txt").unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("prompts.txt"), "{error}");
        }
    }
}
