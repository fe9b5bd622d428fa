//! `history.parquet` of a training: one row an epoch and network.
//!
//! Clock readings stay out of it (they are in the run record): the same settings and inputs must give the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Float64Array, UInt8Array, UInt32Array};
use pipeline::artifact::Artifact;
use pipeline::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::table::{Rows, Table, column_names};

/// An epoch of one network. Figures that do not apply in it are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Which network, from 1.
    pub network: u8,
    /// The figures, by column name.
    pub values: BTreeMap<String, f64>,
}

/// What a training says of its epochs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Names of the figures, in the order of the columns.
    pub columns: Vec<String>,
    /// One row an epoch and network.
    pub rows: Vec<Epoch>,
}

const FILE: &str = "history.parquet";
/// The columns that every history begins with.
const FIRST: [&str; 2] = ["epoch", "network"];

impl History {
    /// A history of no epoch yet.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        Self { columns: columns.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A figure that has no column.
    pub fn push(&mut self, row: Epoch) -> Result<()> {
        match row.values.keys().find(|name| !self.columns.contains(name)) {
            Some(name) => Err(Error::new(format!("the history has no column for the figure `{name}`"))
                .help("the method's list of figures must name it")),
            None => {
                self.rows.push(row);
                Ok(())
            }
        }
    }

    /// Whether the folder of an artifact holds a history.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// How many epochs there were.
    pub fn epochs(&self) -> usize {
        self.rows.last().map_or(0, |row| row.epoch as usize)
    }

    /// The rows of the last epoch, a network each.
    pub fn last(&self) -> &[Epoch] {
        let epoch = self.rows.last().map_or(0, |row| row.epoch);
        let first = self.rows.iter().position(|row| row.epoch == epoch).unwrap_or(0);
        &self.rows[first..]
    }

    /// The mean of a figure over the networks of the last epoch that have it.
    pub fn mean(&self, name: &str) -> Option<f64> {
        let values: Vec<f64> = self.last().iter().filter_map(|row| row.values.get(name).copied()).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The test accuracy after the last epoch, of all networks together; none where no truth is known.
    pub fn accuracy(&self) -> Option<f64> {
        self.mean("accuracy_test_both").or_else(|| self.mean("accuracy_test"))
    }
}

/// The history alone, out of a training's folder.
impl Artifact for History {
    fn save(&self, folder: &Path) -> Result<()> {
        let table = Table::new()
            .u32(FIRST[0], self.rows.iter().map(|row| row.epoch))
            .u8(FIRST[1], self.rows.iter().map(|row| row.network));
        let column = |table: Table, name: &'_ String| {
            table.f64_or_null(name, self.rows.iter().map(|row| row.values.get(name).copied()))
        };
        self.columns.iter().fold(table, column).write(&folder.join(FILE))
    }

    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let names = column_names(&path)?;
        let table = Rows::read(&path, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let columns: Vec<String> = names.into_iter().filter(|name| !FIRST.contains(&name.as_str())).collect();
        let epochs = table.column::<UInt32Array>(FIRST[0])?.values();
        let networks = table.column::<UInt8Array>(FIRST[1])?.values();
        let mut rows: Vec<_> = (epochs.iter().zip(networks))
            .map(|(&epoch, &network)| Epoch { epoch, network, values: BTreeMap::new() })
            .collect();
        for name in &columns {
            for (row, value) in rows.iter_mut().zip(table.nullable::<Float64Array>(name)?) {
                row.values.extend(value.map(|value| (name.clone(), value)));
            }
        }
        Ok(Self { columns, rows })
    }
}
