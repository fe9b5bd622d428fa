//! Trains the miniature CLIP of the data set `demo` from nothing, and says how it behaves there.
//!
//!     cargo run --release -p stages --example demo_clip -- [folder]
//!
//! Writes config.json, tokenizer.json, tokenizer_config.json and model.safetensors in hub format; the ones that come with
//! coreg are in data/demo/clip. Seeds are fixed; trained again it votes alike, with weights that may differ in their last
//! bits.

mod captions;
mod draw;
mod model;
mod ops;
mod report;
mod vocabulary;

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{D, Device, Tensor};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use pipeline::error::{Error, OrFail, Result};
use rayon::prelude::*;
use stages::clip::Preprocess;
use stages::dataset::demo;
use stages::dataset::demo::Rendering;

use captions::Manner;
use draw::Draw;
use model::{Captions, Clip};
use vocabulary::Vocabulary;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc; // as the program has it

const SEED: u64 = 1;
/// Pictures of the pretraining rendering. Few, so that the CLIP errs as a CLIP far from its data does.
const IMAGES: usize = 3600;
/// Epochs of both towers.
const EPOCHS: usize = 12;
/// Epochs of the text tower alone.
const FREE_EPOCHS: usize = 3;
/// Captioned pictures a step, each the others' contrast.
const BATCH: usize = 75;
/// The highest learning rate.
const RATE: f64 = 1e-3;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map_or_else(|| PathBuf::from("data/demo/clip"), PathBuf::from);
    std::fs::create_dir_all(&folder).or_fail(|| Error::new("cannot make the folder").at(&folder))?;
    let (templates, _) = stages::annotation::annotate::templates("photo27", &[])?;
    let (more, _) = stages::annotation::annotate::templates("imagenet80", &[])?;
    let words = templates.iter().chain(&more).map(|template| template.replace("{}", " "));
    let words: Vec<String> = words.collect();
    let vocabulary = Vocabulary::new(words.iter().map(String::as_str));
    vocabulary.write(&folder)?;
    let config = format!("{:#}\n", Clip::config(vocabulary.len(), vocabulary.marks()));
    std::fs::write(folder.join("config.json"), config).or_fail(|| Error::new("cannot write").at(&folder))?;

    let begun = Instant::now();
    let clip = train(&folder, &vocabulary).or_fail(|| Error::new("cannot train"))?;
    let weights = folder.join("model.safetensors");
    clip.write(&weights).or_fail(|| Error::new("cannot write the weights").at(&weights))?;
    println!("trained in {:.0} s", begun.elapsed().as_secs_f64());
    report::print(&folder, &templates)
}

/// Symmetric contrastive learning (Radford et al. 2021) on captioned pictures.
fn train(folder: &Path, vocabulary: &Vocabulary) -> candle_core::Result<Clip> {
    let preprocess = Preprocess::standard(demo::SIDE as usize);
    let floats = preprocess.floats();
    let mut pixels = vec![0.0; IMAGES * floats];
    let drawn = pixels.par_chunks_mut(floats).enumerate().try_for_each(|(number, out)| {
        preprocess.apply(&demo::tile(Rendering::Pretraining, "train", SEED, number), out)
    });
    drawn.map_err(candle_core::Error::wrap)?;
    let side = preprocess.side();
    let pixels = Tensor::from_vec(pixels, (IMAGES, 3, side, side), &Device::Cpu)?;
    let classes: Vec<&str> = demo::classes().collect();
    let mut draw = Draw::new(SEED, "captions");
    let named: Vec<&str> =
        (0..IMAGES).map(|number| captions::named(classes[demo::class_of(number)], &mut draw)).collect();
    let tokenizer =
        tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).map_err(candle_core::Error::wrap)?;

    let clip = Clip::new(SEED, vocabulary.len())?;
    let params = ParamsAdamW { lr: 0.0, beta2: 0.98, weight_decay: 0.05, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(clip.parameters(), params)?;
    let steps = IMAGES / BATCH;
    let mut orders = Draw::new(SEED, "orders");
    for epoch in 0..EPOCHS {
        let (order, mut sum) = (orders.order(IMAGES), 0.0);
        for (step, batch) in order.chunks_exact(BATCH).enumerate() {
            let texts: Vec<String> = batch
                .iter()
                .map(|&number| captions::caption(named[number], Manner::Plain, &mut draw))
                .collect();
            let texts = tokens(&tokenizer, vocabulary, texts)?;
            let rows: Vec<u32> = batch.iter().map(|&number| number as u32).collect();
            let pixels = pixels.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?;
            let (seen, read) = (clip.images(&pixels)?, clip.texts(&texts)?);
            let logits = seen.matmul(&read.t()?)?.broadcast_mul(&clip.scale()?)?; // (images, texts)
            let loss = ((matching(&logits)? + matching(&logits.t()?.contiguous()?)?)? * 0.5)?;
            optimizer.set_learning_rate(rate((epoch * steps + step) as f64 / (EPOCHS * steps) as f64));
            optimizer.backward_step(&loss)?;
            sum += loss.to_scalar::<f32>()?;
        }
        let scale = clip.scale()?.to_scalar::<f32>()?;
        println!("epoch {:2}  loss {:.3}  scale {scale:.1}", epoch + 1, sum / steps as f32);
    }
    freely(&clip, &pixels, &named, |texts| tokens(&tokenizer, vocabulary, texts))?;
    Ok(clip)
}

