//! A student's weights as safetensors, and `config.json` beside them after the manner of timm's.
//!
//! timm has no such network, so the architecture's numbers are there in full. Names and shapes of the weights are
//! PyTorch's, each behind the name of its network.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use serde::Serialize;

use super::precision::{Precision, halves};
use crate::artifacts::student::Student;
use crate::network::Architecture;

/// `model.safetensors`.
///
/// # Errors
/// A weight that the precision cannot hold.
pub(super) fn weights(student: &Student, precision: Precision) -> Result<Vec<u8>> {
    let mut tensors = BTreeMap::new();
    for (network, weights) in &student.networks {
        for (name, tensor) in weights {
            let name = format!("{network}.{name}");
            let tensor = stored(&name, tensor, precision)?;
            tensors.insert(name, tensor);
        }
    }
    // One entry: the format keeps them in a hash map, whose order is no order.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(&tensors, Some(metadata))
        .or_fail(|| Error::new("cannot write the student's weights"))
}

fn stored(name: &str, tensor: &Tensor, precision: Precision) -> Result<Tensor> {
    let cannot = || Error::new(format!("cannot read {name}"));
    if precision == Precision::F32 || tensor.dims().len() < 2 {
        return Ok(tensor.clone());
    }
    let values = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
    let values: Vec<f32> = values.or_fail(cannot)?;
    Tensor::from_vec(halves(name, &values)?, tensor.dims(), &Device::Cpu).or_fail(cannot)
}

/// `config.json`.
#[derive(Serialize)]
struct Config<'a> {
    architecture: &'static str,
    num_classes: usize,
    num_features: usize,
    global_pool: &'static str,
    label_names: &'a [String],
    /// What the names of the weights begin with. Logits are the sum of theirs.
    networks: Vec<&'a str>,
    model_args: &'a Architecture,
    pretrained_cfg: Pretrained,
    provenance: Provenance<'a>,
}

/// What timm asks for to prepare an image: resized to a square whatever its aspect.
#[derive(Serialize)]
struct Pretrained {
    num_classes: usize,
    /// Channels, height and width.
    input_size: [usize; 3],
    fixed_input_size: bool,
    interpolation: &'static str,
    crop_pct: f32,
    crop_mode: &'static str,
    mean: Vec<f32>,
    std: Vec<f32>,
    first_conv: &'static str,
    classifier: &'static str,
}

#[derive(Serialize)]
struct Provenance<'a> {
    coreg: &'static str,
    method: &'a str,
    training_images: usize,
    annotators: &'a [String],
}

/// `config.json`.
///
/// # Errors
/// None for names that are text.
pub(super) fn config(student: &Student) -> Result<Vec<u8>> {
    let (input, architecture) = (&student.input, &student.architecture);
    // timm wants a number for each channel.
    let each = |values: &[f32]| values.iter().copied().cycle().take(input.channels).collect();
    let config = Config {
        architecture: "coreg_resnet",
        num_classes: architecture.classes,
        num_features: architecture.features(),
        global_pool: "avg",
        label_names: &student.classes,
        networks: student.networks.iter().map(|(name, _)| name.as_str()).collect(),
        model_args: architecture,
        pretrained_cfg: Pretrained {
            num_classes: architecture.classes,
            input_size: [input.channels, input.size, input.size],
            fixed_input_size: true,
            interpolation: "bilinear",
            crop_pct: 1.0,
            crop_mode: "squash",
            mean: each(&input.mean),
            std: each(&input.std),
            first_conv: "stem.conv",
            classifier: "classifier",
        },
        provenance: Provenance {
            coreg: env!("CARGO_PKG_VERSION"),
            method: &student.method,
            training_images: student.provenance.training_images,
            annotators: &student.provenance.annotators,
        },
    };
    let text = serde_json::to_string_pretty(&config).or_fail(|| Error::new("cannot write config.json"))?;
    Ok((text + "\n").into_bytes())
}
