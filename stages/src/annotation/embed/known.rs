//! Embeddings that need not be computed: those of earlier results, of before an interruption, and of images that are
//! there twice.
//!
//! An embedding depends on the CLIP and on the bytes of its image alone, so the SHA-256 of the bytes names it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use pipeline::error::{OrFail, Result};
use pipeline::stage::Context;

use crate::artifacts::annotation::Embeddings;
use crate::runtime::checkpoint;

/// How long the work may be that a kill costs.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Known<'a> {
    wanted: HashSet<&'a str>,
    /// Where the features of an image begin.
    place: HashMap<String, usize>,
    features: Vec<f32>,
    width: usize,
    saved: Instant,
}

impl<'a> Known<'a> {
    /// Nothing, yet, of the images with these digests.
    pub(super) fn new(wanted: &'a [String]) -> Self {
        let wanted = wanted.iter().map(String::as_str).collect();
        Self { wanted, place: HashMap::new(), features: Vec::new(), width: 0, saved: Instant::now() }
    }

    /// Takes over what the same CLIP made of the same images, in a run that was stopped or for other sets of images.
    pub(super) fn look_back(&mut self, context: &Context) {
        if let Some((tensors, digests)) = checkpoint::load::<Vec<String>>(context)
            && let Some(features) = tensors.get(FEATURES).and_then(|tensor| tensor.to_vec2::<f32>().ok())
        {
            digests.iter().zip(features).for_each(|(digest, features)| self.add(digest, &features));
        }
        for earlier in context.earlier() {
            if self.is_complete() {
                return;
            }
            // The second input is the CLIP.
            if earlier.same() == [false, true]
                && let Some(Embeddings { images, features, width, .. }) = earlier.load()
                && width > 0
            {
                images
                    .iter()
                    .zip(features.chunks(width))
                    .for_each(|(image, features)| self.add(image, features));
            }
        }
    }

    /// How many of the images wanted are known.
    pub(super) fn len(&self) -> usize {
        self.place.len()
    }

    /// Whether all images wanted are known.
    pub(super) fn is_complete(&self) -> bool {
        self.len() == self.wanted.len()
    }

    /// Adds the features of an image, if it is wanted and not known yet.
    pub(super) fn add(&mut self, digest: &str, features: &[f32]) {
        let fits = self.width == 0 || self.width == features.len();
        if self.wanted.contains(digest) && !self.place.contains_key(digest) && fits {
            self.width = features.len();
            self.place.insert(digest.to_owned(), self.features.len());
            self.features.extend_from_slice(features);
        }
    }

    /// The features of an image, if they are known: as many as [`width`](Self::width) says.
    pub(super) fn get(&self, digest: &str) -> Option<&[f32]> {
        let start = *self.place.get(digest)?;
        self.features.get(start..start + self.width)
    }

    /// Length of the features of one image; 0 as long as none is known.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Keeps what is known where a kill cannot reach it, if that was not done for so long.
    pub(super) fn keep_every(&mut self, time: Duration, context: &Context) -> Result<()> {
        if self.saved.elapsed() < time { Ok(()) } else { self.keep(context) }
    }

    /// Keeps what is known where a kill cannot reach it.
    pub(super) fn keep(&mut self, context: &Context) -> Result<()> {
        if self.place.is_empty() {
            return Ok(());
        }
        let mut digests: Vec<(&usize, &String)> =
            self.place.iter().map(|(digest, at)| (at, digest)).collect();
        digests.sort_unstable();
        let digests: Vec<&String> = digests.into_iter().map(|(_, digest)| digest).collect();
        let shape = (digests.len(), self.width);
        let features = Tensor::from_slice(&self.features, shape, &Device::Cpu);
        let features = features.or_fail(|| pipeline::error::Error::new("cannot keep the embeddings"))?;
        checkpoint::save(context, &BTreeMap::from([(FEATURES.to_owned(), features)]), &digests)?;
        self.saved = Instant::now();
        Ok(())
    }
}

/// The tensor of the checkpoint.
const FEATURES: &str = "features";
