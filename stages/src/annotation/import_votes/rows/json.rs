//! The rows of a table of votes in JSON: an object a row, one after the other or in a list.
//!
//! It knows nothing of files or images.

use pipeline::error::{Error, OrFail, Result};
use serde_json::{Map, Value};

use super::columns::Columns;
use super::{TableOf, VoteAnswer, VoteRow, VoteTable, whole};

/// An object and its place: its line, or its number in the list from 1.
type Object = (usize, Map<String, Value>);

/// What a table in JSON looks like.
fn shape(of: TableOf) -> String {
    let annotator = if of == TableOf::Votes { "\"annotator\": \"…\", " } else { "" };
    format!(
        "write an object a line, {{\"id\": \"…\", {annotator}\"class\": \"…\"}}, or a list of such objects; pandas does so \
         with to_json(orient=\"records\", lines=True)"
    )
}

/// The columns of the table.
///
/// # Errors
/// What is no JSON, or lacks a column.
pub(super) fn columns(text: &str, of: TableOf) -> Result<Columns> {
    find_columns(&objects(text, of)?.0, of).map(|(_, columns)| columns)
}

/// All rows; `lone` is who votes in a table that does not say who.
///
/// # Errors
/// As [`columns`]; a row without id or annotator, or a value of a wrong type.
pub(super) fn read(text: &str, lone: &str, of: TableOf) -> Result<VoteTable> {
    let (objects, unit) = objects(text, of)?;
    let (names, columns) = find_columns(&objects, of)?;
    let table = of.rows();
    let numbers = objects.iter().all(|(_, object)| {
        object.get(&names[columns.class]).is_none_or(|value| value.is_null() || value.is_number())
    });
    let row = |(at, object): &Object| -> Result<VoteRow> {
        let value = |column: usize| object.get(&names[column]).filter(|value| !value.is_null());
        let wrong = |what: &str, value: &Value| {
            Error::new(format!("{unit} {at} of the {table} has the {what} {value}")).help(shape(of))
        };
        let text = |what: &str, column: usize| match value(column) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::String(_)) | None => {
                Err(Error::new(format!("{unit} {at} of the {table} has no {what}"))
                    .help(format!("{unit}s are counted from 1; fill it in, or take it away")))
            }
            Some(other) => Err(wrong(what, other)),
        };
        let answer = match value(columns.class) {
            None => None,
            Some(value @ Value::Number(number)) if numbers => {
                let number = number.as_i64().or_else(|| whole(number.as_f64()?));
                Some(VoteAnswer::Number(number.ok_or_else(|| wrong("class", value))?))
            }
            Some(Value::Number(number)) => Some(VoteAnswer::Text(number.to_string())),
            Some(Value::String(text)) => Some(VoteAnswer::Text(text.clone())),
            // A list of names or an answer in JSON: what it says is understood as such a text is.
            Some(Value::Bool(value)) => return Err(wrong("class", &Value::Bool(*value))),
            Some(other) => Some(VoteAnswer::Text(other.to_string())),
        };
        let confidence = match columns.confidence.and_then(value) {
            None => 1.0,
            Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
            Some(Value::String(text)) if super::is_gap(text) => 1.0,
            Some(Value::String(text)) => {
                text.trim().parse().map_err(|_| wrong("confidence", &Value::String(text.clone())))?
            }
            Some(other) => return Err(wrong("confidence", other)),
        };
        Ok(VoteRow {
            at: *at,
            id: text("id", columns.id)?,
            annotator: columns
                .annotator
                .map_or_else(|| Ok(lone.to_owned()), |column| text("annotator", column))?,
            answer,
            confidence,
        })
    };
    let rows = objects.iter().map(row).collect::<Result<_>>()?;
    Ok(VoteTable { rows, unit, notes: columns.notes(lone) })
}

/// The names of all columns, in the order in which they come up, and which is which.
fn find_columns(objects: &[Object], of: TableOf) -> Result<(Vec<String>, Columns)> {
    let mut names: Vec<String> = Vec::new();
    for (_, object) in objects {
        // Rows mostly have the same columns.
        names.extend(object.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    }
    let texts =
        |at: usize| objects.iter().any(|(_, object)| object.get(&names[at]).is_some_and(Value::is_string));
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    let fits = |wanted: &str, at: usize| wanted != "annotator" || texts(at);
    let nothing = match of {
        TableOf::Votes => "there is no vote",
        TableOf::Labels => "there is no label",
    };
    let columns = Columns::find(of, &borrowed, &names, fits)
        .map_err(|error| if names.is_empty() { Error::new(nothing).help(shape(of)) } else { error })?;
    Ok((names, columns))
}

/// The objects of a text, and what their places count.
fn objects(text: &str, of: TableOf) -> Result<(Vec<Object>, &'static str)> {
    let table = of.rows();
    if text.trim_start().starts_with('[') {
        let list: Vec<Value> =
            parse(text).or_fail(|| Error::new(format!("the list of {table} is no JSON")).help(shape(of)))?;
        return Ok((
            (1..).zip(list).map(|(at, value)| object(at, value, "entry", of)).collect::<Result<_>>()?,
            "entry",
        ));
    }
    let mut objects = Vec::new();
    for (at, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        match parse(line) {
            Ok(value) => objects.push(object(at, value, "line", of)?),
            // Objects that are spread over lines.
            Err(_) if at == 1 || objects.is_empty() => {
                let spread = stream(text)
                    .or_else(|_| stream(&without_nan(text)))
                    .or_fail(|| Error::new(format!("line {at} of the {table} is no JSON")).help(shape(of)))?;
                let spread = (1..).zip(spread).map(|(at, value)| object(at, value, "entry", of));
                return Ok((spread.collect::<Result<_>>()?, "entry"));
            }
            Err(error) => {
                return Err(Error::new(format!("line {at} of the {table} is no JSON"))
                    .because(error)
                    .help(shape(of)));
            }
        }
    }
    Ok((objects, "line"))
}

fn object(at: usize, value: Value, unit: &str, of: TableOf) -> Result<Object> {
    match value {
        Value::Object(object) => Ok((at, object)),
        other => {
            let table = of.rows();
            let what = format!("{unit} {at} of the {table} is no object: {}", brief(&other));
            Err(Error::new(what).help(shape(of)))
        }
    }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { text.chars().take(60).chain(['…']).collect() } else { text }
}

/// The values of a text, one after the other.
fn stream(text: &str) -> serde_json::Result<Vec<Value>> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

/// JSON, in which Python also writes NaN where there is nothing.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    match serde_json::from_str(text) {
        Err(_) if text.contains("NaN") => serde_json::from_str(&without_nan(text)),
        parsed => parsed,
    }
}

/// The text with null for every NaN outside of strings.
fn without_nan(text: &str) -> String {
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\\' if quoted => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            '"' => {
                quoted = !quoted;
                1
            }
            'N' if !quoted && rest.starts_with("NaN") => {
                out.push_str("null");
                rest = &rest[3..];
                continue;
            }
            c => c.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}
