//! The image tower of a CLIP ViT-B/32 with random weights, ours and candle-transformers'; decoding and resizing are not
//! counted.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use pipeline::error::{Error, OrFail, Result};
use stages::clip::{ClipFiles, ImageEncoder};

use crate::Setting;
use crate::count::clip_image;
use crate::measure::{report, timed};
use crate::step::{failed, numbers};

/// Prints a line for each.
pub fn run(setting: &Setting) -> Result<()> {
    let folder = tempfile::tempdir().or_fail(|| Error::new("cannot make a temporary folder"))?;
    let path = |name: &str| folder.path().join(name);
    let cannot = || Error::new("cannot write the weights").at(folder.path());
    std::fs::write(path("config.json"), "{}").or_fail(cannot)?;
    candle_core::safetensors::save(&weights().map_err(failed)?, path("model.safetensors")).or_fail(cannot)?;
    let files = ClipFiles {
        config: path("config.json").into(),
        tokenizer: path("tokenizer.json").into(),
        weights: path("model.safetensors").into(),
        preprocessor: None,
    };
    let dtype = if setting.amp { setting.place.inference_type().dtype() } else { DType::F32 };
    let encoder = ImageEncoder::load(&files, &setting.device, dtype)?;
    let shape = (setting.batch, 3, 224, 224);
    let images = numbers(setting.batch * 3 * 224 * 224);
    let images = Tensor::from_vec(images, shape, &setting.device).map_err(failed)?;
    let times = timed(setting, 2, || encoder.encode(&images).map(drop))?;
    let work = setting.batch as f64 * clip_image();
    report(setting, "clip_vit_b32_images", setting.batch, work, &times, &[]);

    // Without the projection, half a thousandth of the work.
    let weights = VarBuilder::from_tensors(weights().map_err(failed)?, dtype, &setting.device);
    let config = ClipVisionConfig::vit_base_patch32();
    let tower = ClipVisionTransformer::new(weights.pp("vision_model"), &config).map_err(failed)?;
    let images = images.to_dtype(dtype).map_err(failed)?;
    let times = timed(setting, 2, || tower.forward(&images).map(drop).map_err(failed))?;
    report(setting, "clip_vit_b32_images_candle", setting.batch, work, &times, &[]);
    Ok(())
}

/// The image tower's tensors under the hub's names, small enough that activations stay finite.
fn weights() -> candle_core::Result<HashMap<String, Tensor>> {
    let mut shapes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
    add("vision_model.embeddings.class_embedding".into(), &[768]);
    add("vision_model.embeddings.patch_embedding.weight".into(), &[768, 3, 32, 32]);
    add("vision_model.embeddings.position_embedding.weight".into(), &[50, 768]);
    add("visual_projection.weight".into(), &[512, 768]);
    let linear = |name: String, inputs, outputs| {
        [(format!("{name}.weight"), vec![outputs, inputs]), (format!("{name}.bias"), vec![outputs])]
    };
    let norm = |name: String| [(format!("{name}.weight"), vec![768]), (format!("{name}.bias"), vec![768])];
    for name in ["pre_layrnorm", "post_layernorm"] {
        shapes.extend(norm(format!("vision_model.{name}")));
    }
    for i in 0..12 {
        let layer = format!("vision_model.encoder.layers.{i}");
        for part in ["q", "k", "v", "out"] {
            shapes.extend(linear(format!("{layer}.self_attn.{part}_proj"), 768, 768));
        }
        shapes.extend(linear(format!("{layer}.mlp.fc1"), 768, 3072));
        shapes.extend(linear(format!("{layer}.mlp.fc2"), 3072, 768));
        shapes.extend(norm(format!("{layer}.layer_norm1")));
        shapes.extend(norm(format!("{layer}.layer_norm2")));
    }
    let tensor = |shape: Vec<usize>| {
        let values = numbers(shape.iter().product()).into_iter().map(|v| 0.03 * v).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)
    };
    shapes.into_iter().map(|(name, shape)| Ok((name, tensor(shape)?))).collect()
}
