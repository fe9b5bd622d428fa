//! Random choices from a named stream.

use pipeline::random::{self, ChaCha8Rng};
use rand::Rng;

/// One random stream.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream called `name`.
    pub fn new(seed: u64, name: &str) -> Self {
        Self(random::stream(seed, name))
    }

    /// Evenly from [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.0.next_u32()) * count as u64) >> 32) as usize
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A position, in proportion to its weight.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.below(weights.iter().sum::<u32>() as usize) as u32;
        for (at, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight) {
                None => return at,
                Some(rest) => left = rest,
            }
        }
        0
    }

    /// Mean 0, standard deviation 1, near enough to a bell curve for weights.
    pub fn bell(&mut self) -> f32 {
        (0..4).map(|_| self.unit() - 0.5).sum::<f32>() * 3f32.sqrt()
    }

    /// The numbers below `count` in random order.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}
