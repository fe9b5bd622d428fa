//! What training leaves behind: both networks, one row of history an epoch and network, and the labels
//! that Co-Reg settled on (`warm-up/`, `co-reg/`, `distill/`).
//!
//! Clock readings stay out of these tables (they are in the run record): the same settings and inputs
//! must give the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use arrow::array::{Float32Array, Float64Array, StringArray, UInt8Array, UInt16Array, UInt32Array};
use candle_core::{Device, Tensor};
use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};

use super::table::{Rows, Table};
use crate::learn::learner::Learner;
use crate::network::Architecture;

/// Weights and running statistics by name.
pub type State = BTreeMap<String, Tensor>;

/// The two networks of Co-Reg, as weights by name.
#[derive(Clone)]
pub struct Pair {
    /// What both networks look like.
    pub architecture: Architecture,
    /// Weights of network 1 and network 2.
    pub states: [State; 2],
}

const ARCHITECTURE: &str = "architecture";

impl Pair {
    /// The networks of two learners.
    ///
    /// # Errors
    /// There are not two, or the weights cannot be copied from the device.
    pub fn of(learners: &[Learner]) -> Result<Self> {
        let [one, two] = learners else { return Err(Error::new("Co-Reg has two networks")) };
        Ok(Self {
            architecture: one.network.architecture().clone(),
            states: [state_of(one)?, state_of(two)?],
        })
    }

    fn save(&self, folder: &Path) -> Result<()> {
        (FILES.iter().zip(&self.states))
            .try_for_each(|(file, state)| save_network(&self.architecture, state, &folder.join(file)))
    }

    fn load(folder: &Path) -> Result<Self> {
        let (architecture, one) = load_network(&folder.join(FILES[0]))?;
        let (_, two) = load_network(&folder.join(FILES[1]))?;
        Ok(Self { architecture, states: [one, two] })
    }
}

fn state_of(learner: &Learner) -> Result<State> {
    let state = learner.network.state().or_fail(|| Error::new("cannot copy the network"))?;
    Ok(state.into_iter().collect())
}

fn save_network(architecture: &Architecture, state: &State, path: &Path) -> Result<()> {
    let cannot = || Error::new("cannot write the network").at(path);
    let architecture = serde_json::to_string(architecture).or_fail(cannot)?;
    // One metadata entry: the format keeps them in a hash map, whose order is no order.
    let metadata = HashMap::from([(ARCHITECTURE.to_owned(), architecture)]);
    // Not `serialize_to_file`: its files can be read by their owner alone.
    let bytes = safetensors::serialize(state, Some(metadata)).or_fail(cannot)?;
    std::fs::write(path, bytes).or_fail(cannot)
}

fn load_network(path: &Path) -> Result<(Architecture, State)> {
    let cannot = || Error::new("cannot read the network").at(path);
    let bytes = std::fs::read(path).or_fail(cannot)?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).or_fail(cannot)?;
    let described = header.metadata().as_ref().and_then(|entries| entries.get(ARCHITECTURE));
    let described = described.ok_or_else(|| cannot().because("its architecture is not given"))?;
    let architecture = serde_json::from_str(described).or_fail(cannot)?;
    let state = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).or_fail(cannot)?;
    Ok((architecture, state.into_iter().collect()))
}

const FILES: [&str; 2] = ["network1.safetensors", "network2.safetensors"];

/// One row of history: an epoch of one network. Terms that were not in force are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Which network: 1 or 2.
    pub network: u8,
    /// The other figures, by column name.
    pub values: BTreeMap<String, f64>,
}

/// Writes history rows with the given columns; a figure a row lacks is null.
pub(super) fn save_history(rows: &[Epoch], columns: &[&'static str], path: &Path) -> Result<()> {
    let table = Table::new()
        .u32("epoch", rows.iter().map(|row| row.epoch))
        .u8("network", rows.iter().map(|row| row.network));
    let column = |table: Table, name: &'static str| {
        table.f64_or_null(name, rows.iter().map(|row| row.values.get(name).copied()))
    };
    columns.iter().copied().fold(table, column).write(path)
}

pub(super) fn load_history(columns: &[&'static str], path: &Path) -> Result<Vec<Epoch>> {
    let names: Vec<_> = ["epoch", "network"].into_iter().chain(columns.iter().copied()).collect();
    let table = Rows::read(path, &names)?;
    let epochs = table.column::<UInt32Array>("epoch")?.values();
    let networks = table.column::<UInt8Array>("network")?.values();
    let mut rows: Vec<_> = (epochs.iter().zip(networks))
        .map(|(&epoch, &network)| Epoch { epoch, network, values: BTreeMap::new() })
        .collect();
    for &name in columns {
        for (row, value) in rows.iter_mut().zip(table.nullable::<Float64Array>(name)?) {
            row.values.extend(value.map(|value| (name.to_owned(), value)));
        }
    }
    Ok(rows)
}

/// Both networks after warm-up.
pub struct WarmedUp {
    /// The networks.
    pub pair: Pair,
    /// One row an epoch and network.
    pub history: Vec<Epoch>,
}

impl WarmedUp {
    /// Columns of the history beside `epoch` and `network`.
    pub const COLUMNS: &'static [&'static str] =
        &["learning_rate", "loss", "loss_partial", "loss_negative_entropy", "accuracy_test"];
}

