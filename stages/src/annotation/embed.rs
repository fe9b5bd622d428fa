//! The stage `embed`: CLIP's image tower over every image, the expensive pass. An image that this CLIP has seen before
//! is not looked at again.

mod known;

use std::collections::HashSet;

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Inputs, Resources, Stage};
use rayon::prelude::*;
use serde::{Serialize, Serializer};

use crate::runtime::prefetch::prefetch;
use crate::artifacts::annotation::Embeddings;
use crate::artifacts::images::{Encoded, Images};
use crate::artifacts::model::Model;
use crate::clip::ImageEncoder;
use crate::runtime::device::Place;
use crate::runtime::digest::sha256;
use crate::runtime::prefetch::ahead;
use crate::vision::decode::decode;
use known::{EVERY, Known};

/// Images a batch: enough to fill every core's caches, few enough to show progress.
const BATCH: usize = 64;

/// Batches decoded and resized while the tower works: one to take at once, one in the making.
const AHEAD: usize = 2;

/// The stage; all its output depends on are its inputs and the precision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Embed {
    /// Where the CLIP's files come from.
    #[serde(skip)]
    pub clip: Origin,
    /// Where it is computed. Of it the precision is part of the key: half precision gives other embeddings, and those of
    /// two precisions must not stand in one table.
    #[serde(rename = "precision", serialize_with = "precision")]
    pub place: Place,
}

impl Stage for Embed {
    type Inputs = (Images, Model);
    type Output = Embeddings;
    const NAME: &'static str = "embed";
    const VERSION: u32 = 2;

    fn resources(&self) -> Resources {
        self.place.resources()
    }

    fn check(&self) -> Result<()> {
        self.place.device().map(drop)
    }

    fn run(
        &self,
        (images, model): <Self::Inputs as Inputs>::Loaded,
        context: &Context,
    ) -> Result<Embeddings> {
        let encoded = images.encoded()?;
        let ids = &images.index.ids;
        let digests: Vec<String> =
            (0..ids.len()).into_par_iter().map(|row| sha256(encoded.get(row))).collect();
        let mut known = Known::new(&digests);
        known.look_back(context);
        let mut seen = HashSet::new();
        let new = |row: &usize| known.get(&digests[*row]).is_none() && seen.insert(&digests[*row]);
        let rows: Vec<usize> = (0..ids.len()).filter(new).collect();
        if known.len() > 0 {
            let count = ids.len() - rows.len();
            context.take_over(count as u64);
            context.progress().note(format!("{count} of {} images were seen before", ids.len()));
        }
        if !rows.is_empty() {
            let done = self.look_at(&rows, &encoded, ids, &digests, &mut known, (&model, context));
            if let Err(error) = done {
                let kept = known.keep(context);
                return Err(if error.is_cancelled() { kept.err().unwrap_or(error) } else { error });
            }
        }
        let mut features = Vec::with_capacity(ids.len() * known.width());
        for (id, digest) in ids.iter().zip(&digests) {
            let own = known.get(digest);
            features.extend(own.ok_or_else(|| Error::new(format!("image `{id}` was not embedded")))?);
        }
        let width = known.width();
        Ok(Embeddings { ids: ids.clone(), features, width, images: digests })
    }
}

impl Embed {
    /// Embeds the images of these rows.
    fn look_at(
        &self,
        rows: &[usize],
        encoded: &Encoded,
        ids: &[String],
        digests: &[String],
        known: &mut Known,
        (model, context): (&Model, &Context),
    ) -> Result<()> {
        let (device, dtype) = (self.place.device()?, self.place.inference_dtype());
        let clip = ImageEncoder::load(&locate(model, &self.clip, context)?, &device, dtype)?;
        let batch = |batch: usize| &rows[batch * BATCH..((batch + 1) * BATCH).min(rows.len())];
        let prepare = |&row: &usize| {
            decode(encoded.get(row)).map_err(|error| {
                Error::new(format!("image `{}` does not decode", ids[row]))
                    .because(error)
                    .help("replace the file, or leave the image out")
            })
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
                known.add(&digests[row], features);
            }
            known.keep_every(EVERY, context)?;
            context.progress().advance(batch(number).len() as u64);
            Ok(())
        })
    }
}

/// The precision that a place computes in, by its usual name.
fn precision<S: Serializer>(place: &Place, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(place.inference_dtype().as_str())
}

#[cfg(test)]
mod tests;
