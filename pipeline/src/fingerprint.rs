//! What a result depends on, its hash, and in words how two of them differ.
//!
//! It knows nothing of stores. `Manifest::facts` is the only walk over a manifest: the hash and the
//! explanation both consume it, so nothing can change the one and not the other.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, OrFail, Result};

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The first twelve hex digits, for people.
            pub fn short(&self) -> String {
                self.to_string()[..12].to_owned()
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let hash = blake3::Hash::from_hex(text)
                    .or_fail(|| Error::new(format!("`{text}` is not 64 hexadecimal digits")))?;
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(Error::new(format!("`{text}` is not in lower case")));
                }
                Ok(hash.into())
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
    };
}

hash_type! {
    /// BLAKE3 of a [`Manifest`]: the key of a result. Prints as 64 hex digits.
    Fingerprint
}
hash_type! {
    /// BLAKE3 of content: of a file's bytes, or of an object's file list. Prints as 64 hex digits.
    Digest
}

/// Everything a result depends on, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The stage's name.
    pub stage: String,
    /// The stage's version.
    pub version: u32,
    /// The stage's key, object keys sorted.
    pub settings: Value,
    /// The content of each input, in the order in which the stage takes them.
    pub inputs: Vec<Named>,
    /// The content of each outside file, in the order in which the stage names them.
    pub files: Vec<Named>,
}

/// Content under a name. Only the content is part of the key: a renamed node or a moved file is not
/// a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The upstream node's name, or the file's path as the stage gave it.
    pub name: String,
    /// The content's digest.
    pub digest: Digest,
}

/// What a line of a manifest is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "of", content = "name")]
pub enum Subject {
    /// The stage itself.
    Stage,
    /// The stage's version.
    Version,
    /// A setting, by its path: `loss.weights[2]`.
    Setting(String),
    /// An input, by position.
    Input(usize),
    /// An outside file, by position.
    File(usize),
}

/// One line of a manifest.
struct Fact {
    subject: Subject,
    /// Part of the key.
    value: String,
    /// For people; not part of the key.
    name: String,
}

impl Manifest {
    /// A manifest for a stage whose key is `settings`, brought into canonical form.
    ///
    /// Numbers keep serde_json's shortest form that reads back to the same value. JSON has no word
    /// for NaN and infinities: they become `null`, so a stage's `check` must refuse them.
    ///
    /// # Errors
    /// Settings that cannot be written as JSON.
    pub fn new(
        stage: &str,
        version: u32,
        settings: &impl Serialize,
        inputs: Vec<Named>,
        files: Vec<Named>,
    ) -> Result<Self> {
        let settings = serde_json::to_value(settings)
            .or_fail(|| Error::new("cannot write the settings as JSON").in_stage(stage))?;
        Ok(Self { stage: stage.to_owned(), version, settings: sorted(settings), inputs, files })
    }

    /// The key under which the result is kept.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_derive_key("pipeline manifest 1");
        for fact in self.facts() {
            let (kind, place) = match fact.subject {
                Subject::Stage => (0, String::new()),
                Subject::Version => (1, String::new()),
                Subject::Setting(path) => (2, path),
                Subject::Input(position) => (3, position.to_string()),
                Subject::File(position) => (4, position.to_string()),
            };
            hasher.update(&[kind]);
            for text in [place, fact.value] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.finalize().into()
    }

    /// What changed from this manifest to a `newer` one; empty exactly when the fingerprints agree.
    pub fn changes_to(&self, newer: &Self) -> Vec<Change> {
        let (old, new) = (self.facts(), newer.facts());
        // By subject: a data set of thousands of classes has thousands of facts.
        let in_old: BTreeMap<_, _> = old.iter().map(|fact| (&fact.subject, fact)).collect();
        let in_new: BTreeMap<_, _> = new.iter().map(|fact| (&fact.subject, fact)).collect();
        let mut changes = Vec::new();
        for fact in &new {
            let before = in_old.get(&fact.subject).copied();
            if before.is_none_or(|before| before.value != fact.value) {
                changes.push(Change::between(before, Some(fact)));
            }
        }
        for fact in old.iter().filter(|fact| !in_new.contains_key(&fact.subject)) {
            changes.push(Change::between(Some(fact), None));
        }
        changes.sort_by(|a, b| a.subject.cmp(&b.subject));
        changes
    }

