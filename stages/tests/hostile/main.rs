//! Files from outside, corrupted in every way: an error or a value, never a panic, a hang or gigabytes.
//!
//! Each test corrupts good files at random, the same way each time. The suite tries some hundred of each kind;
//! `COREG_HOSTILE=20000 cargo nextest run --release -p stages --test hostile --no-capture` as many as it says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod checkpoints;
mod clip;
mod tables;
mod texts;

use std::fs;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use stages::artifacts::annotation::Names;

/// No input may have made the process larger than this.
const MOST_MEMORY: u64 = 2 << 30;

fn tries() -> usize {
    std::env::var("COREG_HOSTILE").map_or(400, |n| n.parse().unwrap())
}

/// Counts what was tried, and what came of it.
struct Trial {
    name: &'static str,
    random: ChaCha8Rng,
    begun: Instant,
    accepted: usize,
    refused: usize,
    slowest: Duration,
}

impl Trial {
    fn new(name: &'static str) -> Self {
        let random = pipeline::random::stream(1, name);
        let (begun, slowest) = (Instant::now(), Duration::ZERO);
        Self { name, random, begun, accepted: 0, refused: 0, slowest }
    }

    /// Tries one input; a panic in `work` fails the test.
    fn of<T>(&mut self, work: impl FnOnce() -> Option<T>) {
        let begun = Instant::now();
        match work() {
            Some(_) => self.accepted += 1,
            None => self.refused += 1,
        }
        self.slowest = self.slowest.max(begun.elapsed());
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let Self { name, accepted, refused, slowest, .. } = self;
        let memory = peak_memory();
        println!(
            "{name}: {} tried, {accepted} read, {refused} refused, {:.1} s, slowest {slowest:?}, peak memory {} MB",
            *accepted + *refused,
            self.begun.elapsed().as_secs_f64(),
            memory >> 20
        );
        if !std::thread::panicking() {
            assert!(memory < MOST_MEMORY, "{memory} bytes");
            assert!(*refused > 0, "nothing was corrupted enough to be refused");
        }
    }
}

/// The most memory that this process has had, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Corrupts bytes: flips, cuts, doubles, removes, inserts, or writes large numbers.
fn corrupt(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..4) {
        let len = bytes.len().max(1);
        let at = random.random_range(0..len);
        let end = (at + random.random_range(1..64)).min(bytes.len());
        let at = at.min(end);
        match random.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes[at..end].fill(0xff),
            4 => {
                let large = [u64::MAX, 1 << 40, 1 << 31, 0][random.random_range(0..4)].to_le_bytes();
                bytes[at..end].iter_mut().zip(large).for_each(|(byte, new)| *byte = new);
            }
            5 => bytes.insert(at, random.random()),
            _ => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
        }
    }
    bytes
}

fn ids() -> Vec<String> {
    (0..40).map(|n| format!("train/{n:06}")).collect()
}

fn names() -> Names {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Names { annotators: words(&["{}", "a {}"]), classes: words(&["cat", "dog", "crab"]) }
}
