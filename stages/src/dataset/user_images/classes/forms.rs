//! Lists of classes that other programs wrote: JSON, and lines that begin with their numbers.
//!
//! It gives the entries of a list in the order of their numbers, and says what was assumed. It knows nothing of images
//! or files.

use serde_json::Value;

use super::Entry;

/// Keys under which configurations keep their classes, the first found counts.
const KEYS: [&str; 7] = ["id2label", "label2id", "class_names", "classes", "names", "labels", "categories"];

/// What a JSON list of classes may look like.
const SHAPES: &str = "a JSON list of classes is [\"cat\", \"dog\"], {\"0\": \"cat\", \"1\": \"dog\"} or {\"cat\": 0, \"dog\": 1}";

/// The entries of a JSON list of classes, and what is to be said of them.
pub(super) fn of_json(value: &Value) -> Result<(Vec<Entry>, Vec<String>), String> {
    let Value::Object(object) = value else {
        let list = value.as_array().ok_or(SHAPES)?;
        let entry = |(at, value): (usize, &Value)| {
            let name =
                value.as_str().ok_or_else(|| format!("entry {at} is {value}, and no name; {SHAPES}"))?;
            Ok(Entry { at, name: name.trim().to_owned(), wordings: None })
        };
        return Ok(((1..).zip(list).map(entry).collect::<Result<_, String>>()?, Vec::new()));
    };
    let inner = KEYS.iter().find_map(|key| {
        let value = object.get(*key)?;
        (value.is_array() || value.is_object()).then_some((key, value))
    });
    if let Some((key, value)) = inner {
        let (entries, mut notes) = of_json(value)?;
        notes.insert(0, format!("the classes are those under `{key}`"));
        return Ok((entries, notes));
    }
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let by_number = object.iter().map(|(key, value)| Some((number(key)?, value.as_str()?.to_owned())));
    let by_name = object.iter().map(|(key, value)| Some((value.as_u64()?, key.clone())));
    let numbered: Option<Vec<(u64, String)>> =
        by_number.collect::<Option<Vec<_>>>().or_else(|| by_name.collect::<Option<Vec<_>>>());
    if let Some(mut numbered) = numbered {
        numbered.sort();
        let first = numbered.first().map_or(0, |(first, _)| *first);
        if let Some((_, (number, name))) =
            (first..).zip(&numbered).find(|(place, (number, _))| place != number || first > 1)
        {
            return Err(format!(
                "`{name}` has the number {number}: classes have the numbers from 0, or from 1, each once"
            ));
        }
        let note =
            (first == 1).then(|| "the list numbers its classes from 1; here the first is class 0".to_owned());
        let entry = |(at, (_, name)): (usize, (u64, String))| Entry {
            at,
            name: name.trim().to_owned(),
            wordings: None,
        };
        return Ok(((1..).zip(numbered).map(entry).collect(), note.into_iter().collect()));
    }
    let entry = |(at, (name, value)): (usize, (&String, &Value))| {
        let texts = match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let texts = texts.ok_or_else(|| format!("entry {at}, `{name}`, is {value}; {SHAPES}"))?;
        let texts = texts.iter().map(|text| text.trim().to_owned()).collect();
        Ok(Entry { at, name: name.trim().to_owned(), wordings: Some(texts) })
    };
    Ok(((1..).zip(object).map(entry).collect::<Result<_, String>>()?, Vec::new()))
}