impl Artifact for WarmedUp {
    fn save(&self, folder: &Path) -> Result<()> {
        self.pair.save(folder)?;
        save_history(&self.history, Self::COLUMNS, &folder.join("history.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let history = load_history(Self::COLUMNS, &folder.join("history.parquet"))?;
        Ok(Self { pair: Pair::load(folder)?, history })
    }
}

/// A network that learned from CLIP's averaged probabilities alone: what Co-Reg is compared with.
pub struct Distilled {
    /// What the network looks like.
    pub architecture: Architecture,
    /// Its weights.
    pub state: State,
    /// One row an epoch.
    pub history: Vec<Epoch>,
}

impl Distilled {
    /// Columns of the history beside `epoch` and `network`.
    pub const COLUMNS: &'static [&'static str] = &["learning_rate", "loss", "accuracy_test"];
    const FILE: &'static str = "network.safetensors";

    /// The network of a learner.
    ///
    /// # Errors
    /// The weights cannot be copied from the device.
    pub fn new(learner: &Learner, history: Vec<Epoch>) -> Result<Self> {
        let architecture = learner.network.architecture().clone();
        Ok(Self { architecture, state: state_of(learner)?, history })
    }

    /// Its accuracy on the test images, where their truth is known.
    pub fn accuracy(&self) -> Option<f64> {
        self.history.last()?.values.get("accuracy_test").copied()
    }
}

impl Artifact for Distilled {
    fn save(&self, folder: &Path) -> Result<()> {
        save_network(&self.architecture, &self.state, &folder.join(Self::FILE))?;
        save_history(&self.history, Self::COLUMNS, &folder.join("history.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let (architecture, state) = load_network(&folder.join(Self::FILE))?;
        let history = load_history(Self::COLUMNS, &folder.join("history.parquet"))?;
        Ok(Self { architecture, state, history })
    }
}

/// What Co-Reg settled on for one training image, from the last epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct PseudoLabel {
    /// The image.
    pub id: String,
    /// The most probable class of the mean of both networks.
    pub pseudo_label: u16,
    /// Its probability.
    pub confidence: f32,
    /// Probability that the candidate set holds the true class, mean of both divisions (method §5).
    pub w: f32,
    /// Whether that makes it a sample of 𝒫 (`partial`) or of 𝒰 (`unlabeled`).
    pub partial: bool,
}

/// Both networks after Co-Reg.
pub struct CoRegResult {
    /// The networks.
    pub pair: Pair,
    /// One row an epoch and network.
    pub history: Vec<Epoch>,
    /// One row a training image.
    pub pseudo_labels: Vec<PseudoLabel>,
}

impl CoRegResult {
    /// Columns of the history beside `epoch` and `network`.
    pub const COLUMNS: &'static [&'static str] = &[
        "learning_rate",
        "loss",
        "loss_partial",
        "loss_unlabeled",
        "loss_prototype_partial",
        "loss_prototype_unlabeled",
        "loss_contrastive",
        "size_partial",
        "size_unlabeled",
        "mean_w",
        "purity",
        "purity_partial",
        "purity_unlabeled",
        "pseudo_label_accuracy_partial",
        "pseudo_label_accuracy_unlabeled",
        "accuracy_test",
        "accuracy_test_both",
    ];
}

impl Artifact for CoRegResult {
    fn save(&self, folder: &Path) -> Result<()> {
        self.pair.save(folder)?;
        save_history(&self.history, Self::COLUMNS, &folder.join("history.parquet"))?;
        let rows = &self.pseudo_labels;
        Table::new()
            .strings("id", rows.iter().map(|row| &row.id))
            .u16("pseudo_label", rows.iter().map(|row| row.pseudo_label))
            .f32("confidence", rows.iter().map(|row| row.confidence))
            .f32("w", rows.iter().map(|row| row.w))
            .strings("split_kind", rows.iter().map(|row| if row.partial { "partial" } else { "unlabeled" }))
            .write(&folder.join("pseudo_labels.parquet"))
    }

    fn load(folder: &Path) -> Result<Self> {
        let columns = ["id", "pseudo_label", "confidence", "w", "split_kind"];
        let rows = Rows::read(&folder.join("pseudo_labels.parquet"), &columns)?;
        let labels = rows.column::<UInt16Array>("pseudo_label")?.values();
        let confidence = rows.column::<Float32Array>("confidence")?.values();
        let w = rows.column::<Float32Array>("w")?.values();
        let kinds = rows.column::<StringArray>("split_kind")?;
        let pseudo_labels = rows.strings("id")?.into_iter().enumerate().map(|(i, id)| PseudoLabel {
            id,
            pseudo_label: labels[i],
            confidence: confidence[i],
            w: w[i],
            partial: kinds.value(i) == "partial",
        });
        Ok(Self {
            pseudo_labels: pseudo_labels.collect(),
            pair: Pair::load(folder)?,
            history: load_history(Self::COLUMNS, &folder.join("history.parquet"))?,
        })
    }
}
