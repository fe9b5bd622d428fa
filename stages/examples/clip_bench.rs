//! Speed of the image tower of a CLIP ViT-B/32 with random weights, preprocessing not counted.
//!
//!     cargo run --release -p stages --example clip_bench -- [batch] [repeats]
//!
//! Prints one JSON object: the median of the repeats, in images a second.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use stages::clip::{ClipFiles, ImageEncoder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc; // as the program has it

fn main() -> Result<()> {
    let number = |at, absent| std::env::args().nth(at).and_then(|a| a.parse().ok()).unwrap_or(absent);
    let (batch, repeats): (usize, usize) = (number(1, 64), number(2, 5));
    let folder = tempfile::tempdir().or_fail(|| Error::new("cannot make a folder"))?;
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("config.json"), "{}").or_fail(|| Error::new("cannot write the config"))?;
    candle_core::safetensors::save(&weights()?, path("model.safetensors"))
        .or_fail(|| Error::new("cannot write the weights"))?;
    let files = ClipFiles {
        config: path("config.json"),
        tokenizer: path("tokenizer.json"),
        weights: path("model.safetensors"),
        preprocessor: None,
    };
    let encoder = ImageEncoder::load(&files, &Device::Cpu, DType::F32)?;
    let images = noise(&[batch, 3, 224, 224], 1.0)?;
    encoder.encode(&images)?; // warm caches and the allocator
    let mut seconds = Vec::new();
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        encoder.encode(&images)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let threads = rayon::current_num_threads();
    println!(
        "{{\"work\": \"clip_vit_b32_images\", \"images_per_s\": {:.1}, \"ms\": {:.1}, \"batch\": {batch}, \"threads\": {threads}}}",
        batch as f64 / median,
        median * 1e3
    );
    Ok(())
}

/// Evenly spread numbers in ±`size` that look random to a matrix product.
fn noise(shape: &[usize], size: f32) -> Result<Tensor> {
    let count: usize = shape.iter().product();
    let value =
        |i: usize| ((i as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5) * 2.0 * size;
    Tensor::from_vec((0..count).map(value).collect(), shape, &Device::Cpu)
        .or_fail(|| Error::new("cannot make a tensor"))
}

/// The image tower's tensors under the hub's names.
fn weights() -> Result<std::collections::HashMap<String, Tensor>> {
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
    shapes.into_iter().map(|(name, shape)| Ok((name, noise(&shape, 0.03)?))).collect()
}