    fn facts(&self) -> Vec<Fact> {
        let fact = |subject, value: String, name: &str| Fact { subject, value, name: name.to_owned() };
        let mut facts = vec![
            fact(Subject::Stage, self.stage.clone(), "stage"),
            fact(Subject::Version, self.version.to_string(), "stage version"),
        ];
        settings_facts(&self.settings, String::new(), &mut facts);
        for (position, input) in self.inputs.iter().enumerate() {
            facts.push(fact(Subject::Input(position), input.digest.to_string(), &input.name));
        }
        for (position, file) in self.files.iter().enumerate() {
            facts.push(fact(Subject::File(position), file.digest.to_string(), &file.name));
        }
        facts
    }
}

/// One fact a leaf. Empty lists and objects are leaves, so that they count as well.
fn settings_facts(value: &Value, path: String, facts: &mut Vec<Fact>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                settings_facts(value, format!("{path}{dot}{}", quoted(key)), facts);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                settings_facts(value, format!("{path}[{index}]"), facts);
            }
        }
        leaf => {
            facts.push(Fact { name: path.clone(), subject: Subject::Setting(path), value: leaf.to_string() });
        }
    }
}

/// Keys that could be mistaken for a path are put in quotes: `a.b` the key is not `a.b` the path.
fn quoted(key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if plain { key.to_owned() } else { Value::from(key).to_string() }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        leaf => leaf,
    }
}

/// One difference between two manifests; prints as one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed.
    pub subject: Subject,
    /// Its name for people: the setting's path, the input's node, the file's path.
    pub name: String,
    /// What it was; none where it is new.
    pub from: Option<String>,
    /// What it is; none where it is gone.
    pub to: Option<String>,
}

impl Change {
    fn between(old: Option<&Fact>, new: Option<&Fact>) -> Self {
        let subject = new.or(old).map_or(Subject::Stage, |fact| fact.subject.clone());
        let name = match (&subject, old, new) {
            (Subject::File(_), Some(old), Some(new)) if old.name != new.name => {
                format!("{} → {}", old.name, new.name)
            }
            _ => new.or(old).map(|fact| fact.name.clone()).unwrap_or_default(),
        };
        let shown = |fact: Option<&Fact>| fact.map(|fact| short_number(&fact.value));
        Self { subject, name, from: shown(old), to: shown(new) }
    }
}

