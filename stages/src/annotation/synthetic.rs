//! Synthetic noisy partial labels (method §12): candidates made from the truth, for studying the method where it is
//! known what is wrong with them.
//!
//! \[P\], \[I\]: see docs/method.md.

use std::sync::Arc;

use pipeline::error::{Error, Result};
use pipeline::random;
use pipeline::stage::{Context, Machine, Stage};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Labels, Names};
use crate::artifacts::images::Images;

/// Settings of the stage, which stands in the place of `label`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthesise {
    /// Probability with which each wrong class joins the candidates, q \[P: 0.01, 0.03, 0.05\].
    pub q: f64,
    /// Probability with which the true class is then replaced by a class that is no candidate, η \[P: 0.1, 0.2, 0.3\].
    pub eta: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Synthesise {
    fn default() -> Self {
        // The hardest cell of the paper's table.
        Self { q: 0.05, eta: 0.3, seed: 0 }
    }
}

impl Stage for Synthesise {
    type Inputs = (Images,);
    type Output = Labels;
    const NAME: &'static str = "synthetic-label";
    // 3: the table says which labels a human gave.
    const VERSION: u32 = 3;

    fn check(&self, _: &Machine) -> Result<()> {
        for (name, value) in [("q", self.q), ("eta", self.eta)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::new(format!("synthetic.{name} = {value} is no probability"))
                    .help("give a number between 0 and 1"));
            }
        }
        Ok(())
    }

    fn run(&self, (images,): (Arc<Images>,), _: &Context) -> Result<Labels> {
        let index = &images.index;
        let classes = index.classes.len();
        let mut rng = random::stream(self.seed, "synthetic labels");
        let (mut candidates, mut single) = (Vec::new(), Vec::new());
        for (id, label) in index.ids.iter().zip(&index.labels) {
            let truth = label.and_then(|label| u16::try_from(label).ok());
            let truth = truth.ok_or_else(|| {
                Error::new(format!("image `{id}` has no true label"))
                    .help("synthetic labels are made from the truth: take LABELS=clip for this data set")
            })?;
            let drawn = self.candidates(truth, classes, &mut rng);
            single.push(Some(drawn.choose(&mut rng).copied().unwrap_or(truth)));
            candidates.push(drawn);
        }
        let alike = |of: &Vec<u16>| vec![1.0 / of.len() as f32; of.len()];
        Ok(Labels {
            ids: index.ids.clone(),
            splits: index.splits.clone(),
            weights: candidates.iter().map(alike).collect(),
            candidates,
            single,
            human: vec![false; index.ids.len()],
            truth: index.labels.clone(),
            names: Names { annotators: Vec::new(), classes: index.classes.clone() },
        })
    }
}

impl Synthesise {
    /// The candidates of one image of this class, ascending: every wrong class joins with probability q; then, with
    /// probability η, the truth gives way to a class that is none of them, if there is one.
    fn candidates(&self, truth: u16, classes: usize, rng: &mut impl Rng) -> Vec<u16> {
        let all = 0..classes as u16;
        let mut chosen: Vec<u16> =
            all.clone().filter(|&class| class == truth || rng.random_bool(self.q)).collect();
        if rng.random_bool(self.eta) {
            let others: Vec<u16> = all.filter(|class| !chosen.contains(class)).collect();
            if let Some(&other) = others.choose(rng) {
                chosen.retain(|&class| class != truth);
                chosen.push(other);
                chosen.sort_unstable();
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: usize = 10;

    fn drawn(q: f64, eta: f64, count: usize) -> Vec<Vec<u16>> {
        let stage = Synthesise { q, eta, seed: 0 };
        let mut rng = random::stream(1, "test");
        (0..count).map(|_| stage.candidates(3, CLASSES, &mut rng)).collect()
    }

    fn share(of: &[Vec<u16>], what: impl Fn(&Vec<u16>) -> bool) -> f64 {
        of.iter().filter(|candidates| what(candidates)).count() as f64 / of.len() as f64
    }

    /// Four standard deviations of the mean of so many draws.
    fn near(found: f64, expected: f64, deviation: f64, count: usize) {
        let off = (found - expected).abs();
        assert!(off < 4.0 * deviation / (count as f64).sqrt(), "{found} is not {expected}");
    }

    #[test]
    fn wrong_classes_join_and_the_truth_leaves_as_often_as_they_should() {
        let count = 40_000;
        let (q, eta) = (0.05_f64, 0.3_f64);
        let all = drawn(q, eta, count);
        near(share(&all, |c| !c.contains(&3)), eta, (eta * (1.0 - eta)).sqrt(), count);
        let sizes = all.iter().map(|c| c.len() as f64).sum::<f64>() / count as f64;
        near(sizes, 1.0 + 9.0 * q, (9.0 * q * (1.0 - q)).sqrt(), count);
        // A wrong class is there by q, or as the substitute: one of the classes that are not candidates yet.
        let wrong = share(&all, |c| c.contains(&7));
        near(wrong, q + eta * (1.0 - q) * substitute(q), 0.5, count);
        assert!(all.iter().all(|c| c.is_sorted() && c.windows(2).all(|pair| pair[0] != pair[1])));
    }

    /// Probability that a wrong class which is no candidate is the substitute: the mean of 1 / (1 + others that are
    /// none either), the others being 8 draws that stay out with probability 1 − q.
    fn substitute(q: f64) -> f64 {
        let choose = |k: i32| (1..=k).fold(1.0, |all, i| all * f64::from(9 - i) / f64::from(i));
        (0..=8).map(|k| choose(k) * (1.0 - q).powi(k) * q.powi(8 - k) / f64::from(1 + k)).sum()
    }

    #[test]
    fn without_noise_the_truth_stands_alone() {
        assert!(drawn(0.0, 0.0, 100).iter().all(|candidates| candidates == &[3]));
        assert!(drawn(0.0, 1.0, 100).iter().all(|candidates| candidates.len() == 1 && candidates[0] != 3));
    }

    #[test]
    fn where_every_class_is_a_candidate_the_truth_stays() {
        let all: Vec<u16> = (0..CLASSES as u16).collect();
        assert!(drawn(1.0, 1.0, 10).iter().all(|candidates| *candidates == all));
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for (q, eta) in [(-0.1, 0.0), (0.0, 1.5), (f64::NAN, 0.0)] {
            assert!(Synthesise { q, eta, seed: 0 }.check(&Machine::default()).is_err());
        }
    }
}
