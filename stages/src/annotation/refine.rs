//! Averaged probabilities made better before they become labels, without training anything: what the whole set of images
//! knows of each of them.
//!
//! Ours, not the paper's: docs/experiments/README.md has what each rule is worth.
//!
//! \[P\]: see docs/method.md.

use std::sync::Arc;

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Machine, Stage};
use serde::{Deserialize, Serialize};

use super::neighbours::Neighbours;
use crate::artifacts::annotation::{Embeddings, Votes};
use crate::artifacts::images::Split;

/// How averaged probabilities are refined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Not at all \[P\].
    #[default]
    None,
    /// Classes that the annotators prefer throughout count less, those that they neglect more.
    Prior,
    /// First each image's are averaged with those of its nearest neighbours among the embeddings; then as `prior`.
    Neighbours,
}

/// The constants of the rules; which rule is `label.refine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refine {
    /// How far the classes are made equally frequent, ρ: 0 not at all, 1 fully. What lies between allows for classes that
    /// are not equally frequent: see [`factors`].
    pub balance: f64,
    /// Neighbours of an image, for `neighbours`.
    pub neighbours: usize,
    /// Share of the neighbours in an image's probabilities, for `neighbours`.
    pub share: f64,
}

impl Default for Refine {
    fn default() -> Self {
        Self { balance: 0.5, neighbours: 10, share: 0.5 }
    }
}

impl Refine {
    fn check(&self) -> Result<()> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        if !share(self.balance) || !share(self.share) || !(1..=1000).contains(&self.neighbours) {
            let Self { balance, share, neighbours, .. } = self;
            let chosen = format!(
                "refine.balance = {balance}, refine.share = {share}, refine.neighbours = {neighbours}"
            );
            return Err(Error::new(format!("{chosen} refine nothing"))
                .help("balance and share lie between 0 and 1, neighbours between 1 and 1000"));
        }
        Ok(())
    }
}

/// The stage, where no embeddings are needed, or none are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefineVotes {
    /// How.
    pub refine: Refine,
}

/// The stage, where neighbours among the embeddings help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefineByNeighbours {
    /// How.
    pub refine: Refine,
}

impl Stage for RefineVotes {
    type Inputs = (Votes,);
    type Output = Votes;
    const NAME: &'static str = "refine";
    const VERSION: u32 = 1;

    fn check(&self, _: &Machine) -> Result<()> {
        self.refine.check()
    }

    fn run(&self, (votes,): (Arc<Votes>,), _: &Context) -> Result<Votes> {
        let mut refined = Votes::clone(&votes);
        balance(&mut refined, self.refine.balance);
        Ok(refined)
    }
}

impl Stage for RefineByNeighbours {
    type Inputs = (Votes, Embeddings);
    type Output = Votes;
    const NAME: &'static str = "refine-by-neighbours";
    const VERSION: u32 = 1;

    fn check(&self, _: &Machine) -> Result<()> {
        self.refine.check()
    }

    fn run(&self, (votes, embeddings): (Arc<Votes>, Arc<Embeddings>), context: &Context) -> Result<Votes> {
        if votes.ids != embeddings.ids {
            return Err(Error::new("the votes are on other images than the embeddings"));
        }
        let mut refined = Votes::clone(&votes);
        let (classes, share) = (votes.names.classes.len(), self.refine.share as f32);
        // Of test images too, but only from training images: what a test image says of another must not count.
        let train = training_rows(&votes);
        let neighbours = Neighbours::find(&embeddings, &train, self.refine.neighbours, context)?;
        for (row, probs) in refined.mean_probs.chunks_mut(classes.max(1)).enumerate() {
            let near = neighbours.of(row);
            if near.is_empty() {
                continue;
            }
            probs.iter_mut().for_each(|p| *p *= 1.0 - share);
            for &other in near {
                let said = votes.probs(other as usize);
                probs.iter_mut().zip(said).for_each(|(p, said)| *p += share * said / near.len() as f32);
            }
        }
        balance(&mut refined, self.refine.balance);
        Ok(refined)
    }
}

/// Training images that somebody voted on.
fn training_rows(votes: &Votes) -> Vec<usize> {
    let voted = |row: usize| votes.on(row).iter().any(Option::is_some);
    (0..votes.ids.len()).filter(|&row| votes.splits[row] == Split::Train && voted(row)).collect()
}

/// Multiplies every class by its factor and makes rows sum to 1 again. The factors are those of the training images; of
/// images that nobody voted on nothing is changed.
fn balance(votes: &mut Votes, strength: f64) {
    if strength == 0.0 {
        return;
    }
    let classes = votes.names.classes.len();
    let rows = training_rows(votes);
    let of: Vec<&[f32]> = rows.iter().map(|&row| votes.probs(row)).collect();
    let factors = factors(&of, classes, strength);
    let voted: Vec<bool> =
        (0..votes.ids.len()).map(|row| votes.on(row).iter().any(Option::is_some)).collect();
    let rows = votes.mean_probs.chunks_mut(classes.max(1)).zip(voted);
    for (probs, _) in rows.filter(|(_, voted)| *voted) {
        let sum: f64 = probs.iter().zip(&factors).map(|(&p, factor)| f64::from(p) * factor).sum();
        if sum > 0.0 {
            probs.iter_mut().zip(&factors).for_each(|(p, factor)| *p = (f64::from(*p) * factor / sum) as f32);
        }
    }
}

