//! Class probabilities of every image under every template (method §1): votes, their mean, and the prior.
//!
//! Features come in, numbers go out.

use pipeline::error::{Error, Result};
use rayon::prelude::*;

use super::kernels;

/// Unit-length features in row-major order; `width` is the length of one.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// The features, one after the other.
    pub values: &'a [f32],
    /// Length of one feature.
    pub width: usize,
}

/// What the templates say about N images and C classes.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateProbabilities {
    /// argmax_j p_i of each image and template, (N, T); the lowest class of equals.
    pub votes: Vec<u16>,
    /// Mean of p_i over the templates, (N, C).
    pub mean: Vec<f32>,
    /// Mean of p_i over images and templates, (C).
    pub prior: Vec<f32>,
}

/// Images that one task takes. Fixed, so that the prior's sum does not depend on the number of threads.
const TASK: usize = 128;

/// p_i = softmax_j(`scale` · r · t_ij) for images r (N, P) and texts t (T, C, P), template by template, where
/// C = `classes`. The paper's scale is 100.
pub fn template_probabilities(
    images: Features,
    texts: Features,
    classes: usize,
    scale: f32,
) -> Result<TemplateProbabilities> {
    let width = images.width;
    let fits = width > 0
        && texts.width == width
        && images.values.len().is_multiple_of(width)
        && (1..=1 << 16).contains(&classes)
        && !texts.values.is_empty()
        && texts.values.len().is_multiple_of(width * classes);
    if !fits {
        let (n, t) = (images.values.len(), texts.values.len());
        return Err(Error::new(format!(
            "{n} floats of images {width} wide and {t} of texts {} wide are no features of {classes} classes",
            texts.width
        )));
    }
    let (count, rows) = (images.values.len() / width, texts.values.len() / width);
    let templates = rows / classes;
    let mut votes = vec![0u16; count * templates];
    let mut mean = vec![0.0f32; count * classes];
    let by_template = transposed(texts.values, width); // (P, T · C)
    let sums: Vec<Vec<f64>> = votes
        .par_chunks_mut(TASK * templates)
        .zip(mean.par_chunks_mut(TASK * classes))
        .zip(images.values.par_chunks(TASK * width))
        .map(|((votes, mean), images)| {
            let count = images.len() / width;
            let mut logits = vec![0.0; count * rows];
            kernels::matmul_here(images, &by_template, &mut logits, [count, width, rows], scale);
            let per_image = logits.chunks_exact_mut(rows).zip(votes.chunks_exact_mut(templates));
            for ((logits, votes), mean) in per_image.zip(mean.chunks_exact_mut(classes)) {
                for (logits, vote) in logits.chunks_exact_mut(classes).zip(votes) {
                    *vote = argmax(logits) as u16;
                    kernels::softmax(logits);
                    mean.iter_mut().zip(&*logits).for_each(|(m, p)| *m += p);
                }
                mean.iter_mut().for_each(|m| *m /= templates as f32);
            }
            column_sums(mean, classes)
        })
        .collect();
    let total = column_sums(&sums.concat(), classes);
    let prior = total.iter().map(|sum| (sum / count.max(1) as f64) as f32).collect();
    Ok(TemplateProbabilities { votes, mean, prior })
}

/// Index of the largest; the first of equals.
fn argmax(xs: &[f32]) -> usize {
    xs.iter().enumerate().fold(0, |best, (i, x)| if *x > xs[best] { i } else { best })
}

fn column_sums<T: Copy + Into<f64>>(rows: &[T], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += (*x).into());
    }
    sums
}

/// (rows, width) to (width, rows).
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let rows = values.len() / width;
    let mut out = vec![0.0; values.len()];
    for (row, values) in values.chunks_exact(width).enumerate() {
        for (column, value) in values.iter().enumerate() {
            out[column * rows + row] = *value;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn unit(rows: usize, width: usize, salt: usize) -> Vec<f32> {
        let raw: Vec<f32> =
            (0..rows * width).map(|i| (((i + salt) * 7919) % 1009) as f32 / 504.0 - 1.0).collect();
        raw.chunks(width)
            .flat_map(|row| {
                let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter().map(move |x| x / norm)
            })
            .collect()
    }

    /// The formula of method §1 in f64, one number at a time.
    fn slowly(images: &[f32], texts: &[f32], [n, t, c, p]: [usize; 4], scale: f64) -> (Vec<u16>, Vec<f64>) {
        let (mut votes, mut mean) = (Vec::new(), vec![0.0; n * c]);
        for i in 0..n {
            for template in 0..t {
                let dot = |j: usize| -> f64 {
                    let text = &texts[(template * c + j) * p..][..p];
                    images[i * p..][..p].iter().zip(text).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let e: Vec<f64> = (0..c).map(|j| (scale * dot(j)).exp()).collect();
                let sum: f64 = e.iter().sum();
                votes.push((0..c).rev().max_by(|a, b| e[*a].total_cmp(&e[*b])).unwrap() as u16);
                (0..c).for_each(|j| mean[i * c + j] += e[j] / sum / t as f64);
            }
        }
        (votes, mean)
    }

    #[test]
    fn votes_and_means_are_those_of_the_formula() {
        let [n, t, c, p] = [300, 5, 7, 24];
        let (images, texts) = (unit(n, p, 1), unit(t * c, p, 50));
        let (a, b) = (Features { values: &images, width: p }, Features { values: &texts, width: p });
        let found = template_probabilities(a, b, c, 100.0).unwrap();
        let (votes, mean) = slowly(&images, &texts, [n, t, c, p], 100.0);
        assert_eq!(found.votes, votes);
        let gap = found.mean.iter().zip(&mean).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(gap < 2e-5, "{gap}");
        for (j, prior) in found.prior.iter().enumerate() {
            let wanted = mean.iter().skip(j).step_by(c).sum::<f64>() / n as f64;
            assert!((f64::from(*prior) - wanted).abs() < 1e-5);
        }
    }

    #[test]
    fn equal_classes_are_won_by_the_lowest() {
        let image = [1.0, 0.0];
        let texts = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0];
        let (a, b) = (Features { values: &image, width: 2 }, Features { values: &texts, width: 2 });
        let found = template_probabilities(a, b, 3, 100.0).unwrap();
        assert_eq!(found.votes, [1]);
        assert_eq!(found.mean[1..], [0.5, 0.5]);
        assert!(found.mean[0] < 1e-30);
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (images, texts) = (unit(500, 16, 3), unit(3 * 4, 16, 4));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (a, b) = (Features { values: &images, width: 16 }, Features { values: &texts, width: 16 });
            pool.install(|| template_probabilities(a, b, 4, 100.0).unwrap())
        };
        assert_eq!(run(1), run(4));
    }

    #[test]
    fn no_images_give_no_votes_and_a_prior_of_zeros() {
        let (a, b) = (Features { values: &[], width: 2 }, Features { values: &[1.0, 0.0], width: 2 });
        let found = template_probabilities(a, b, 1, 100.0).unwrap();
        assert_eq!((found.votes.len(), found.mean.len(), &found.prior[..]), (0, 0, &[0.0][..]));
    }

    #[test]
    fn features_of_other_shapes_are_refused() {
        let (three, four) =
            (Features { values: &[1.0; 3], width: 3 }, Features { values: &[1.0; 4], width: 4 });
        assert!(template_probabilities(three, four, 1, 100.0).is_err());
        assert!(template_probabilities(four, four, 3, 100.0).is_err());
        assert!(template_probabilities(four, four, 0, 100.0).is_err());
    }
}
