//! Every formula against PyTorch and scikit-learn: `golden/make.py` wrote the numbers.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Result, Tensor, Var};
use serde_json::Value;

use super::divide::{Settings, align, divide, division_loss};
use super::pseudo_label as pseudo;
use crate::learn::contrastive::{Labelled, Positives, Queue, contrastive_loss, rows_by_masks};
use crate::learn::contrastive_rows::ContrastRows;
use crate::learn::gaussian_mixture::{Fit, posterior_of_smaller};
use crate::learn::losses;
use crate::learn::mixup::mix;
use crate::learn::prototypes::Prototypes;
use crate::learn::schedule::cosine;

struct Golden(Value);

impl Golden {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("golden/golden.json")).unwrap())
    }

    fn size(&self, name: &str) -> usize {
        self.0["shapes"][name].as_u64().unwrap() as usize
    }

    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap()
    }

    fn list(&self, name: &str) -> Vec<f32> {
        self.0[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
    }

    fn integers(&self, name: &str) -> Vec<u32> {
        self.list(name).into_iter().map(|v| v as u32).collect()
    }

    fn matrix(&self, name: &str, columns: &str) -> Tensor {
        let (values, columns) = (self.list(name), self.size(columns));
        let rows = values.len() / columns;
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }
}

fn close(found: &[f32], expected: &[f32], within: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= within * e.abs().max(1.0), "value {i}: {f} where PyTorch has {e}");
    }
}