/// The lines without their numbers, if each begins with its own, from 0 or from 1; and what is to be said of that. A
/// heading above them, as tables have it, is left out as well. `0: cat` is none of these: it is a name and its text.
pub(super) fn without_numbers<'a>(lines: &[(usize, &'a str)]) -> Option<(Vec<(usize, &'a str)>, String)> {
    let numbered = |lines: &[(usize, &'a str)], ends: &[char]| -> Option<Vec<(usize, &'a str)>> {
        let split: Vec<(u64, &'a str)> =
            lines.iter().map(|(_, line)| number_and_rest(line, ends)).collect::<Option<_>>()?;
        // In the order of their numbers, whichever the lines are in.
        let mut all: Vec<(u64, (usize, &'a str))> =
            lines.iter().zip(&split).map(|((at, _), (number, rest))| (*number, (*at, *rest))).collect();
        all.sort_by_key(|(number, _)| *number);
        let first = all.first()?.0;
        let whole = (first..).zip(&all).all(|(place, (number, _))| place == *number);
        (lines.len() > 1 && first <= 1 && whole).then(|| all.into_iter().map(|(_, line)| line).collect())
    };
    let said = |line: &str, name: &str| {
        format!(
            "the numbers before the names are left out: `{line}` is the class `{name}`; a JSON list of names, [\"{line}\", …], keeps them"
        )
    };
    if let Some(found) = numbered(lines, &[',', ';', '\t', ' ', '.', ')']) {
        let line = lines.iter().find(|(at, _)| *at == found[0].0).map_or("", |(_, line)| *line);
        let note = said(line, found[0].1);
        return Some((found, note));
    }
    // A table of two columns: number and name.
    let (heading, rest) = lines.split_first()?;
    let ends = [',', ';', '\t'].into_iter().find(|end| heading.1.contains(*end))?;
    let found = numbered(rest, &[ends])?;
    let line = rest.iter().find(|(at, _)| *at == found[0].0).map_or("", |(_, line)| *line);
    let note = said(line, found[0].1);
    Some((found, format!("the line `{}` is taken for a heading, and {note}", heading.1)))
}

/// The least of the numbers that lines begin with, where they are numbered.
pub(super) fn first_number(lines: &[(usize, &str)]) -> Option<i64> {
    without_numbers(lines)?;
    let numbers =
        lines.iter().filter_map(|(_, line)| number_and_rest(line, &[',', ';', '\t', ' ', '.', ')']));
    numbers.map(|(number, _)| number).min().and_then(|number| i64::try_from(number).ok())
}

/// The number that a line begins with, and what follows one of `ends`.
fn number_and_rest<'a>(line: &'a str, ends: &[char]) -> Option<(u64, &'a str)> {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = line[..digits].parse().ok()?;
    let mut rest = line[digits..].chars();
    let end = rest.next().filter(|end| ends.contains(end))?;
    let rest = rest.as_str();
    // 1.5 and 1)a begin with no number of their own.
    if matches!(end, '.' | ')') && !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let rest = rest.trim();
    let rest =
        ["- ", "– ", "— ", ": "].iter().find_map(|sign| rest.strip_prefix(sign)).map_or(rest, str::trim);
    let unquoted = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
    (!unquoted.is_empty()).then_some((number, unquoted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(json: &str) -> Result<Vec<String>, String> {
        let (entries, _) = of_json(&serde_json::from_str(json).unwrap())?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    #[test]
    fn json_lists_and_maps_give_the_names_in_the_order_of_their_numbers() {
        for json in [
            r#"["cat", "dog", "cow"]"#,
            r#"{"0": "cat", "2": "cow", "1": "dog"}"#,
            r#"{"1": "cat", "2": "dog", "3": "cow"}"#,
            r#"{"cow": 2, "cat": 0, "dog": 1}"#,
            r#"{"model_type": "vit", "label2id": {"cat": 0, "cow": 2, "dog": 1}}"#,
            r#"{"id2label": {"0": "cat", "1": "dog", "2": "cow"}, "label2id": {"x": 0}}"#,
            r#"{"cat": "a cat", "dog": ["a dog", "a puppy"], "cow": "a cow"}"#,
        ] {
            assert_eq!(names(json).unwrap(), ["cat", "dog", "cow"], "{json}");
        }
        for (json, words) in [
            (r#"{"cat": 0, "dog": 2}"#, "`dog` has the number 2"),
            (r#"{"cat": 0, "dog": 0}"#, "`dog` has the number 0"),
            (r#"{"cat": 5, "dog": 6}"#, "`cat` has the number 5"),
            (r#"["cat", 3]"#, "entry 2 is 3"),
            (r#"{"cat": null}"#, "entry 1, `cat`"),
            ("7", "JSON list"),
        ] {
            assert!(names(json).unwrap_err().contains(words), "{json}");
        }
    }

    #[test]
    fn numbers_are_left_out_only_where_every_line_has_its_own() {
        let of = |text: &'static str| {
            let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).collect();
            without_numbers(&lines)
                .map(|(lines, _)| lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>())
        };
        for text in [
            "0 cat\n1 dog",
            "1 cat\n2 dog",
            "0,cat\n1,\"dog\"",
            "0\tcat\n1\tdog",
            "1. cat\n2. dog",
            "1) cat\n2) dog",
        ] {
            assert_eq!(of(text).unwrap(), ["cat", "dog"], "{text}");
        }
        assert_eq!(of("id,name\n0,cat\n1,dog").unwrap(), ["cat", "dog"]);
        for text in [
            "0 cat\ndog",
            "0 cat\n2 dog",
            "5 cat\n6 dog",
            "0\n1\n2",
            "0: cat\n1: dog",
            "1.5 t\n2.5 t",
            "7 up",
            "a\n0 cat\n1 dog",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
