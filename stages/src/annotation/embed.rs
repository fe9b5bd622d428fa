//! The stage `embed`: CLIP's image tower over every image, the expensive pass. An image that this CLIP has seen before
//! is not looked at again.

use std::cell::OnceCell;

use candle_core::Device;
use pipeline::error::{Error, OrFail, Result};
use pipeline::pieces::{Pieced, Pieces};
use pipeline::stage::{Context, Inputs, Machine, Resources, Stage, key_without};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fetch_clip::{Origin, locate};
use crate::artifacts::annotation::Embeddings;
use crate::artifacts::images::{Encoded, Images};
use crate::artifacts::model::Model;
use crate::clip::{ClipFiles, ImageEncoder};
use crate::runtime::device::{InferenceType, Place};
use crate::runtime::digest::sha256;
use crate::runtime::prefetch::prefetch;
use crate::vision::decode::decode;

/// Images a batch: enough to fill every core's caches, few enough to show progress.
pub(super) const BATCH: usize = 64;

/// Batches decoded and resized while the tower works: one to take at once, one in the making.
pub(super) const AHEAD: usize = 2;

/// The position of the CLIP among the inputs. An embedding depends on it and on the bytes of its image alone, so that the
/// SHA-256 of the bytes names it.
const MODEL: usize = 1;

/// The stage; all its output depends on are its inputs and the precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embed {
    /// Where the CLIP's files come from; which files they are, says the input.
    pub clip: Origin,
    /// What the tower is computed in. Half precision gives other embeddings, and those of two precisions must not stand
    /// in one table.
    pub precision: InferenceType,
    /// Mean of the three channels that pixels are normalised by; empty for what the CLIP's files say. Not part of the key
    /// where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f64>,
    /// Their deviation, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f64>,
}

impl Stage for Embed {
    type Inputs = (Images, Model);
    type Output = Embeddings;
    const NAME: &'static str = "embed";
    const VERSION: u32 = 2;

    fn key(&self) -> Result<Value> {
        key_without(self, &["/clip"])
    }

    fn resources(&self, machine: &Machine) -> Resources {
        Place::of(machine).resources()
    }

    fn check(&self, machine: &Machine) -> Result<()> {
        self.normalisation()?;
        let place = Place::of(machine);
        if self.precision == InferenceType::F16 && place == Place::Cpu {
            return Err(Error::new("half precision needs a GPU")
                .help("use DEVICE=cuda, or plan the run with DEVICE=cpu"));
        }
        place.device().map(drop)
    }

    fn run(
        &self,
        (images, model): <Self::Inputs as Inputs>::Loaded,
        context: &Context,
    ) -> Result<Embeddings> {
        let encoded = images.encoded()?;
        let ids = &images.index.ids;
        let clip = LocatedClip { model: &model, origin: &self.clip, context, files: OnceCell::new() };
        let set = self.normalisation()?;
        if set != [None; 2]
            && let Some(note) = notes::normalisation(set, clip.files()?.preprocess()?.normalisation())
        {
            context.progress().note(note);
        }
        if let Some(note) = notes::narrow(ids, &encoded, || clip.files()?.preprocess())? {
            context.progress().note(note);
        }
        let digests: Vec<String> =
            (0..ids.len()).into_par_iter().map(|row| sha256(encoded.get(row))).collect();
        let mut pieces = context.pieces::<Embeddings>(&digests, &[MODEL]);
        let rows = pieces.missing(&digests);
        if pieces.taken_over() > 0 {
            let seen = pieces.taken_over();
            context.progress().note(format!("{seen} of {} images were seen before", ids.len()));
        }
        if !rows.is_empty() {
            pieces.fill(|pieces| self.look_at(&rows, &encoded, ids, &digests, pieces, &clip))?;
        }
        let width = pieces.length() / size_of::<f32>();
        let mut features = Vec::with_capacity(ids.len() * width);
        for (id, digest) in ids.iter().zip(&digests) {
            let bytes = pieces.get(digest);
            features
                .extend(floats(bytes.ok_or_else(|| Error::new(format!("image `{id}` was not embedded")))?));
        }
        Ok(Embeddings { ids: ids.clone(), features, width, images: digests })
    }
}

/// A CLIP whose files are looked for when they are needed: that takes a while, for each is compared with its digest.
struct LocatedClip<'a> {
    model: &'a Model,
    origin: &'a Origin,
    context: &'a Context,
    files: OnceCell<ClipFiles>,
}

