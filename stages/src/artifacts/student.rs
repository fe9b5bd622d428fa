//! A student: all that predicting and exporting need, in one safetensors file and one readable JSON file beside it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use serde::{Deserialize, Serialize};

use crate::network::Architecture;

/// Trained parameters and running statistics of one network by name, in PyTorch's layout.
pub type Weights = BTreeMap<String, Tensor>;

const WEIGHTS: &str = "student.safetensors";
const DESCRIPTION: &str = "student.json";
/// The layout of both files.
const FORMAT: &str = "coreg student 1";

/// What a network is fed with: square images whose values are (value / 255 − mean) / std.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputFormat {
    /// Side in pixels.
    pub size: usize,
    /// 3 for colour, 1 for grey.
    pub channels: usize,
    /// Mean of each channel, of values in \[0, 1\]; or one for all.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, or one for all.
    pub std: Vec<f32>,
}

/// How a student came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the stage that trained it.
    pub version: u32,
    /// All settings of that stage.
    pub settings: serde_json::Value,
    /// How many images it was trained on.
    pub training_images: usize,
    /// Who annotated them: prompt templates, or whoever gave votes.
    pub annotators: Vec<String>,
}

/// One or more trained networks that predict together: by the sum of their logits (method §10).
#[derive(Clone)]
pub struct Student {
    /// The method that trained it.
    pub method: String,
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// What the networks are fed with.
    pub input: InputFormat,
    /// What every network looks like.
    pub architecture: Architecture,
    /// The networks by name.
    pub networks: Vec<(String, Weights)>,
    /// How it came about.
    pub provenance: Provenance,
}

/// `student.json`.
#[derive(Serialize, Deserialize)]
struct Description {
    format: String,
    method: String,
    classes: Vec<String>,
    input: InputFormat,
    architecture: Architecture,
    /// Names of the networks: what their tensors' names begin with, before a point.
    networks: Vec<String>,
    provenance: Provenance,
}

impl Student {
    /// Trained numbers of one network, running statistics left out.
    pub fn parameters(&self) -> usize {
        let weights = self.networks.first().into_iter().flat_map(|(_, weights)| weights);
        weights.filter(|(name, _)| !name.contains("running_")).map(|(_, tensor)| tensor.elem_count()).sum()
    }

    /// Writes both files into `folder`. The same student always gives the same bytes.
    ///
    /// # Errors
    /// The disk is full or not writable.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(WEIGHTS);
        let cannot = || Error::new("cannot write the student").at(&path);
        let mut tensors = BTreeMap::new();
        for (network, weights) in &self.networks {
            tensors.extend(weights.iter().map(|(name, tensor)| (format!("{network}.{name}"), tensor)));
        }
        // One metadata entry: the format keeps them in a hash map, whose order is no order.
        let metadata = HashMap::from([("format".to_owned(), FORMAT.to_owned())]);
        // Not `serialize_to_file`: its files can be read by their owner alone.
        let bytes = safetensors::serialize(tensors, Some(metadata)).or_fail(cannot)?;
        std::fs::write(&path, bytes).or_fail(cannot)?;
        let path = folder.join(DESCRIPTION);
        let cannot = || Error::new("cannot write the student's description").at(&path);
        let description = Description {
            format: FORMAT.to_owned(),
            method: self.method.clone(),
            classes: self.classes.clone(),
            input: self.input.clone(),
            architecture: self.architecture.clone(),
            networks: self.networks.iter().map(|(name, _)| name.clone()).collect(),
            provenance: self.provenance.clone(),
        };
        let text = serde_json::to_string_pretty(&description).or_fail(cannot)?;
        std::fs::write(&path, text + "\n").or_fail(cannot)
    }

    /// Reads both files from `folder`.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of another layout; weights that the description does not name.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(DESCRIPTION);
        let cannot = || Error::new("cannot read the student's description").at(&path);
        let bytes = std::fs::read(&path).or_fail(cannot)?;
        let description: Description = serde_json::from_slice(&bytes).or_fail(cannot)?;
        if description.format != FORMAT {
            let format = description.format;
            return Err(cannot().because(format!("its format is `{format}`, not `{FORMAT}`")));
        }
        let path = folder.join(WEIGHTS);
        let cannot = || Error::new("cannot read the student").at(&path);
        let bytes = std::fs::read(&path).or_fail(cannot)?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).or_fail(cannot)?;
        let mut networks: Vec<(String, Weights)> =
            description.networks.into_iter().map(|name| (name, Weights::new())).collect();
        for (name, tensor) in tensors {
            let owner = networks.iter_mut().find_map(|(network, weights)| {
                Some((weights, name.strip_prefix(network.as_str())?.strip_prefix('.')?.to_owned()))
            });
            let (weights, name) = owner.ok_or_else(|| cannot().because(format!("`{name}` is of no network")))?;
            weights.insert(name, tensor);
        }
        let Description { method, classes, input, architecture, provenance, .. } = description;
        Ok(Self { method, classes, input, architecture, networks, provenance })
    }
}