/// `0.10000000149011612` is how JSON has the `f32` that everyone writes as `0.1`.
fn short_number(text: &str) -> String {
    match (text.parse::<f64>(), text.parse::<f32>()) {
        (Ok(double), Ok(single)) if text.contains('.') && f64::from(single) == double => format!("{single}"),
        _ => text.to_owned(),
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let verb = match (&self.from, &self.to) {
            (Some(_), Some(_)) => "changed",
            (None, _) => "added",
            (_, None) => "removed",
        };
        match (&self.subject, &self.from, &self.to) {
            (Subject::Input(_), ..) => write!(f, "input {name} {verb}"),
            (Subject::File(_), ..) => write!(f, "file {name} {verb}"),
            (Subject::Setting(_), Some(from), Some(to)) if name.is_empty() => {
                write!(f, "settings: {from} → {to}")
            }
            (Subject::Setting(_), Some(from), Some(to)) => write!(f, "setting `{name}`: {from} → {to}"),
            (Subject::Setting(_), None, Some(to)) => write!(f, "setting `{name}` added: {to}"),
            (Subject::Setting(_), Some(from), None) => write!(f, "setting `{name}` removed (was {from})"),
            (_, Some(from), Some(to)) => write!(f, "{name} {from} → {to}"),
            _ => write!(f, "{name} {verb}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn digest(of: &str) -> Digest {
        blake3::hash(of.as_bytes()).into()
    }

    fn manifest(settings: Value) -> Manifest {
        let named = |name: &str| Named { name: name.into(), digest: digest(name) };
        Manifest::new("train", 1, &settings, vec![named("images"), named("labels")], vec![named("p.txt")])
            .unwrap()
    }

    fn lines(old: &Manifest, new: &Manifest) -> Vec<String> {
        let changes = old.changes_to(new);
        assert_eq!(changes.is_empty(), old.fingerprint() == new.fingerprint());
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_order_of_keys_does_not_count() {
        let a = manifest(json!({"x": 1, "y": {"b": 2, "a": [1, 2]}}));
        let b = manifest(json!({"y": {"a": [1, 2], "b": 2}, "x": 1}));
        assert!(lines(&a, &b).is_empty());
    }

    #[test]
    fn a_renamed_input_or_a_moved_file_is_no_change() {
        let a = manifest(json!({}));
        let mut b = a.clone();
        b.inputs[0].name = "pictures".into();
        b.files[0].name = "elsewhere/p.txt".into();
        assert!(lines(&a, &b).is_empty());
    }

    #[test]
    fn swapped_inputs_are_a_change() {
        let a = manifest(json!({}));
        let mut b = a.clone();
        b.inputs.swap(0, 1);
        assert_eq!(lines(&a, &b), ["input labels changed", "input images changed"]);
    }

    #[test]
    fn every_kind_of_change_has_its_words() {
        let a = manifest(json!({"a": {"b": 0.1}, "gone": "x", "list": [1]}));
        let mut b = manifest(json!({"a": {"b": 0.2}, "here": true, "list": [1, 2]}));
        b.version = 2;
        b.inputs[1].digest = digest("other labels");
        b.inputs.push(Named { name: "votes".into(), digest: digest("votes") });
        b.files[0].digest = digest("other prompts");
        assert_eq!(
            lines(&a, &b),
            [
                "stage version 1 → 2",
                "setting `a.b`: 0.1 → 0.2",
                "setting `gone` removed (was \"x\")",
                "setting `here` added: true",
                "setting `list[1]` added: 2",
                "input labels changed",
                "input votes added",
                "file p.txt changed",
            ]
        );
    }

    #[test]
    fn a_single_precision_setting_is_shown_as_it_was_written() {
        let with = |rate: f32| manifest(json!({"rate": rate}));
        assert_eq!(lines(&with(0.1), &with(0.3)), ["setting `rate`: 0.1 → 0.3"]);
    }

    #[test]
    fn look_alike_settings_have_different_fingerprints() {
        let all = [
            json!(null),
            json!({}),
            json!([]),
            json!({"a": {}}),
            json!({"a": []}),
            json!({"a": null}),
            json!({"a": 1}),
            json!({"a": 1.0}),
            json!({"a": "1"}),
            json!({"a": {"b": 1}}),
            json!({"a.b": 1}),
            json!({"a": [1]}),
            json!({"a[0]": 1}),
            json!({"a": {"0": 1}}),
            json!({"a": 0.0}),
            json!({"a": -0.0}),
        ];
        let mut seen = std::collections::BTreeMap::new();
        for settings in all {
            if let Some(twin) = seen.insert(manifest(settings.clone()).fingerprint(), settings.clone()) {
                panic!("{settings} and {twin} have the same fingerprint");
            }
        }
    }

    #[test]
    fn the_fingerprint_is_the_same_on_every_machine_and_in_every_release() {
        let fingerprint = manifest(json!({"a": 0.1, "b": [true, null]})).fingerprint();
        assert_eq!(fingerprint.to_string(), GOLDEN);
    }

    /// Printed by golden/make_fingerprint.py.
    const GOLDEN: &str = "da429ab5fdfd4a3861b0accdde0eb22eb121e9a8eebebd38d0ec038c298f3a72";

    #[test]
    fn a_fingerprint_that_could_be_a_path_is_refused() {
        for text in ["", "../../etc/passwd", &"A".repeat(64), &"g".repeat(64)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