impl LocatedClip<'_> {
    fn files(&self) -> Result<&ClipFiles> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let files = locate(self.model, self.origin, self.context)?;
        Ok(self.files.get_or_init(|| files))
    }
}

impl Embed {
    /// Mean and deviation that the settings name.
    ///
    /// # Errors
    /// What is not three numbers, a deviation that is not positive.
    fn normalisation(&self) -> Result<[Option<[f64; 3]>; 2]> {
        let three = |name: &str, values: &[f64]| {
            match values {
            [] => Ok(None),
            [red, green, blue] if values.iter().all(|value| value.is_finite()) => Ok(Some([*red, *green, *blue])),
            _ => Err(Error::new(format!("clip.{name} = {values:?} is not three numbers"))
                .help(format!("name one for each of red, green and blue, for pixels from 0 to 1, as clip.{name}=[0.5,0.5,0.5]; [] takes what the CLIP's files say"))),
        }
        };
        let [mean, deviation] = [three("mean", &self.mean)?, three("std", &self.std)?];
        if deviation.is_some_and(|of| of.iter().any(|value| *value <= 0.0)) {
            let error = Error::new(format!("clip.std = {:?} holds a number that is not above 0", self.std));
            return Err(error.help("pixels are divided by it; [] takes what the CLIP's files say"));
        }
        Ok([mean, deviation])
    }

    /// The image tower with the precision and the normalisation of these settings.
    pub(super) fn encoder(&self, files: &ClipFiles, device: &Device) -> Result<ImageEncoder> {
        let [mean, deviation] = self.normalisation()?;
        Ok(ImageEncoder::load(files, device, self.precision.dtype())?.normalised_by(mean, deviation))
    }

    /// Embeds the images of these rows.
    fn look_at(
        &self,
        rows: &[usize],
        encoded: &Encoded,
        ids: &[String],
        digests: &[String],
        pieces: &mut Pieces,
        clip: &LocatedClip,
    ) -> Result<()> {
        let context = clip.context;
        let device = Place::of(context.machine()).device()?;
        let clip = self.encoder(clip.files()?, &device)?;
        let batch = |batch: usize| &rows[batch * BATCH..((batch + 1) * BATCH).min(rows.len())];
        let prepare = |&row: &usize| {
            let unusable = |what: &str, error: Error| {
                Error::new(format!("image `{}` {what}", ids[row]))
                    .because(error)
                    .help("replace the file, or leave the image out")
            };
            let image = decode(encoded.get(row)).map_err(|error| unusable("does not decode", error))?;
            let usable = clip.preprocess().check(image.dimensions());
            usable.map_err(|error| unusable("cannot be shown to CLIP", error))?;
            Ok(image)
        };
        let prepare_batch = |number| {
            context.safe_point()?;
            // Every image of the batch is tried, so that the error does not depend on which thread was first.
            let images: Vec<_> = batch(number).par_iter().map(prepare).collect();
            let mut images = images.into_iter().collect::<Result<Vec<_>>>()?;
            // On an accelerator the size of a batch may choose between products that round differently.
            if let (false, Some(last)) = (device.is_cpu(), images.last().cloned()) {
                images.resize(BATCH, last);
            }
            clip.batch(&images) // (B, 3, S, S)
        };
        context.progress().begin(rows.len() as u64, "images");
        prefetch(rows.len().div_ceil(BATCH), AHEAD, prepare_batch, |number, images| {
            context.safe_point()?;
            let features = clip.encode(&images)?; // (B, P)
            let features = features.flatten_all().and_then(|values| values.to_vec1::<f32>());
            let features = features.or_fail(|| Error::new("cannot embed the images"))?;
            for (&row, features) in batch(number).iter().zip(features.chunks(clip.width())) {
                pieces.put(&digests[row], &bytes(features))?;
            }
            context.progress().advance(batch(number).len() as u64);
            Ok(())
        })
    }
}

impl Pieced for Embeddings {
    fn pieces(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        let features = self.features.chunks(self.width.max(1)).map(bytes);
        self.images.iter().map(String::as_str).zip(features)
    }
}

/// Features as a piece: each number's four bytes, the lowest first.
fn bytes(features: &[f32]) -> Vec<u8> {
    features.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The features of a piece.
fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value))
}

mod notes;
#[cfg(test)]
mod tests;
