//! The stage `embed`: CLIP's image tower over every image, the expensive pass.

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::{Context, Inputs, Resources, Stage};
use rayon::prelude::*;
use serde::Serialize;

use crate::ahead::ahead;
use crate::artifacts::annotation::Embeddings;
use crate::artifacts::images::Images;
use crate::artifacts::model::Model;
use crate::clip::ImageEncoder;
use crate::device::Place;
use crate::download::model::{Origin, locate};
use crate::vision::decode::decode;

/// Images a batch: enough to fill every core's caches, few enough to show progress.
const BATCH: usize = 64;

/// Batches decoded and resized while the tower works: one to take at once, one in the making.
const AHEAD: usize = 2;

/// The stage; all its output depends on are its inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Embed {
    /// Where the CLIP's files come from.
    #[serde(skip)]
    pub clip: Origin,
    /// Where it is computed; not part of the key.
    #[serde(skip)]
    pub place: Place,
}

impl Stage for Embed {
    type Inputs = (Images, Model);
    type Output = Embeddings;
    const NAME: &'static str = "embed";
    const VERSION: u32 = 1;

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
        let (device, dtype) = (self.place.device()?, self.place.inference_dtype());
        let clip = ImageEncoder::load(&locate(&model, &self.clip, context)?, &device, dtype)?;
        let encoded = images.encoded()?;
        let ids = &images.index.ids;
        let rows = |batch: usize| batch * BATCH..((batch + 1) * BATCH).min(ids.len());
        let prepare = |row: usize| {
            decode(encoded.get(row)).map_err(|error| {
                Error::new(format!("image `{}` does not decode", ids[row]))
                    .because(error)
                    .help("replace the file, or leave the image out")
            })
        };
        let prepare_batch = |batch| {
            context.safe_point()?;
            // Every image of the batch is tried, so that the error does not depend on which thread was first.
            let images: Vec<_> = rows(batch).into_par_iter().map(prepare).collect();
            clip.batch(&images.into_iter().collect::<Result<Vec<_>>>()?) // (B, 3, S, S)
        };
        let mut features = Vec::new();
        context.progress().begin(ids.len() as u64, "images");
        ahead(ids.len().div_ceil(BATCH), AHEAD, prepare_batch, |batch, images| {
            context.safe_point()?;
            let encoded = clip.encode(&images)?; // (B, P)
            let values = encoded.flatten_all().and_then(|values| values.to_vec1::<f32>());
            features.extend(values.or_fail(|| Error::new("cannot embed the images"))?);
            context.progress().advance(rows(batch).len() as u64);
            Ok(())
        })?;
        Ok(Embeddings { ids: ids.clone(), features, width: clip.width() })
    }
}
