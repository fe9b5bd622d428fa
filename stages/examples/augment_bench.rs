//! How fast views are made, in images a second, as one JSON object a line.
//!
//! `cargo run --release -p stages --example augment_bench`: random 64 × 64 RGB images, decoded already; from
//! their bytes to normalised f32, in batches of 250; the median of eleven passes over 1,000 images.
//! One thread first, for comparison with one process of another library, then all of them.

use std::time::{Duration, Instant};

use pipeline::error::{OrFail, Result};
use pipeline::random::stream;
use rand::Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};
use stages::vision::{Draw, Pixels, View, Views};

const IMAGES: usize = 1000;
const BATCH: usize = 250;
const SIZE: usize = 64;
const PASSES: u64 = 11;

fn main() -> Result<()> {
    let mut data = vec![0; IMAGES * SIZE * SIZE * 3];
    stream(0, "benchmark").fill_bytes(&mut data);
    let pixels = Pixels::new(SIZE, 3, data)?;
    let views = Views::new(3, &[0.5], &[0.5], true, true)?;
    for (threads, suffix) in [(1, "one_process"), (0, "all_threads")] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.or_fail(|| pipeline::error::Error::new("cannot start threads"))?;
        for (view, name) in [(View::Strong, "strong"), (View::Weak, "weak"), (View::Plain, "plain")] {
            let time = median_pass(&pool, &pixels, &views, view)?;
            let line = serde_json::json!({
                "work": format!("{name}_augment_{SIZE}_{suffix}"),
                "images_per_s": (IMAGES as f64 / time.as_secs_f64()).round(),
                "threads": pool.current_num_threads(),
            });
            println!("{line}");
        }
    }
    Ok(())
}

fn median_pass(pool: &ThreadPool, pixels: &Pixels, views: &Views, view: View) -> Result<Duration> {
    let indices: Vec<usize> = (0..IMAGES).collect();
    let mut room = vec![0.0; BATCH * SIZE * SIZE * 3];
    let mut times = Vec::new();
    for pass in 0..PASSES {
        let start = Instant::now();
        for (step, indices) in indices.chunks(BATCH).enumerate() {
            let draw = Draw::new(0, "benchmark", pass, step as u64);
            pool.install(|| views.fill(pixels, indices, view, &draw, &mut room))?;
        }
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}
