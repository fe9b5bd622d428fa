//! `findings/findings.parquet`: what a run warns of, each with what to try.

use std::path::Path;

use pipeline::artifact::Artifact;
use pipeline::error::Result;

use super::table::{Rows, Table};

/// What a run warns of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

/// A warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of what kind, for programs: `vanished_class`, `division`, …
    pub kind: String,
    /// What was found, for people.
    pub what: String,
    /// What to try.
    pub advice: String,
}

const FILE: &str = "findings.parquet";
const COLUMNS: [&str; 3] = ["kind", "finding", "advice"];

impl Artifact for Findings {
    fn save(&self, folder: &Path) -> Result<()> {
        let [kind, finding, advice] = COLUMNS;
        Table::new()
            .strings(kind, self.0.iter().map(|of| &of.kind))
            .strings(finding, self.0.iter().map(|of| &of.what))
            .strings(advice, self.0.iter().map(|of| &of.advice))
            .write(&folder.join(FILE))
    }

    fn load(folder: &Path) -> Result<Self> {
        let rows = Rows::read(&folder.join(FILE), &COLUMNS)?;
        let [kinds, found, advice] = COLUMNS;
        let all = rows.strings(kinds)?.into_iter().zip(rows.strings(found)?).zip(rows.strings(advice)?);
        Ok(Self(all.map(|((kind, what), advice)| Finding { kind, what, advice }).collect()))
    }
}