/// The text tower goes on alone, on captions of another manner, against what the image tower sees by now (Zhai et al.
/// 2022): the words around the noun come to matter, as they do where captions come from the web.
fn freely(
    clip: &Clip,
    pixels: &Tensor,
    named: &[&str],
    tokens: impl Fn(Vec<String>) -> candle_core::Result<Captions>,
) -> candle_core::Result<()> {
    let mut seen = Vec::new();
    for start in (0..named.len()).step_by(BATCH) {
        let count = BATCH.min(named.len() - start);
        seen.push(clip.images(&pixels.narrow(0, start, count)?)?.detach());
    }
    let seen = Tensor::cat(&seen, 0)?;
    let params = ParamsAdamW { lr: 0.0, beta2: 0.98, weight_decay: 0.05, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(clip.text_parameters(), params)?;
    let mut draw = Draw::new(SEED, "free captions");
    let (mut orders, steps, scale) =
        (Draw::new(SEED, "free orders"), named.len() / BATCH, clip.scale()?.detach());
    for epoch in 0..FREE_EPOCHS {
        let (order, mut sum) = (orders.order(named.len()), 0.0);
        for (step, batch) in order.chunks_exact(BATCH).enumerate() {
            let texts = batch
                .iter()
                .map(|&number| captions::caption(named[number], Manner::Free, &mut draw))
                .collect();
            let read = clip.texts(&tokens(texts)?)?;
            let rows: Vec<u32> = batch.iter().map(|&number| number as u32).collect();
            let logits = seen.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?.matmul(&read.t()?)?;
            let logits = logits.broadcast_mul(&scale)?;
            let loss = ((matching(&logits)? + matching(&logits.t()?.contiguous()?)?)? * 0.5)?;
            optimizer.set_learning_rate(rate((epoch * steps + step) as f64 / (FREE_EPOCHS * steps) as f64));
            optimizer.backward_step(&loss)?;
            sum += loss.to_scalar::<f32>()?;
        }
        println!("texts alone, epoch {:2}  loss {:.3}", epoch + 1, sum / steps as f32);
    }
    Ok(())
}

/// Cross-entropy of each row of square logits to its own number.
fn matching(logits: &Tensor) -> candle_core::Result<Tensor> {
    let own = Tensor::eye(logits.dim(0)?, logits.dtype(), logits.device())?;
    let right = (candle_nn::ops::log_softmax(logits, D::Minus1)? * own)?.sum_all()?;
    right * (-1.0 / logits.dim(0)? as f64)
}

/// Up in a tenth of the training, then down along a cosine.
fn rate(progress: f64) -> f64 {
    match progress < 0.1 {
        true => RATE * progress / 0.1,
        false => RATE * 0.5 * (1.0 + (std::f64::consts::PI * (progress - 0.1) / 0.9).cos()),
    }
}

fn tokens(
    tokenizer: &tokenizers::Tokenizer,
    vocabulary: &Vocabulary,
    texts: Vec<String>,
) -> candle_core::Result<Captions> {
    let encoded = tokenizer.encode_batch_fast(texts, true).map_err(candle_core::Error::wrap)?;
    let cut = |ids: &[u32]| ids.len().min(model::POSITIONS);
    let length = encoded.iter().map(|text| cut(text.get_ids())).max().unwrap_or(0);
    let [padding, _, end] = vocabulary.marks().map(|id| id as u32);
    let mut ids = vec![padding; encoded.len() * length];
    let mut ends = Vec::new();
    for (at, text) in encoded.iter().enumerate() {
        let own = cut(text.get_ids());
        ids[at * length..][..own].copy_from_slice(&text.get_ids()[..own]);
        ids[at * length + own - 1] = end;
        ends.push((at * length + own - 1) as u32);
    }
    Ok(Captions { ids: Tensor::new(ids, &Device::Cpu)?, length, ends: Tensor::new(ends, &Device::Cpu)? })
}
