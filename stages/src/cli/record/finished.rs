//! A run as its record tells of it afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pipeline::error::{Error, OrFail, Result};
use pipeline::fingerprint::Fingerprint;
use serde::Deserialize;

use super::{FORMAT, Head};

/// A run that came to a good end, as its record tells of it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct FinishedRun {
    /// The name of the record's file without its ending.
    pub(in crate::cli) id: String,
    /// When it began (UTC, RFC 3339).
    pub(in crate::cli) at: String,
    /// The data set's name.
    pub(in crate::cli) data_set: String,
    /// The method's name.
    pub(in crate::cli) method: String,
    /// How long it took.
    pub(in crate::cli) seconds: f64,
    /// The first line; why it cannot be used, if so.
    head: Result<Head, &'static str>,
    /// What each node made or had.
    results: BTreeMap<String, Fingerprint>,
}

/// What is read of the lines after the first.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    Cached {
        node: String,
        fingerprint: Fingerprint,
    },
    Finished {
        node: String,
        fingerprint: Fingerprint,
    },
    RunFinished {
        ok: bool,
        seconds: f64,
    },
    #[serde(other)]
    Other,
}

impl FinishedRun {
    /// Reads a record; none of a run that goes on, was stopped or failed.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(in crate::cli) fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = fs::read(path).or_fail(|| Error::new("cannot read the run record").at(path))?;
        let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self::parse(id, &String::from_utf8_lossy(&bytes)))
    }

    fn parse(id: String, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let first: serde_json::Value = serde_json::from_str(lines.next()?).ok()?;
        let (mut results, mut end) = (BTreeMap::new(), None);
        // A line that cannot be read was being written when the program was killed.
        for line in lines.filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            match line {
                Line::Cached { node, fingerprint } | Line::Finished { node, fingerprint } => {
                    results.insert(node, fingerprint);
                }
                Line::RunFinished { ok, seconds } => end = ok.then_some(seconds),
                Line::Other => {}
            }
        }
        let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let format = word(&first["format"]);
        Some(Self {
            id,
            at: word(&first["at"])?,
            data_set: word(&first["data_set"])?,
            method: word(&first["settings"]["method"]).unwrap_or_default(),
            seconds: end?,
            head: match format.as_deref() {
                None => Err("its record is of an older form, which does not say which stages are a branch's"),
                Some(FORMAT) => {
                    serde_json::from_value(first).map_err(|_| "the first line of its record is damaged")
                }
                Some(_) => Err("its record is of another form: that of a newer coreg"),
            },
            results,
        })
    }

    /// What was asked.
    ///
    /// # Errors
    /// A record of another form.
    pub(in crate::cli) fn head(&self) -> Result<&Head> {
        self.head.as_ref().map_err(|why| {
            Error::new(format!("run {} cannot be looked into: {why}", self.id)).help(
                "run the same command again: what is kept is not computed again, and a new record is written",
            )
        })
    }

    /// The key of a node's result; none where the run left the node out.
    pub(in crate::cli) fn result(&self, node: &str) -> Option<&Fingerprint> {
        self.results.get(node)
    }
}

#[cfg(test)]
impl FinishedRun {
    /// A run of this id and data set whose record has no first line.
    pub(in crate::cli) fn for_test(id: &str, data_set: &str) -> Self {
        Self {
            id: id.to_owned(),
            at: String::new(),
            data_set: data_set.to_owned(),
            method: String::new(),
            seconds: 0.0,
            head: Err("it is a test's"),
            results: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    /// A record with this first line and this last one.
    fn record(first: &str, last: &str) -> Option<FinishedRun> {
        let fingerprint = "a".repeat(64);
        let cached = format!(r#"{{"event":"cached","node":"label","fingerprint":"{fingerprint}","at":""}}"#);
        let note = r#"{"event":"note","node":"label","text":"cached","at":""}"#;
        FinishedRun::parse("id".to_owned(), &[first, cached.as_str(), note, last].join("\n"))
    }

    const OLD: &str =
        r#"{"event":"experiment","at":"2026-11-28T19:08:56Z","data_set":"demo","settings":{"method":"rc"}}"#;
    const GOOD_END: &str = r#"{"event":"run-finished","ok":true,"seconds":1.5,"at":""}"#;

    #[test]
    fn a_run_that_did_not_come_to_a_good_end_is_none() {
        assert!(record(OLD, GOOD_END).is_some());
        let failed = GOOD_END.replace("true", "false");
        for end in ["", failed.as_str(), &GOOD_END[..30]] {
            assert!(record(OLD, end).is_none(), "{end}");
        }
        assert!(record("", GOOD_END).is_none() && record("{}", GOOD_END).is_none());
    }

    #[test]
    fn a_record_of_an_older_or_newer_form_is_read_as_far_as_it_goes() {
        let old = record(OLD, GOOD_END).unwrap();
        assert_eq!((old.data_set.as_str(), old.method.as_str(), old.seconds), ("demo", "rc", 1.5));
        assert!(old.result("label").is_some() && old.result("co-reg").is_none());
        let error = old.head().unwrap_err().to_string();
        assert!(error.contains("older form") && error.contains("run the same command again"), "{error}");
        let newer = OLD.replace("\"at\"", "\"format\":\"coreg run 99\",\"at\"");
        let error = record(&newer, GOOD_END).unwrap().head().unwrap_err().to_string();
        assert!(error.contains("newer coreg"), "{error}");
    }
}
