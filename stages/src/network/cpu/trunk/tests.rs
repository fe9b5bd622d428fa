//! The trunk on other numbers of threads and other instruction sets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{Statistics, Trunk};
use crate::network::cpu::simd::Level;
use crate::network::tests::{assert_close, batch, flat, formula, network};
use crate::network::{Architecture, TRUNK};

/// A training pass and an evaluation: features, gradient, batch means and variances, features in evaluation.
pub fn pass(trunk: &Trunk, a: &Architecture, count: usize) -> Vec<Vec<f32>> {
    let theta = flat(network(a).parameter(TRUNK).unwrap());
    let x = flat(&batch(a, count, 9).0);
    let forward = trunk.forward(&theta, &x, count, Statistics::Batch, true);
    let upstream = formula(forward.features.len(), 3);
    let grad = trunk.backward(&theta, &x, count, forward.saved.as_ref().unwrap(), &upstream);
    let (mean, variance) = forward.batch.unwrap();
    let eval = trunk.forward(&theta, &x, count, Statistics::Running(&mean, &variance), false);
    vec![forward.features, grad, mean, variance, eval.features]
}

/// The same on its own pool of threads.
fn pass_on(a: &Architecture, count: usize, threads: usize, level: Level) -> Vec<Vec<f32>> {
    let trunk = Trunk::new(network(a).trunk.layout, level);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| pass(&trunk, a, count))
}

#[test]
fn the_number_of_threads_does_not_change_a_byte() {
    for (width, size, count) in [(16, 16, 21), (64, 8, 6)] {
        let a = Architecture { width, blocks: [1; 4], ..Architecture::resnet18(3, size, 4) };
        let bits = |threads| -> Vec<Vec<u32>> {
            let all = pass_on(&a, count, threads, Level::best());
            all.into_iter().map(|v| v.into_iter().map(f32::to_bits).collect()).collect()
        };
        let one = bits(1);
        assert!(one == bits(2), "two threads");
        assert!(one == bits(5), "five threads");
    }
}

#[test]
fn every_instruction_set_gives_the_same_result() {
    for (width, size, count) in [(16, 16, 5), (24, 14, 3), (64, 8, 3)] {
        let a = Architecture { width, blocks: [1; 4], ..Architecture::resnet18(3, size, 4) };
        let wanted = pass_on(&a, count, 2, Level::Portable);
        for level in Level::all() {
            for (found, wanted) in pass_on(&a, count, 2, level).iter().zip(&wanted) {
                assert_close(&format!("{level:?}"), found, wanted, 2e-3);
            }
        }
    }
}
