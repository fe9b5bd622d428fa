//! Every formula that methods share, against PyTorch and scikit-learn: `golden/make_formulas.py` wrote the numbers.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Result, Tensor, Var};
use serde_json::Value;

use super::contrastive::{Positives, contrastive_loss, rows_by_masks};
use super::contrastive_rows::ContrastRows;
use super::gaussian_mixture::{Fit, posterior_of_smaller};
use super::key_queue::{KeyQueue, Labelled};
use super::losses;
use super::mixup::mix;
use super::prototypes::Prototypes;
use super::schedule::cosine;

/// The numbers of `golden/formulas.json` by name.
pub(crate) struct Golden(pub(crate) Value);

impl Golden {
    pub(crate) fn read() -> Self {
        Self(serde_json::from_str(include_str!("golden/formulas.json")).unwrap())
    }

    pub(crate) fn size(&self, name: &str) -> usize {
        self.0["shapes"][name].as_u64().unwrap() as usize
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap()
    }

    pub(crate) fn list(&self, name: &str) -> Vec<f32> {
        self.0[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
    }

    pub(crate) fn integers(&self, name: &str) -> Vec<u32> {
        self.list(name).into_iter().map(|v| v as u32).collect()
    }

    pub(crate) fn matrix(&self, name: &str, columns: &str) -> Tensor {
        let (values, columns) = (self.list(name), self.size(columns));
        let rows = values.len() / columns;
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }
}

pub(crate) fn close(found: &[f32], expected: &[f32], within: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= within * e.abs().max(1.0), "value {i}: {f} where PyTorch has {e}");
    }
}

pub(crate) fn scalar(tensor: &Tensor) -> f64 {
    f64::from(tensor.to_scalar::<f32>().unwrap())
}

pub(crate) fn flat(tensor: &Tensor) -> Vec<f32> {
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
    let mut queue = KeyQueue::new(3, 1, &Device::Cpu)?;
    assert!(queue.keys()?.is_none());
    let keys = |values: &[f32], partial: &[u8]| -> Result<Labelled> {
        let n = values.len();
        Ok(Labelled {
            embeddings: Tensor::from_slice(values, (n, 1), &Device::Cpu)?,
            labels: Tensor::from_vec(values.iter().map(|v| *v as u32).collect(), n, &Device::Cpu)?,
            partial: Tensor::from_slice(partial, n, &Device::Cpu)?,
        })
    };
    let held = |queue: &KeyQueue| -> Result<(Vec<f32>, Vec<u32>, Vec<u8>)> {
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
