//! A student's weights as safetensors, `config.json` beside them after the manner of timm's, and `model.py`.
//!
//! timm has no such network, and cannot load it: so `config.json` says in full what it is, and `model.py` makes a PyTorch
//! module of both. Names and shapes of the weights are PyTorch's, each behind the name of its network.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use serde::Serialize;

use super::precision::{Precision, halves};
use crate::artifacts::student::Student;
use crate::network::{Architecture, EPSILON};

/// `model.py`, which is the same for every student.
pub(super) const MODULE: &str = include_str!("model.py");

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
    network: Network,
    pretrained_cfg: Pretrained,
    provenance: Provenance<'a>,
}

/// What `model_args` are the numbers of, which timm's names do not say: enough to build the network anew.
#[derive(Serialize)]
struct Network {
    /// What happens, from an image to the logits.
    layers: [&'static str; 4],
    /// What each block of the stages does.
    block: [&'static str; 4],
    /// Of the first convolution and of the first block of each stage; all others have 1.
    stem_stride: usize,
    stage_strides: [usize; 4],
    stage_channels: [usize; 4],
    activation: &'static str,
    norm: &'static str,
    norm_eps: f64,
    conv_bias: bool,
    /// There is no norm and no ReLU between the last block and the pool.
    final_norm: bool,
    /// What of the weights no prediction needs.
    unused: &'static str,
    /// How networks predict together.
    logits: &'static str,
}

impl Network {
    fn of(architecture: &Architecture) -> Self {
        Self {
            layers: [
                "stem: 3x3 convolution stem.conv, norm stem.norm, ReLU",
                "stages.S.blocks.B, one after the other",
                "mean over height and width",
                "linear: classifier",
            ],
            block: [
                "a = relu(norm1(x))",
                "h = relu(norm2(conv1(a))), where conv1 is 3x3 and has the block's stride",
                "s = shortcut(a), a 1x1 convolution with the block's stride, where stride or channels change; else s = a",
                "out = conv2(h) + s, where conv2 is 3x3",
            ],
            stem_stride: 1,
            stage_strides: [architecture.first_stride, 2, 2, 2],
            stage_channels: [0, 1, 2, 3].map(|stage| architecture.width << stage),
            activation: "relu",
            norm: "batch norm with running statistics",
            norm_eps: EPSILON,
            conv_bias: false,
            final_norm: false,
            unused: "projector.*, which training alone needs",
            logits: "the sum over networks",
        }
    }
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
    /// What timm does not ask for: what happens before, and how a resize and grey are meant.
    shrink_first: String,
    resampling: &'static str,
    grey: Option<&'static str>,
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

/// `config.json`. Images whose shorter side has more than `shrink` pixels are made smaller first, unless that is 0.
///
/// # Errors
/// None for names that are text.
pub(super) fn config(student: &Student, shrink: usize) -> Result<Vec<u8>> {
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
        network: Network::of(architecture),
        pretrained_cfg: Pretrained {
            num_classes: architecture.classes,
            input_size: [input.channels, input.size, input.size],
            fixed_input_size: true,
            interpolation: "bilinear",
            crop_pct: 1.0,
            crop_mode: "squash",
            shrink_first: match shrink {
                0 => "nothing".to_owned(),
                most => format!(
                    "an image with more than {most} pixels on the shorter side gets {most} there, the other side \
                     rounded up, by Pillow's BICUBIC"
                ),
            },
            resampling: "Pillow's BILINEAR, on bytes",
            grey: (input.channels == 1)
                .then_some("ITU-R 601-2 luma of red, green and blue, as Pillow's convert(\"L\")"),
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
