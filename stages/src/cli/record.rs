//! The run record: one JSON object a line, for machines and for whoever asks later what was done when.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use pipeline::error::{Error, OrFail, Result};
use pipeline::event::{Event, Listener};
use serde_json::json;

use crate::experiment::Experiment;

/// A record being written.
pub(super) struct RunRecord {
    file: Mutex<File>,
}

impl RunRecord {
    /// Begins a record in `folder` with the settings of `experiment`.
    pub(super) fn begin(experiment: &Experiment, folder: &Path) -> Result<Self> {
        let cannot = || {
            Error::new("cannot write the run record")
                .at(folder)
                .help("make the folder writable, or keep the artifacts elsewhere")
        };
        fs::create_dir_all(folder).or_fail(cannot)?;
        let now = jiff::Timestamp::now();
        let name = format!("{}-{}.jsonl", now.strftime("%Y%m%dT%H%M%S%.3fZ"), std::process::id());
        let mut file = File::create(folder.join(name)).or_fail(cannot)?;
        let head = json!({
            "event": "experiment",
            "at": now.to_string(),
            "coreg": env!("CARGO_PKG_VERSION"),
            "data_set": experiment.data_set.name,
            "device": experiment.place.name(),
            "settings": experiment.settings,
        });
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
