//! What an ONNX file says of itself besides its graph: the keys that Ultralytics' programs look for, and coreg's own.

use pipeline::error::{Error, OrFail, Result};

use super::proto::StringStringEntryProto;
use crate::artifacts::student::Student;

/// Who wrote the file.
pub const PRODUCER: &str = "coreg";
/// Which version of it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The pairs of a student.
///
/// # Errors
/// None for names that are text.
pub fn metadata(student: &Student) -> Result<Vec<StringStringEntryProto>> {
    let cannot = || Error::new("cannot write the names of the student");
    let size = student.input.size;
    let networks: Vec<&str> = student.networks.iter().map(|(name, _)| name.as_str()).collect();
    let pairs = [
        // As Ultralytics has them.
        ("task", "classify".to_owned()),
        ("names", dictionary(&student.classes)),
        ("imgsz", format!("[{size}, {size}]")),
        ("stride", "1".to_owned()),
        // Our own.
        ("classes", serde_json::to_string(&student.classes).or_fail(cannot)?),
        ("networks", serde_json::to_string(&networks).or_fail(cannot)?),
        ("method", student.method.clone()),
        ("producer", PRODUCER.to_owned()),
        ("version", VERSION.to_owned()),
    ];
    Ok(pairs.map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value }).into())
}

/// Names by their numbers as Python writes a dictionary: `{0: 'cat', 1: "bird's nest"}`.
fn dictionary(names: &[String]) -> String {
    let pairs: Vec<String> =
        names.iter().enumerate().map(|(number, name)| format!("{number}: {}", literal(name))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A text as Python's `repr` writes it, but that characters beyond ASCII stay what they are.
fn literal(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut literal = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\\' => literal.push_str("\\\\"),
            c if c == quote => literal.extend(['\\', c]),
            c if c.is_control() => literal.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => literal.push(c),
        }
    }
    literal.push(quote);
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_dictionary_that_python_reads() {
        let names = ["cat", "bird's nest", "say \"no\"", "'a' or \"b\"", "back\\slash", "猫 é", "a\nb\u{7f}"];
        let expected = r#"{0: 'cat', 1: "bird's nest", 2: 'say "no"', 3: '\'a\' or "b"', 4: 'back\\slash', 5: '猫 é', 6: 'a\nb\x7f'}"#;
        assert_eq!(dictionary(&names.map(str::to_owned)), expected);
        assert_eq!(dictionary(&[]), "{}");
    }
}
