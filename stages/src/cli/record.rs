//! The run record: one JSON object a line, for machines and for whoever asks later what was done when. Its first line says
//! what was asked and which nodes are a branch's, so that a run can be looked into later without its graph.

mod branches;
mod finished;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use pipeline::error::{Error, OrFail, Result};
use pipeline::event::{Event, Listener};
use serde::{Deserialize, Serialize};
use toml::Table;

pub(super) use branches::{RecordedBranch, listed};
pub(super) use finished::FinishedRun;

use crate::experiment::Experiment;

/// The form of the first line. Records of older forms have none.
const FORMAT: &str = "coreg run 2";

/// The first line of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    event: String,
    at: String,
    coreg: String,
    format: String,
    /// The data set's name.
    pub(super) data_set: String,
    device: String,
    /// The command line without the program.
    pub(super) command: Vec<String>,
    settings: Table,
    /// The branches, of which a plain run has one.
    pub(super) branches: Vec<RecordedBranch>,
}

/// A record being written.
pub(super) struct RunRecord {
    file: Mutex<File>,
}

impl RunRecord {
    /// Begins a record in `folder` with the settings of `experiment` and what its branches are.
    pub(super) fn begin(experiment: &Experiment, branches: &[RecordedBranch], folder: &Path) -> Result<Self> {
        let cannot = || {
            Error::new("cannot write the run record")
                .at(folder)
                .help("make the folder writable, or keep the artifacts elsewhere")
        };
        fs::create_dir_all(folder).or_fail(cannot)?;
        let now = jiff::Timestamp::now();
        let name = format!("{}-{}.jsonl", now.strftime("%Y%m%dT%H%M%S%.3fZ"), std::process::id());
        let mut file = File::create(folder.join(name)).or_fail(cannot)?;
        let head = Head {
            event: "experiment".to_owned(),
            at: now.to_string(),
            coreg: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT.to_owned(),
            data_set: experiment.data_set.name.clone(),
            device: experiment.place.name().to_owned(),
            command: std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect(),
            settings: listed(&experiment.settings)?,
            branches: branches.to_vec(),
        };
        let head = serde_json::to_string(&head).or_fail(cannot)?;
        writeln!(file, "{head}").or_fail(cannot)?;
        Ok(Self { file: Mutex::new(file) })
    }
}

impl Listener for RunRecord {
    fn on(&self, event: &Event) {
        if matches!(event, Event::Progress { .. }) {
            return;
        }
        let Ok(mut line) = serde_json::to_value(event) else { return };
        line["at"] = jiff::Timestamp::now().to_string().into();
        if let Ok(mut file) = self.file.lock() {
            // A record that cannot be written on is no reason to lose the run.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

impl Head {
    /// A branch's settings by their dotted names, as they are written behind SET.
    pub(super) fn settings(&self, branch: &RecordedBranch) -> Vec<(String, String)> {
        branch.settings(self.settings.clone())
    }

    /// The command as it is typed into a shell.
    pub(super) fn typed(&self) -> String {
        let words = std::iter::once("coreg").chain(self.command.iter().map(String::as_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it for itself.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_typed_as_a_shell_takes_it() {
        let words = ["plain-word=0.5,1", "two words", "it's", "", "~/x"];
        assert_eq!(words.map(quoted), ["plain-word=0.5,1", "'two words'", "'it'\\''s'", "''", "'~/x'"]);
    }
}
