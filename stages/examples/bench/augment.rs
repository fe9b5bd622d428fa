//! Strong views: random 64-pixel colour images, decoded already, from their bytes to normalised f32 in batches
//! of 250. On one thread first, for comparison with one process of another library, then on all.

use pipeline::error::{Error, OrFail, Result};
use pipeline::random::stream;
use rand::Rng;
use rayon::ThreadPoolBuilder;
use stages::runtime::device::Place;
use stages::vision::{Draw, Pixels, StrongViews, View, Views};

use crate::Setting;
use crate::measure::{report, timed};

const IMAGES: usize = 1000;
const BATCH: usize = 250;
const SIZE: usize = 64;

/// Prints both lines. Views are made on the CPU, whatever the device.
pub fn run(setting: &Setting) -> Result<()> {
    let mut data = vec![0; IMAGES * SIZE * SIZE * 3];
    stream(0, "bench").fill_bytes(&mut data);
    let pixels = Pixels::new(SIZE, 3, data)?;
    let views = Views::new(3, &[0.5], &[0.5], true, StrongViews::Operations)?;
    let indices: Vec<usize> = (0..IMAGES).collect();
    let mut room = vec![0.0; BATCH * SIZE * SIZE * 3];
    for (threads, suffix) in [(1, "one_process"), (setting.threads, "all_threads")] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.or_fail(|| Error::new(format!("cannot start {threads} threads")))?;
        let cpu = Setting {
            threads,
            place: Place::Cpu,
            device: candle_core::Device::Cpu,
            amp: false,
            // A pass takes a hundredth of a second.
            repeats: 5 * setting.repeats,
            ..*setting
        };
        let mut passes = 0;
        let times = timed(&cpu, 2, || {
            passes += 1;
            for (step, indices) in indices.chunks(BATCH).enumerate() {
                let draw = Draw::new(0, "bench", passes, step as u64);
                pool.install(|| views.fill(&pixels, indices, View::Strong, &draw, &mut room))?;
            }
            Ok(())
        })?;
        report(&cpu, &format!("strong_augment_{SIZE}_{suffix}"), IMAGES, 0.0, &times, &[]);
    }
    Ok(())
}
