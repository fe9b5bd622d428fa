//! Candidate sets from votes (method §1).
//!
//! \[P\], \[I\]: see docs/method.md.

use std::sync::Arc;

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Machine, Stage, key_without};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refine;
use crate::artifacts::annotation::{Labels, Names, Votes};
use crate::artifacts::images::Images;

/// How candidates are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Every class that at least `min_votes` annotators voted for \[P: 1\]; where none has so many, those with the most.
    Union,
    /// The `k` classes of the highest mean probability \[I\].
    TopK,
    /// Every class of the top `k` whose mean probability is at least `ratio` times the highest \[I\].
    Ratio,
    /// The class of the highest mean probability alone.
    Single,
}

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// How averaged probabilities are refined before: by a stage of its own.
    pub refine: refine::Rule,
    /// How candidates are chosen.
    pub rule: Rule,
    /// Votes that a candidate needs, for `union`.
    pub min_votes: usize,
    /// Most candidates, for `top-k` and `ratio`.
    pub k: usize,
    /// Least share of the highest probability, for `ratio`.
    pub ratio: f64,
    /// So many training images of each class have their true one, as humans gave it: by a stage of its own. 0 for none.
    pub shots: usize,
    /// Seed of which images of a class those are.
    pub shots_seed: u64,
    /// The images that humans labelled and their classes, as a table (Parquet, CSV, TSV or JSON lines: id, class), in
    /// the place of the data set's own labels; none if empty.
    pub truth: String,
}

impl Default for Label {
    fn default() -> Self {
        // k and ratio are ours: the paper's rule is the union, which does not read them.
        Self {
            refine: refine::Rule::None,
            rule: Rule::Union,
            min_votes: 1,
            k: 3,
            ratio: 0.2,
            shots: 0,
            shots_seed: 0,
            truth: String::new(),
        }
    }
}

impl Stage for Label {
    type Inputs = (Images, Votes);
    type Output = Labels;
    const NAME: &'static str = "label";
    // 3: candidates have weights.
    // 4: the table says which labels a human gave.
    const VERSION: u32 = 4;

    fn key(&self) -> Result<Value> {
        key_without(self, &["/shots", "/shots_seed", "/truth"])
    }

    fn check(&self, _: &Machine) -> Result<()> {
        let Self { min_votes, k, ratio, .. } = *self;
        if k == 0 || min_votes == 0 || !(0.0..=1.0).contains(&ratio) {
            let chosen = format!("label.min_votes = {min_votes}, label.k = {k}, label.ratio = {ratio}");
            return Err(Error::new(format!("{chosen} choose nothing"))
                .help("set label.min_votes ≥ 1, label.k ≥ 1 and label.ratio between 0 and 1"));
        }
        Ok(())
    }

    fn run(&self, (images, votes): (Arc<Images>, Arc<Votes>), _: &Context) -> Result<Labels> {
        images.index.check_same_ids(&votes.ids, "votes")?;
        let rows = || 0..votes.ids.len();
        let single = |row: usize| voted(votes.on(row)).then(|| most_probable(1, votes.probs(row))[0]);
        let candidates: Vec<Vec<u16>> =
            rows().map(|row| self.candidates(&votes.named_on(row), votes.probs(row))).collect();
        Ok(Labels {
            ids: votes.ids.clone(),
            splits: votes.splits.clone(),
            weights: rows().map(|row| weights(&candidates[row], votes.probs(row))).collect(),
            candidates,
            single: rows().map(single).collect(),
            human: vec![false; votes.ids.len()],
            truth: images.index.labels.clone(),
            names: Names { annotators: Vec::new(), classes: votes.names.classes.clone() },
        })
    }
}

impl Label {
    /// The same rule without what it says of labels of humans, which are another stage's.
    pub fn without_human_labels(&self) -> Self {
        Self { shots: 0, shots_seed: 0, truth: String::new(), ..self.clone() }
    }

    /// The candidates of one image, ascending, from every class that was named on it and its mean probabilities. Where nobody voted every
    /// class may be the one.
    pub fn candidates(&self, votes: &[Option<u16>], probs: &[f32]) -> Vec<u16> {
        if !voted(votes) {
            return (0..probs.len() as u16).collect();
        }
        let mut chosen = match self.rule {
            Rule::Union => return self.voted_for(votes),
            Rule::TopK => most_probable(self.k, probs),
            Rule::Ratio => {
                let mut top = most_probable(self.k, probs);
                let least = (self.ratio * f64::from(probs[usize::from(top[0])])) as f32;
                top.retain(|&class| probs[usize::from(class)] >= least);
                top
            }
            Rule::Single => most_probable(1, probs),
        };
        chosen.sort_unstable();
        chosen
    }

    /// The classes with votes enough, ascending; where none has, those with the most.
    fn voted_for(&self, votes: &[Option<u16>]) -> Vec<u16> {
        let mut given: Vec<u16> = votes.iter().copied().flatten().collect();
        given.sort_unstable();
        let classes = || given.chunk_by(|a, b| a == b);
        let most = classes().map(<[u16]>::len).max().unwrap_or(0);
        classes().filter(|votes| votes.len() >= self.min_votes.min(most)).map(|votes| votes[0]).collect()
    }
}

