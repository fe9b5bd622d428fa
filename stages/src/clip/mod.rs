//! CLIP from the files of a hub-format folder: images and texts to unit-length features in one space (method §1).
//!
//! It knows nothing of data sets, Parquet or caching. [`ClipFiles`] names the files, in the hub's format or in
//! open_clip's, [`ImageEncoder`] and [`TextEncoder`] are the two halves (each reads only its own weights),
//! [`template_probabilities`] compares their features. [`PromptTower`] is the half of texts with learned vectors in
//! the place of words, and has gradients.
//!
//! # Why the towers are not candle-transformers'
//!
//! They compute the same where both apply (test `candle_transformers_sees_what_we_see`). But candle-transformers 0.11
//! - reads no `config.json`: `quick_gelu` is its only activation and 1e-5 its only epsilon, so that a CLIP with another
//!   (LAION's ViT-H/14 has `gelu`) loads and gives wrong features in silence. Ours differ from transformers' by at most
//!   1.9e-7 for ViT-B/16, L/14 and H/14 (docs/measurements/2026-11-22-clips.md);
//! - takes a text's feature at the first of its highest token ids, whatever `eos_token_id` the config names;
//! - wants texts padded to one length, and leaves the order of its sums to gemm, which sums a row alone otherwise than
//!   among others; here a feature is the same bit for bit in any batch and on any number of threads (same file), which
//!   is what lets embeddings be kept image by image;
//! - reads both towers to use one.
//!
//! On a CPU an image takes 0.037 s of processor time on one thread, transformers 0.115 s
//! (docs/measurements/2026-11-22-cpu.md); `make bench WORK=clip` times candle-transformers' tower beside ours.

mod config;
mod content;
mod encoder;
mod files;
mod header;
mod kernels;
mod naming;
mod open_clip;
mod ops;
mod pickle;
mod preprocess;
mod preprocess_config;
mod probabilities;
mod prompt_tower;
mod stored;
mod text_tower;
mod tokenizer;
mod tokenizer_files;
mod vision_tower;
mod weights;

#[cfg(test)]
mod golden;

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use pipeline::error::{Error, OrFail, Result};
use rayon::prelude::*;

pub use config::{Activation, Config, Pooling, TextConfig, TowerConfig, VisionConfig};
pub use content::Content;
pub use files::{ClipFiles, Found, Search, needed};
pub use preprocess::Preprocess;
pub use probabilities::{Features, TemplateProbabilities, template_probabilities};
pub use prompt_tower::{PromptTower, Prompts};
pub use tokenizer::{TokenizedText, Tokenizer};
pub use tokenizer_files::TokenizerFiles;

use encoder::TensorPlace;
use text_tower::TextTower;
use vision_tower::VisionTower;
use weights::ClipWeights;

/// Images to features.
pub struct ImageEncoder {
    preprocess: Preprocess,
    tower: VisionTower,
    place: TensorPlace,
    width: usize,
}

impl ImageEncoder {
    /// Reads the image tower into the memory of `device`. `dtype` is F32, or F16 or BF16 on a GPU; whatever the
    /// file holds is converted.
    pub fn load(files: &ClipFiles, device: &Device, dtype: DType) -> Result<Self> {
        let place = tensor_place(device, dtype)?;
        let config = Config::read(&files.config)?;
        let weights = ClipWeights::open(&files.weights)?;
        weights.check_all(&VisionTower::shapes(&config))?;
        let tower = VisionTower::load(&weights, &config, &place)?;
        Ok(Self { preprocess: files.preprocess()?, tower, place, width: config.projection })
    }

    /// The same with another mean or deviation of the channels than the files say, where they are given.
    #[must_use]
    pub fn normalised_by(mut self, mean: Option<[f64; 3]>, deviation: Option<[f64; 3]>) -> Self {
        self.preprocess = self.preprocess.normalised_by(mean, deviation);
        self
    }

    /// How an image becomes the tower's input.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Length of a feature, P.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Preprocessed images as one tensor (B, 3, S, S) in f32 on the CPU, in order, on all threads.
    pub fn batch(&self, images: &[RgbImage]) -> Result<Tensor> {
        self.batch_by(images, |image, out| self.preprocess.apply(image, out))
    }

    /// The same of images that have the input's size already: neither resized nor cropped, only normalised.
    ///
    /// # Errors
    /// An image of another size.
    pub fn batch_as_is(&self, images: &[RgbImage]) -> Result<Tensor> {
        self.batch_by(images, |image, out| self.preprocess.apply_as_is(image, out))
    }

    fn batch_by(
        &self,
        images: &[RgbImage],
        prepare: impl Fn(&RgbImage, &mut [f32]) -> Result<()> + Sync,
    ) -> Result<Tensor> {
        let (len, side) = (self.preprocess.floats(), self.preprocess.side());
        let mut pixels = vec![0.0; images.len() * len];
        pixels.par_chunks_mut(len).zip(images).try_for_each(|(out, image)| prepare(image, out))?;
        Tensor::from_vec(pixels, (images.len(), 3, side, side), &Device::Cpu).or_fail(cannot_encode)
    }

