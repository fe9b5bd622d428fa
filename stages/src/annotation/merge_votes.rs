//! Votes of several sources as those of one: each of their annotators keeps its own vote.

use std::sync::Arc;

use pipeline::error::{Error, Result};
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Further, Names, Unmatched, Votes};

/// Settings of the stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeVotes {
    /// What each source is called, in the order of the inputs.
    pub sources: Vec<String>,
}

impl Stage for MergeVotes {
    type Inputs = Vec<Votes>;
    type Output = Votes;
    const NAME: &'static str = "merge-votes";
    const VERSION: u32 = 1;

    fn run(&self, sources: Vec<Arc<Votes>>, _: &Context) -> Result<Votes> {
        let Some(first) = sources.first() else { return Err(Error::new("there are no votes to merge")) };
        let (images, classes) = (first.ids.len(), first.names.classes.len());
        for (name, votes) in self.sources.iter().zip(&sources) {
            if votes.ids != first.ids || votes.names.classes != first.names.classes {
                return Err(Error::new(format!("the votes of {name} are on other images or classes")));
            }
        }
        let named = || self.sources.iter().zip(&sources);
        let with_source = |source: &str, annotator: &str| format!("{source}: {annotator}");
        let annotators = named().flat_map(|(source, votes)| {
            votes.names.annotators.iter().map(move |annotator| with_source(source, annotator))
        });
        let unmatched = named().flat_map(|(source, votes)| {
            votes.unmatched.iter().map(move |answer| Unmatched {
                annotator: with_source(source, &answer.annotator),
                ..answer.clone()
            })
        });
        // Annotators are numbered through: those of a source come after those of the sources before it.
        let mut before = 0;
        let mut further = Vec::new();
        for votes in &sources {
            further
                .extend(votes.further.iter().map(|of| Further { annotator: before + of.annotator, ..*of }));
            before += votes.names.annotators.len();
        }
        further.sort_unstable();
        Ok(Votes {
            ids: first.ids.clone(),
            splits: first.splits.clone(),
            further,
            votes: (0..images)
                .flat_map(|row| sources.iter().flat_map(move |votes| votes.on(row)).copied())
                .collect(),
            mean_probs: (0..images).flat_map(|row| mean(&sources, row, classes)).collect(),
            unmatched: unmatched.collect(),
            names: Names { annotators: annotators.collect(), classes: first.names.classes.clone() },
        })
    }
}

/// The mean of the class probabilities over all annotators who voted, whichever source they are of; all equal where
/// nobody did.
fn mean(sources: &[Arc<Votes>], row: usize, classes: usize) -> Vec<f32> {
    let mut sum = vec![0.0f64; classes];
    let mut count = 0.0;
    for votes in sources {
        let voted = votes.on(row).iter().flatten().count() as f64;
        sum.iter_mut().zip(votes.probs(row)).for_each(|(sum, p)| *sum += voted * f64::from(*p));
        count += voted;
    }
    let mean = |sum: f64| if count > 0.0 { sum / count } else { 1.0 / classes as f64 };
    sum.into_iter().map(|sum| mean(sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::artifacts::images::Split;

    fn votes(annotators: &[&str], votes: &[Option<u16>], mean_probs: &[f32]) -> Arc<Votes> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Arc::new(Votes {
            ids: words(&["a", "b"]),
            splits: vec![Split::Train, Split::Test],
            votes: votes.to_vec(),
            mean_probs: mean_probs.to_vec(),
            further: Vec::new(),
            unmatched: Vec::new(),
            names: Names { annotators: words(annotators), classes: words(&["cat", "dog"]) },
        })
    }

    fn merge(sources: Vec<Arc<Votes>>) -> Result<Votes> {
        let names = ["clip", "people"].map(str::to_owned).to_vec();
        MergeVotes { sources: names }.run(sources, &Context::for_test("nowhere"))
    }

    #[test]
    fn every_annotator_keeps_its_vote_and_counts_alike_in_the_mean() {
        let clip = votes(&["x", "y"], &[Some(0), Some(0), Some(1), Some(0)], &[0.75, 0.25, 0.5, 0.5]);
        let people = votes(&["z"], &[Some(1), None], &[0.0, 1.0, 0.5, 0.5]);
        let merged = merge(vec![clip, people]).unwrap();
        assert_eq!(merged.names.annotators, ["clip: x", "clip: y", "people: z"]);
        assert_eq!(merged.votes, [Some(0), Some(0), Some(1), Some(1), Some(0), None]);
        assert_eq!(merged.probs(0), [0.5, 0.5]);
        assert_eq!(merged.probs(1), [0.5, 0.5]);
    }

    #[test]
    fn who_named_two_classes_still_counts_once_in_the_mean() {
        let clip = votes(&["x"], &[Some(0), Some(0)], &[1.0, 0.0, 1.0, 0.0]);
        let people = votes(&["z"], &[Some(0), None], &[0.5, 0.5, 0.5, 0.5]);
        let named = Further { row: 0, annotator: 0, class: 1 };
        let people = Arc::new(Votes { further: vec![named], ..(*people).clone() });
        let merged = merge(vec![clip, people]).unwrap();
        assert_eq!(merged.further, [Further { annotator: 1, ..named }]);
        assert_eq!(merged.named_on(0), [Some(0), Some(0), Some(1)]);
        assert_eq!(merged.named_on(1), [Some(0), None]);
        assert_eq!(merged.probs(0), [0.75, 0.25]);
    }

    #[test]
    fn votes_on_other_images_are_refused() {
        let one = votes(&["x"], &[Some(0), Some(1)], &[1.0, 0.0, 0.0, 1.0]);
        let other = Votes { ids: vec!["a".to_owned(), "c".to_owned()], ..(*one).clone() };
        let error = merge(vec![one, Arc::new(other)]).unwrap_err().to_string();
        assert!(error.contains("people"), "{error}");
    }
}
