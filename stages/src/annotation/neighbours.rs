//! The nearest neighbours of every image among some of them, by their embeddings.

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use rayon::prelude::*;

use crate::artifacts::annotation::Embeddings;

/// The nearest of each image, nearest first.
pub struct Neighbours {
    /// Rows, `width` an image, image after image; [`NOBODY`] where there are not so many.
    rows: Vec<u32>,
    width: usize,
}

const NOBODY: u32 = u32::MAX;

impl Neighbours {
    /// The `count` nearest of every image among the rows `among`, itself left out, by the cosine of their embeddings.
    ///
    /// # Errors
    /// The user asked to stop, or memory runs out.
    pub fn find(embeddings: &Embeddings, among: &[usize], count: usize, context: &Context) -> Result<Self> {
        const BLOCK: usize = 512;
        let cannot = || Error::new("cannot compare the embeddings");
        let (all, width) = (embeddings.ids.len(), embeddings.width);
        let of = |rows: &[usize]| -> Result<Tensor> {
            let row = |&row: &usize| &embeddings.features[row * width..(row + 1) * width];
            let values: Vec<f32> = rows.iter().flat_map(row).copied().collect();
            Tensor::from_vec(values, (rows.len(), width), &Device::Cpu).or_fail(cannot)
        };
        if among.is_empty() {
            return Ok(Self { rows: Vec::new(), width: 0 });
        }
        let targets = of(among)?.t().or_fail(cannot)?;
        let mut rows = Vec::with_capacity(all * count);
        let every: Vec<usize> = (0..all).collect();
        context.progress().begin(all as u64, "images");
        for block in every.chunks(BLOCK) {
            context.safe_point()?;
            let similar = of(block)?.matmul(&targets).or_fail(cannot)?;
            let similar: Vec<f32> = similar.flatten_all().and_then(|s| s.to_vec1()).or_fail(cannot)?;
            let nearest: Vec<Vec<u32>> = (block.par_iter().zip(similar.par_chunks(among.len())))
                .map(|(&own, similar)| nearest(own, similar, among, count))
                .collect();
            rows.extend(nearest.into_iter().flatten());
            context.progress().advance(block.len() as u64);
        }
        Ok(Self { rows, width: count })
    }

    /// The rows of the nearest of image `row`.
    pub fn of(&self, row: usize) -> &[u32] {
        let all = self.rows.get(row * self.width..(row + 1) * self.width).unwrap_or_default();
        &all[..all.iter().position(|&other| other == NOBODY).unwrap_or(all.len())]
    }
}

/// The `count` most similar; of equals the first comes first.
fn nearest(own: usize, similar: &[f32], among: &[usize], count: usize) -> Vec<u32> {
    let mut places: Vec<usize> = (0..among.len()).filter(|&place| among[place] != own).collect();
    let order = |&a: &usize, &b: &usize| similar[b].total_cmp(&similar[a]).then(a.cmp(&b));
    if places.len() > count {
        places.select_nth_unstable_by(count, order);
        places.truncate(count);
    }
    places.sort_unstable_by(order);
    let mut rows: Vec<u32> = places.into_iter().map(|place| among[place] as u32).collect();
    rows.resize(count, NOBODY);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_nobody_is_ones_own_neighbour() {
        let among = [4, 7, 9, 11];
        let similar = [0.5, 0.9, 0.9, -0.3];
        assert_eq!(nearest(7, &similar, &among, 2), [9, 4]);
        assert_eq!(nearest(1, &similar, &among, 2), [7, 9], "of equals the first");
        assert_eq!(nearest(4, &similar, &among, 5), [7, 9, 11, NOBODY, NOBODY]);
    }
}
