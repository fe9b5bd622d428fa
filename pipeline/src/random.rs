//! Named, seeded random streams: the only source of randomness.

pub use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The stream called `name` under `seed`: independent of every other name, the same on every machine.
///
/// ```
/// use rand::Rng;
/// let draw = |seed, name| pipeline::random::stream(seed, name).next_u64();
/// assert_eq!(draw(1, "shuffle"), draw(1, "shuffle"));
/// assert_ne!(draw(1, "shuffle"), draw(1, "weights"));
/// assert_ne!(draw(1, "shuffle"), draw(2, "shuffle"));
/// ```
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("coreg random stream 1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