/// The factor of every class: f_c = (f_c / (C m_c))^`strength`, where m_c is the mean probability of the class after all were
/// multiplied by their factors; with a strength of a half, f_c is proportional to 1 / m_c. With 1 every class becomes
/// equally frequent (Sinkhorn & Knopp 1967); with less it is the relaxed problem in which unequal frequencies cost
/// something instead of being forbidden (Chizat et al. 2018).
pub fn factors(probs: &[&[f32]], classes: usize, strength: f64) -> Vec<f64> {
    const STEPS: usize = 50;
    const TINY: f64 = 1e-9;
    let mut factors = vec![1.0; classes];
    if probs.is_empty() {
        return factors;
    }
    let even = 1.0 / classes as f64;
    for _ in 0..STEPS {
        let mut mean = vec![0.0; classes];
        for row in probs {
            let sum: f64 = row.iter().zip(&factors).map(|(&p, factor)| f64::from(p) * factor).sum();
            if sum > 0.0 {
                for ((mean, &p), factor) in mean.iter_mut().zip(*row).zip(&factors) {
                    *mean += f64::from(p) * factor / sum / probs.len() as f64;
                }
            }
        }
        for (factor, mean) in factors.iter_mut().zip(mean) {
            *factor = (*factor * even / mean.max(TINY)).powf(strength);
        }
        let most = factors.iter().copied().fold(0.0, f64::max);
        factors.iter_mut().for_each(|factor| *factor /= most);
    }
    factors
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pipeline::random;
    use rand::RngExt;

    use super::*;
    use crate::artifacts::annotation::Names;

    /// Of `count` images: probabilities that prefer the first of three classes.
    fn biased(count: usize) -> Vec<[f32; 3]> {
        let mut rng = random::stream(0, "test");
        let row = |_| {
            let [a, b, c]: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.1..1.0));
            let sum = 4.0 * a + b + c;
            [4.0 * a / sum, b / sum, c / sum]
        };
        (0..count).map(row).collect()
    }

    fn votes(probs: &[[f32; 3]]) -> Votes {
        let count = probs.len();
        Votes {
            ids: (0..count).map(|i| i.to_string()).collect(),
            splits: (0..count).map(|i| if i % 4 == 3 { Split::Test } else { Split::Train }).collect(),
            votes: (0..count).map(|i| (i != 0).then_some(0)).collect(),
            mean_probs: probs.concat(),
            names: Names {
                annotators: vec!["a".to_owned()],
                classes: ["x", "y", "z"].map(str::to_owned).to_vec(),
            },
            ..Votes::default()
        }
    }

    /// Mean probability of each class over the training images that somebody voted on.
    fn frequencies(votes: &Votes) -> [f64; 3] {
        let rows = training_rows(votes);
        std::array::from_fn(|class| {
            rows.iter().map(|&row| f64::from(votes.probs(row)[class])).sum::<f64>() / rows.len() as f64
        })
    }

    #[test]
    fn full_balance_makes_classes_equally_frequent_and_half_of_it_half_so() {
        let before = votes(&biased(400));
        let balanced = |strength| {
            let mut votes = before.clone();
            balance(&mut votes, strength);
            votes
        };
        assert!(frequencies(&before)[0] > 0.55);
        assert!(frequencies(&balanced(1.0)).iter().all(|share| (share - 1.0 / 3.0).abs() < 1e-4));
        let half = frequencies(&balanced(0.5))[0];
        assert!((0.36..frequencies(&before)[0] - 0.05).contains(&half), "{half}");
        assert!(balanced(0.0) == before);
        for row in balanced(1.0).mean_probs.chunks(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn the_factors_solve_their_equation() {
        let probs = biased(300);
        let rows: Vec<&[f32]> = probs.iter().map(|row| &row[..]).collect();
        let found = factors(&rows, 3, 0.5);
        let mut mean = [0.0; 3];
        for row in &rows {
            let sum: f64 = row.iter().zip(&found).map(|(&p, factor)| f64::from(p) * factor).sum();
            for class in 0..3 {
                mean[class] += f64::from(row[class]) * found[class] / sum / rows.len() as f64;
            }
        }
        // Up to what all factors have in common, f_c = (f_c / m_c)^½, so f_c is proportional to 1 / m_c.
        let products: Vec<f64> = (0..3).map(|class| found[class] * mean[class]).collect();
        assert!(products.iter().all(|p| (p / products[0] - 1.0).abs() < 1e-6), "{products:?}");
    }

    #[test]
    fn test_images_and_those_without_votes_decide_nothing() {
        let probs = biased(40);
        let mut other = votes(&probs);
        // Image 0 has no vote, and every fourth is a test image.
        for row in (0..40).filter(|row| row % 4 == 3 || *row == 0) {
            other.mean_probs[3 * row..3 * row + 3].copy_from_slice(&[0.0, 0.0, 1.0]);
        }
        let mut all = votes(&probs);
        balance(&mut all, 1.0);
        balance(&mut other, 1.0);
        assert_eq!(all.probs(1), other.probs(1));
        assert_eq!(all.probs(0), &probs[0], "nobody voted");
    }

    #[test]
    fn settings_that_refine_nothing_are_refused() {
        let with = |balance, neighbours| Refine { balance, neighbours, ..Refine::default() }.check();
        assert!(with(0.5, 10).is_ok());
        assert!(with(1.5, 10).is_err() && with(f64::NAN, 10).is_err() && with(0.5, 0).is_err());
    }
}
