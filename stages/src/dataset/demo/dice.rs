//! Random numbers for drawing, the same on every machine: named streams, and nothing but exact arithmetic.
//!
//! Sums, products and square roots are exact to the last bit everywhere; sines and logarithms are not, so
//! directions and bell curves are made without them.

use pipeline::random::{self, ChaCha8Rng};
use rand::Rng;

/// A point or a vector of the plane, in pixels.
pub(super) type Point = [f32; 2];

/// One random stream.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream called `name` under `seed`.
    pub fn new(seed: u64, name: &str) -> Self {
        Self(random::stream(seed, name))
    }

    /// Any number of 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Evenly from [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 24) as f32
    }

    /// Evenly from [`low`, `high`).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A whole number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.bits()) * count as u64) >> 32) as usize
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Mean 0, standard deviation 1, within ±3.5: four even numbers added up.
    pub fn bell(&mut self) -> f32 {
        (0..4).map(|_| self.unit() - 0.5).sum::<f32>() * 1.732_050_8
    }

    /// A vector of length 1 in any direction.
    pub fn direction(&mut self) -> Point {
        loop {
            let [x, y] = [self.between(-1.0, 1.0), self.between(-1.0, 1.0)];
            let square = x * x + y * y;
            if (0.01..=1.0).contains(&square) {
                let length = square.sqrt();
                return [x / length, y / length];
            }
        }
    }
}
