//! What a method of several networks takes its training images for once it is done.

use pipeline::error::Result;
use pipeline::stage::Context;

use super::learner::predict;
use super::method::Method;
use super::metrics::argmax_rows;
use super::train::Training;
use crate::artifacts::training::{SampleDivision, SampleLabels};
use crate::vision::View;

/// The class of the highest mean probability over all networks, of the images as they are; what a human said where one
/// did.
///
/// # Errors
/// The user asked to stop, or the device fails.
pub fn settled_labels<M: Method>(
    training: &Training<'_, M>,
    division: Option<SampleDivision>,
    context: &Context,
) -> Result<SampleLabels> {
    let (set, classes) = (training.set, training.set.classes);
    let draws = training.draws(0, "finish: plain views draw nothing");
    let mut mean = vec![0f32; set.len() * classes];
    let share = 1.0 / training.learners.len() as f32;
    for learner in &training.learners {
        let probs = predict(&learner.network, &set.train, &training.views, View::Plain, &draws, context)?;
        mean.iter_mut().zip(probs).for_each(|(mean, p)| *mean += share * p);
    }
    for i in (0..set.len()).filter(|&i| set.human[i]) {
        if let Some(class) = set.single[i] {
            let row = &mut mean[i * classes..(i + 1) * classes];
            row.fill(0.0);
            row[usize::from(class)] = 1.0;
        }
    }
    let labels = argmax_rows(&mean, classes);
    let confidence = labels.iter().enumerate().map(|(i, &label)| mean[i * classes + label as usize]);
    Ok(SampleLabels {
        ids: set.ids.clone(),
        confidence: confidence.collect(),
        labels: labels.into_iter().map(|label| label as u16).collect(),
        division,
    })
}

/// The mean of both networks' divisions, each given by its w (N): a sample is of 𝒫 where that exceeds `threshold`.
pub fn mean_division([w1, w2]: [&[f32]; 2], threshold: f64) -> SampleDivision {
    let w: Vec<f32> = w1.iter().zip(w2).map(|(a, b)| (a + b) / 2.0).collect();
    SampleDivision { partial: w.iter().map(|&w| f64::from(w) > threshold).collect(), w }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_division_is_the_mean_of_both() {
        let division = mean_division([&[1.0, 0.25, 0.5], &[0.5, 0.25, 0.5]], 0.5);
        assert_eq!(division.w, [0.75, 0.25, 0.5]);
        assert_eq!(division.partial, [true, false, false], "more than the threshold, not as much");
    }
}