    /// Preprocessed images (B, 3, S, S) to features (B, P) of unit length, f32, on the model's device. Batches of
    /// 32 to 64 are best on a CPU; there an image's feature is the same, bit for bit, whatever its batch.
    pub fn encode(&self, batch: &Tensor) -> Result<Tensor> {
        let side = self.preprocess.side();
        match batch.dims() {
            [0, 3, h, w] if (*h, *w) == (side, side) => {
                return Tensor::zeros((0, self.width), DType::F32, &self.place.device).or_fail(cannot_encode);
            }
            [_, 3, h, w] if (*h, *w) == (side, side) => {}
            shape => {
                return Err(Error::new(format!(
                    "a batch of images has shape {shape:?}, not (B, 3, {side}, {side})"
                )));
            }
        }
        let pixels = batch.to_device(&self.place.device).and_then(|x| x.to_dtype(self.place.dtype));
        let pixels = pixels.and_then(|x| x.contiguous()).or_fail(cannot_encode)?;
        unit_rows(&self.tower.forward(&pixels).or_fail(cannot_encode)?)
    }
}

/// Texts to features.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    tower: TextTower,
    place: TensorPlace,
    width: usize,
}

impl TextEncoder {
    /// Reads the text tower into the memory of `device`, with `dtype` as in [`ImageEncoder::load`].
    pub fn load(files: &ClipFiles, device: &Device, dtype: DType) -> Result<Self> {
        let place = tensor_place(device, dtype)?;
        let config = Config::read(&files.config)?;
        let tokenizer = Tokenizer::read(&files.tokenizer, &config.text)?;
        let weights = ClipWeights::open(&files.weights)?;
        weights.check_all(&TextTower::shapes(&config))?;
        let tower = TextTower::load(&weights, &config, &place)?;
        Ok(Self { tokenizer, tower, place, width: config.projection })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Length of a feature, P.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Features (N, P) of unit length, f32, on the model's device, in the order of the texts. A text longer than
    /// the model takes is cut. On a CPU a text's feature is the same, bit for bit, whatever the others are: only texts
    /// of one length share a batch.
    pub fn encode<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Tensor> {
        let texts = self.tokenizer.tokenize(texts)?;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|i| texts[*i].ids.len());
        let mut batches = Vec::new();
        for same in order.chunk_by(|a, b| texts[*a].ids.len() == texts[*b].ids.len()) {
            for batch in same.chunks(TEXTS_AT_ONCE) {
                let texts: Vec<&TokenizedText> = batch.iter().map(|i| &texts[*i]).collect();
                batches.push(self.tower.forward(&texts).or_fail(cannot_encode)?);
            }
        }
        if batches.is_empty() {
            return Tensor::zeros((0, self.width), DType::F32, &self.place.device).or_fail(cannot_encode);
        }
        let mut back = vec![0u32; order.len()];
        order.iter().enumerate().for_each(|(at, i)| back[*i] = at as u32);
        let in_order = || {
            let back = Tensor::from_vec(back, order.len(), &self.place.device)?;
            Tensor::cat(&batches, 0)?.index_select(&back, 0)
        };
        unit_rows(&in_order().or_fail(cannot_encode)?)
    }
}

/// Texts of one pass through the tower: at the usual dozen tokens, enough rows to keep every core busy.
const TEXTS_AT_ONCE: usize = 128;

fn tensor_place(device: &Device, dtype: DType) -> Result<TensorPlace> {
    match (device, dtype) {
        (_, DType::F32) | (Device::Cuda(_) | Device::Metal(_), DType::F16 | DType::BF16) => {
            Ok(TensorPlace { device: device.clone(), dtype })
        }
        _ => Err(Error::new(format!("CLIP cannot be computed in {dtype:?} on this device"))
            .help("use F32, or F16 or BF16 on a GPU")),
    }
}

/// Rows of x (rows, width) divided by their length, in f32. A row of no length or not finite is an error.
fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let divided = || {
        let x = x.to_dtype(DType::F32)?;
        let lengths = x.sqr()?.sum_keepdim(1)?.sqrt()?;
        candle_core::Result::Ok((x.broadcast_div(&lengths)?, lengths.flatten_all()?.to_vec1::<f32>()?))
    };
    let (unit, lengths) = divided().or_fail(cannot_encode)?;
    match lengths.iter().find(|l| !l.is_finite() || **l == 0.0) {
        None => Ok(unit),
        Some(length) => Err(cannot_encode()
            .because(format!("a feature has length {length}"))
            .help("the weights are not a trained CLIP's, or overflow in F16: use F32 or BF16")),
    }
}

fn cannot_load() -> Error {
    Error::new("cannot put CLIP's weights in place")
}

fn cannot_encode() -> Error {
    Error::new("cannot run CLIP")
}
