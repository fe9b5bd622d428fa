//! What of a stage decides its result.
//!
//! A stage serialises all that it needs to run anywhere; some of that, such as the place of a file whose content
//! counts, decides nothing. [`key_without`] leaves it out, path by path.

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, OrFail, Result};

/// The serialised stage without the values at `paths`: JSON pointers, in which `*` stands for every item of a list.
///
/// A path that leads nowhere leaves nothing out: of an enum's variants each has paths of its own.
///
/// # Errors
/// A stage that cannot be written as JSON, such as one with a path that is not UTF-8.
///
/// ```
/// # use pipeline::key::key_without;
/// # use serde_json::json;
/// let stage = json!({"seed": 1, "tables": [{"id": "a", "path": "/x"}, {"id": "b", "path": "/y"}]});
/// let key = key_without(&stage, &["/tables/*/path"])?;
/// assert_eq!(key, json!({"seed": 1, "tables": [{"id": "a"}, {"id": "b"}]}));
/// # Ok::<(), pipeline::error::Error>(())
/// ```
pub fn key_without(stage: &impl Serialize, paths: &[&str]) -> Result<Value> {
    let mut key = serde_json::to_value(stage).or_fail(|| Error::new("cannot write the settings as JSON"))?;
    for path in paths {
        let steps: Vec<&str> = path.split('/').skip(1).collect();
        remove(&mut key, &steps);
    }
    Ok(key)
}

fn remove(value: &mut Value, steps: &[&str]) {
    match (value, steps) {
        (Value::Object(fields), [last]) => drop(fields.remove(*last)),
        (Value::Object(fields), [first, rest @ ..]) => {
            if let Some(inner) = fields.get_mut(*first) {
                remove(inner, rest);
            }
        }
        (Value::Array(items), ["*", rest @ ..]) => items.iter_mut().for_each(|item| remove(item, rest)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_a_path_names_is_left_out() {
        let stage = json!({"a": {"b": 1, "c": 2}, "d": [{"b": 3}, {"c": 4}], "e": "text"});
        let without = |paths: &[&str]| key_without(&stage, paths).unwrap();
        assert_eq!(without(&[]), stage);
        assert_eq!(without(&["/b", "/a/b/c", "/e/f", "/d/b", ""]), stage);
        assert_eq!(without(&["/a/b", "/d/*/b", "/e"]), json!({"a": {"c": 2}, "d": [{}, {"c": 4}]}));
    }
}