fn scalar(tensor: &Tensor) -> f64 {
    f64::from(tensor.to_scalar::<f32>().unwrap())
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn the_warm_up_loss_and_its_gradients_are_pytorchs() -> Result<()> {
    let golden = Golden::read();
    let logits = Var::from_tensor(&golden.matrix("logits", "C"))?;
    let partial = losses::partial_cross_entropy(&logits, &golden.matrix("candidates", "C"))?;
    assert!((scalar(&partial) - golden.number("partial")).abs() < 1e-6);
    close(&flat(partial.backward()?.get(&logits).unwrap()), &golden.list("grad_partial"), 1e-6);
    let entropy = losses::negative_entropy(&logits)?;
    assert!((scalar(&entropy) - golden.number("negative_entropy")).abs() < 1e-6);
    close(&flat(entropy.backward()?.get(&logits).unwrap()), &golden.list("grad_negative_entropy"), 1e-6);
    Ok(())
}

#[test]
fn samples_whose_candidates_are_all_classes_are_skipped() -> Result<()> {
    let golden = Golden::read();
    let logits = golden.matrix("logits", "C");
    let nothing = losses::partial_cross_entropy(&logits, &logits.ones_like()?)?;
    assert_eq!(scalar(&nothing), 0.0);
    Ok(())
}

#[test]
fn the_self_training_losses_are_pytorchs() -> Result<()> {
    let golden = Golden::read();
    let (logits, targets) = (golden.matrix("logits", "C"), golden.matrix("targets", "C"));
    assert!(
        (scalar(&losses::cross_entropy(&logits, &targets)?) - golden.number("cross_entropy")).abs() < 1e-6
    );
    let mse = losses::mean_squared_error(&logits, &targets)?;
    assert!((scalar(&mse) - golden.number("mean_squared_error")).abs() < 1e-7);
    let logits = losses::prototype_logits(&golden.matrix("z", "E"), &golden.matrix("prototypes", "E"), 0.3)?;
    assert!((scalar(&losses::kl_divergence(&logits, &targets)?) - golden.number("kl")).abs() < 1e-6);
    Ok(())
}

#[test]
fn division_loss_and_alignment_are_pytorchs() {
    let golden = Golden::read();
    let classes = golden.size("C");
    let mut probs = golden.list("probs");
    let candidates: Vec<u8> = golden.integers("candidates").into_iter().map(|y| y as u8).collect();
    let division: Vec<f32> =
        probs.chunks(classes).zip(candidates.chunks(classes)).map(|(p, y)| division_loss(p, y)).collect();
    close(&division, &golden.list("division"), 1e-6);
    align(&mut probs, classes);
    close(&probs, &golden.list("aligned"), 1e-6);
}

#[test]
fn the_mixture_divides_as_scikit_learns() {
    let golden = Golden::read();
    for mixture in golden.0["mixtures"].as_array().unwrap() {
        let mixture = Golden(mixture.clone());
        let (losses, expected) = (mixture.list("losses"), mixture.list("posterior"));
        let found = posterior_of_smaller(&losses, Fit::default());
        let differ = found.iter().zip(&expected).filter(|(f, e)| (**f > 0.5) != (**e > 0.5)).count();
        assert!(differ <= losses.len() / 1000, "{differ} of {} samples fall on the other side", losses.len());
        close(&found, &expected, 2e-3);
    }
}

#[test]
fn mixed_rows_are_pytorchs() -> Result<()> {
    let golden = Golden::read();
    let mixed = mix(&golden.matrix("z", "E"), &golden.integers("mix_order"), golden.number("mix_lambda"))?;
    close(&flat(&mixed), &golden.list("mixed"), 1e-6);
    Ok(())
}

#[test]
fn the_learning_rate_is_that_of_pytorchs_scheduler() {
    let golden = Golden::read();
    for (epoch, rate) in golden.0["rates"].as_object().unwrap() {
        let (found, expected) = (cosine(0.01, 1e-5, epoch.parse().unwrap(), 800), rate.as_f64().unwrap());
        assert!((found - expected).abs() < 1e-9, "epoch {epoch}: {found} where PyTorch has {expected}");
    }
}

#[test]
fn a_division_averages_the_last_epochs_only() {
    let settings = Settings { loss_history: 2, align: false, ..Settings::default() };
    let mut history = super::divide::LossHistory::default();
    for confident in [0, 1, 1] {
        let row = |i: usize| if i % 2 == confident { [0.9, 0.1] } else { [0.2, 0.8] };
        let probs = (0..10).flat_map(row).collect();
        divide(probs, (&[1, 0].repeat(10), &[true; 10]), 2, &mut history, &settings);
    }
    assert_eq!(history.0.len(), 2);
    let probs = (0..10).flat_map(|i| if i % 2 == 1 { [0.9, 0.1] } else { [0.2, 0.8] }).collect();
    let division = divide(probs, (&[1, 0].repeat(10), &[true; 10]), 2, &mut history, &settings);
    assert_eq!(division.partial, [1, 3, 5, 7, 9]);
    assert_eq!(division.unlabeled, [0, 2, 4, 6, 8]);
}

#[test]
fn what_nobody_annotated_is_unlabeled_and_changes_nothing_for_the_rest() {
    let settings = Settings { align: false, ..Settings::default() };
    let row = |i: usize| {
        if i.is_multiple_of(3) { [0.9, 0.1] } else { [0.2 + i as f32 / 100.0, 0.8 - i as f32 / 100.0] }
    };
    let probs: Vec<f32> = (0..10).flat_map(row).collect();
    let candidates = [1, 0].repeat(10);
    let mut history = super::divide::LossHistory::default();
    let alone = divide(probs.clone(), (&candidates, &[true; 10]), 2, &mut history, &settings);

    // Two more, of whom every class is a candidate: their losses would be the smallest.
    let mixed_in = |own: &[f32], other: [f32; 2]| [&other, &own[..8], &other, &own[8..]].concat();
    let candidates: Vec<u8> =
        mixed_in(&candidates.iter().map(|&y| f32::from(y)).collect::<Vec<_>>(), [1.0; 2])
            .iter()
            .map(|&y| y as u8)
            .collect();
    let annotated: Vec<bool> = (0..12).map(|i| i != 0 && i != 5).collect();
    let mut history = super::divide::LossHistory::default();
    let among = divide(mixed_in(&probs, [0.99, 0.01]), (&candidates, &annotated), 2, &mut history, &settings);
    let rest: Vec<f32> = (0..12).filter(|&i| annotated[i]).map(|i| among.w[i]).collect();
    assert_eq!(rest, alone.w);
    assert_eq!((among.w[0], among.w[5]), (0.0, 0.0));
    assert!(among.unlabeled.contains(&0) && among.unlabeled.contains(&5));
    assert_eq!(among.partial.len(), alone.partial.len());
}

#[test]
fn pseudo_labels_are_pytorchs() -> Result<()> {
    let golden = Golden::read();
    let rescaled = pseudo::rescale(&golden.matrix("other", "C"), &golden.matrix("candidates", "C"))?;
    close(&flat(&rescaled), &golden.list("rescaled"), 1e-6);
    let own = pseudo::mean_of_views(&golden.matrix("views", "C"), golden.size("K"))?;
    close(&flat(&own), &golden.list("mean_views"), 1e-6);
    let w = Tensor::from_vec(golden.list("w"), golden.size("B"), &Device::Cpu)?;
    let fused = pseudo::fuse(&w, &rescaled, &own)?;
    close(&flat(&fused), &golden.list("fused"), 1e-6);
    close(&flat(&pseudo::sharpen(&fused, 0.5)?), &golden.list("sharpened"), 1e-6);
    Ok(())
}

#[test]
fn a_prediction_without_mass_on_the_candidates_is_shared_evenly() -> Result<()> {
    let probs = Tensor::new(&[[1f32, 0., 0.]], &Device::Cpu)?;
    let candidates = Tensor::new(&[[0f32, 1., 1.]], &Device::Cpu)?;
    close(&flat(&pseudo::rescale(&probs, &candidates)?), &[0.0, 0.5, 0.5], 1e-6);
    Ok(())
}

#[test]
fn prototypes_move_as_if_sample_by_sample() -> Result<()> {
    let golden = Golden::read();
    let mut prototypes = Prototypes(golden.matrix("prototypes", "E"));
    let labels = golden.integers("labels");
    let labels = Tensor::from_slice(&labels, labels.len(), &Device::Cpu)?;
    prototypes.update(&golden.matrix("z", "E"), &labels, 0.9)?;
    close(&flat(&prototypes.0), &golden.list("updated_prototypes"), 1e-6);
    Ok(())
}

#[test]
fn prototypes_without_momentum_are_the_last_sample_of_each_class() -> Result<()> {
    let mut prototypes = Prototypes(Tensor::new(&[[1f32, 0.], [0., 1.]], &Device::Cpu)?);
    let z = Tensor::new(&[[0.6f32, 0.8], [0.8, 0.6], [-1., 0.]], &Device::Cpu)?;
    prototypes.update(&z, &Tensor::new(&[0u32, 0, 0], &Device::Cpu)?, 0.0)?;
    close(&flat(&prototypes.0), &[-1.0, 0.0, 0.0, 1.0], 1e-6);
    Ok(())
}

#[test]
fn a_class_nobody_saw_keeps_its_prototype_at_zero() -> Result<()> {
    let mut prototypes = Prototypes::new(2, 2, &Device::Cpu)?;
    let z = Tensor::new(&[[0.6f32, 0.8]], &Device::Cpu)?;
    prototypes.update(&z, &Tensor::new(&[1u32], &Device::Cpu)?, 0.999)?;
    close(&flat(&prototypes.0), &[0.0, 0.0, 0.6, 0.8], 1e-5);
    Ok(())
}

#[test]
fn the_contrastive_loss_and_its_gradient_are_pytorchs() -> Result<()> {
    let golden = Golden::read();
    let labelled = |embeddings: Tensor, labels: &str, partial: &str| -> Result<Labelled> {
        let (labels, partial) = (golden.integers(labels), golden.integers(partial));
        let partial: Vec<u8> = partial.into_iter().map(|p| p as u8).collect();
        let count = labels.len();
        Ok(Labelled {
            embeddings,
            labels: Tensor::from_vec(labels, count, &Device::Cpu)?,
            partial: Tensor::from_vec(partial, count, &Device::Cpu)?,
        })
    };
    let embeddings = Var::from_tensor(&golden.matrix("queries", "E"))?;
    let queries = labelled(embeddings.as_tensor().clone(), "labels", "own_partial")?;
    let keys = labelled(golden.matrix("keys", "E"), "labels", "own_partial")?;
    let queue = labelled(golden.matrix("queue", "E"), "queue_labels", "queue_partial")?;
    let noisy = contrastive_loss(&queries, &keys, Some(&queue), 0.07, Positives::Noisy)?;
    assert!(
        (scalar(&noisy) - golden.number("noisy")).abs() < 1e-4,
        "{} {}",
        scalar(&noisy),
        golden.number("noisy")
    );
    close(&flat(noisy.backward()?.get(&embeddings).unwrap()), &golden.list("grad_noisy"), 1e-4);
    let supervised = contrastive_loss(&queries, &keys, Some(&queue), 0.07, Positives::Supervised)?;
    assert!((scalar(&supervised) - golden.number("supervised")).abs() < 1e-4);
    Ok(())
}

#[test]
fn one_pass_over_the_similarities_gives_what_masks_give() -> Result<()> {
    let (n, columns) = (5, 17);
    let mut rng = pipeline::random::stream(3, "contrast");
    let mut next = || rand::Rng::next_u32(&mut rng);
    let labels: Vec<u32> = (0..columns).map(|_| next() % 3).collect();
    let partial: Vec<u8> = (0..columns).map(|_| (next() % 2) as u8).collect();
    let values: Vec<f32> = (0..n * columns).map(|_| next() as f32 / 2f32.powi(28) - 8.0).collect();
    let similarity = Var::from_vec(values, (n, columns), &Device::Cpu)?;
    let all = Labelled {
        embeddings: Tensor::zeros((columns, 1), candle_core::DType::F32, &Device::Cpu)?,
        labels: Tensor::from_slice(&labels, columns, &Device::Cpu)?,
        partial: Tensor::from_slice(&partial, columns, &Device::Cpu)?,
    };
    let queries = Labelled {
        embeddings: all.embeddings.narrow(0, 0, n)?,
        labels: all.labels.narrow(0, 0, n)?,
        partial: all.partial.narrow(0, 0, n)?,
    };
    let weights = Tensor::new(&[1f32, -2., 0.5, 3., 0.], &Device::Cpu)?;
    for positives in [Positives::Noisy, Positives::Supervised] {
        let masks = rows_by_masks(similarity.as_tensor(), &queries, &all, positives)?;
        let rows = ContrastRows::new(labels.clone(), partial.clone(), positives);
        let rows = similarity.apply_op1(rows)?;
        close(&flat(&rows), &flat(&masks), 1e-5);
        let gradient = |loss: &Tensor| -> Result<Vec<f32>> {
            Ok(flat((loss * &weights)?.sum_all()?.backward()?.get(&similarity).unwrap()))
        };
        close(&gradient(&rows)?, &gradient(&masks)?, 1e-5);
    }
    Ok(())
}

#[test]
fn the_queue_overwrites_its_oldest_keys() -> Result<()> {
    let mut queue = Queue::new(3, 1, &Device::Cpu)?;
    assert!(queue.keys()?.is_none());
    let keys = |values: &[f32], partial: &[u8]| -> Result<Labelled> {
        let n = values.len();
        Ok(Labelled {
            embeddings: Tensor::from_slice(values, (n, 1), &Device::Cpu)?,
            labels: Tensor::from_vec(values.iter().map(|v| *v as u32).collect(), n, &Device::Cpu)?,
            partial: Tensor::from_slice(partial, n, &Device::Cpu)?,
        })
    };
    let held = |queue: &Queue| -> Result<(Vec<f32>, Vec<u32>, Vec<u8>)> {
        let keys = queue.keys()?.unwrap();
        Ok((flat(&keys.embeddings), keys.labels.to_vec1()?, keys.partial.to_vec1()?))
    };
    queue.push(&keys(&[1.0, 2.0], &[1, 1])?)?;
    assert_eq!(held(&queue)?, (vec![1.0, 2.0], vec![1, 2], vec![1, 1]));
    queue.push(&keys(&[3.0, 4.0], &[0, 0])?)?;
    assert_eq!(held(&queue)?, (vec![4.0, 2.0, 3.0], vec![4, 2, 3], vec![0, 1, 0]));
    queue.push(&keys(&[5.0, 6.0, 7.0, 8.0, 9.0], &[1, 1, 1, 1, 1])?)?;
    assert_eq!(held(&queue)?, (vec![7.0, 8.0, 9.0], vec![7, 8, 9], vec![1, 1, 1]));
    Ok(())
}