/// How much each of an image's `candidates` is believed: its share of their mean probabilities. A class that a template
/// votes for is never quite out of the question.
fn weights(candidates: &[u16], probs: &[f32]) -> Vec<f32> {
    const LEAST: f32 = 1e-4;
    let believed: Vec<f32> = candidates.iter().map(|&class| probs[usize::from(class)].max(LEAST)).collect();
    let sum: f32 = believed.iter().sum();
    believed.into_iter().map(|weight| weight / sum).collect()
}

/// Whether anybody voted.
fn voted(votes: &[Option<u16>]) -> bool {
    votes.iter().any(Option::is_some)
}

/// The `k` most probable classes, the most probable first; of equals the first comes first.
fn most_probable(k: usize, probs: &[f32]) -> Vec<u16> {
    let order = |&a: &u16, &b: &u16| {
        let [p, q] = [a, b].map(|class| probs[usize::from(class)]);
        q.total_cmp(&p).then(a.cmp(&b))
    };
    let mut classes: Vec<u16> = (0..probs.len() as u16).collect();
    let k = k.min(classes.len());
    if k < classes.len() {
        classes.select_nth_unstable_by(k, order);
        classes.truncate(k);
    }
    classes.sort_unstable_by(order);
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(rule: Rule, votes: &[u16], probs: &[f32]) -> Vec<u16> {
        Label { rule, min_votes: 1, k: 2, ratio: 0.5, ..Label::default() }.candidates(&given(votes), probs)
    }

    fn given(votes: &[u16]) -> Vec<Option<u16>> {
        votes.iter().copied().map(Some).collect()
    }

    const PROBS: [f32; 4] = [0.1, 0.4, 0.15, 0.35];

    #[test]
    fn the_union_holds_every_vote_once_ascending() {
        assert_eq!(candidates(Rule::Union, &[3, 1, 3, 0], &PROBS), [0, 1, 3]);
    }

    #[test]
    fn a_candidate_needs_its_votes_unless_none_has_so_many() {
        let union = |min_votes| Label { min_votes, ..Label::default() };
        assert_eq!(union(2).candidates(&given(&[3, 1, 3, 0, 1]), &PROBS), [1, 3]);
        assert_eq!(union(3).candidates(&given(&[3, 1, 3, 0, 3]), &PROBS), [3]);
        assert_eq!(union(9).candidates(&given(&[3, 1, 3, 0, 1]), &PROBS), [1, 3]);
        assert!(union(0).check(&Machine::default()).is_err());
    }

    #[test]
    fn who_gave_no_vote_adds_no_candidate_and_where_nobody_did_every_class_is_one() {
        let union = Label::default();
        assert_eq!(union.candidates(&[None, Some(3), None, Some(1)], &PROBS), [1, 3]);
        for rule in [Rule::Union, Rule::TopK, Rule::Ratio, Rule::Single] {
            assert_eq!(Label { rule, ..union.clone() }.candidates(&[None, None], &[0.25; 4]), [0, 1, 2, 3]);
        }
    }

    #[test]
    fn top_k_and_ratio_go_by_mean_probability() {
        assert_eq!(candidates(Rule::TopK, &[0], &PROBS), [1, 3]);
        assert_eq!(candidates(Rule::Ratio, &[0], &[0.6, 0.2, 0.1, 0.1]), [0]);
        assert_eq!(candidates(Rule::Ratio, &[0], &PROBS), [1, 3]);
        assert_eq!(candidates(Rule::Single, &[0], &PROBS), [1]);
    }

    #[test]
    fn what_is_said_of_labels_of_humans_makes_no_other_candidates() {
        let asked = Label { shots: 4, shots_seed: 1, truth: "truth.csv".to_owned(), ..Label::default() };
        let key = |label: &Label| label.key().unwrap_or_default();
        assert_eq!(key(&asked), key(&Label::default()));
        assert_ne!(key(&asked), key(&Label { k: 2, ..asked.clone() }));
        assert_eq!(asked.without_human_labels(), Label::default());
    }

    #[test]
    fn of_equal_probabilities_the_first_class_wins() {
        assert_eq!(candidates(Rule::Single, &[0], &[0.3, 0.35, 0.35]), [1]);
    }

    #[test]
    fn the_most_probable_are_those_of_a_whole_sort() {
        let probs: Vec<f32> = (0..97).map(|n| ((n * 31) % 17) as f32 / 17.0).collect();
        let mut sorted: Vec<u16> = (0..97).collect();
        sorted.sort_by(|&a, &b| probs[usize::from(b)].total_cmp(&probs[usize::from(a)]));
        for k in [1, 2, 5, 50, 97, 200] {
            assert_eq!(most_probable(k, &probs), sorted[..k.min(97)], "{k}");
        }
    }
}
