//! One step and one epoch of Co-Reg at EuroSAT's shape: 64 pixels, 10 classes, networks of width 16, all terms
//! on, the queue full. The images are made from a seed.

use std::f32::consts::TAU;

use pipeline::error::{Error, OrFail, Result};
use pipeline::random::{ChaCha8Rng, stream};
use pipeline::stage::Context;
use rand::RngExt;
use serde_json::json;
use stages::artifacts::training::{Pair, State, WarmedUp};
use stages::learn::learner::Optimizer;
use stages::learn::training_set::{Input, TrainingSet};
use stages::methods::co_reg::rehearsal::Rehearsal;
use stages::methods::co_reg::{CoReg, Method};
use stages::network::{Architecture, Network};
use stages::vision::Pixels;

use crate::Setting;
use crate::count::Count;
use crate::measure::{report, timed};
use crate::step::{failed, precision};

const SIZE: usize = 64;
const CLASSES: usize = 10;
const TRAIN: usize = 2000;
const TEST: usize = 500;

/// Prints both lines. `co_reg_step` is a step of 256 + 256 samples with its views; `co_reg_epoch` divides 2,000
/// images, trains both networks for a pass over 𝒫, and measures on 500 more; its `partial` says how many
/// samples of 𝒫 both networks saw.
pub fn run(setting: &Setting) -> Result<()> {
    let architecture = Architecture { width: 16, ..Architecture::resnet18(3, SIZE, CLASSES) };
    let stage = CoReg {
        method: Method { regularise_after: 0, ..Method::default() },
        warm_up_epochs: 0,
        seed: 0,
        optimizer: Optimizer { precision: precision(setting), ..Optimizer::default() },
        input: Input { size: SIZE, channels: 3, mean: vec![0.5], std: vec![0.5], flip: true, strong: true },
        place: setting.place,
    };
    let set = training_set()?;
    let warm = untrained(&architecture, setting)?;
    let folder = tempfile::tempdir().or_fail(|| Error::new("cannot make a temporary folder"))?;
    let context = Context::for_test(folder.path());
    let rehearsal = || Rehearsal::new(&stage, &set, &warm, &context);

    let mut steps = rehearsal()?;
    let times = timed(setting, 2, || steps.step().map(drop))?;
    let (p, u) = (stage.method.batch_partial, stage.method.batch_unlabeled);
    let work = multiply_adds(&Count::of(&architecture), &stage.method);
    report(setting, "co_reg_step", p + u, work, &times, &[]);

    let mut epochs = rehearsal()?;
    let mut partial = vec![];
    let times = timed(setting, 1, || {
        partial.push(epochs.epoch(&context)?);
        Ok(())
    })?;
    report(setting, "co_reg_epoch", TRAIN, 0.0, &times, &[("partial", json!(partial[1..]))]);
    Ok(())
}

/// Of one step: the passes that `co_reg/step.rs` makes, and the similarities of the contrastive loss.
fn multiply_adds(count: &Count, method: &Method) -> f64 {
    let (p, u, views) =
        (method.batch_partial as f64, method.batch_unlabeled as f64, method.weak_views as f64);
    let labels = views * (p + 2.0 * u) * count.forward(false) + p * count.project();
    let mixed = 2.0 * (p + u) * count.train(true);
    let contrast = (p + u) * (count.train(true) + count.forward(true));
    let similarities = (p + u) * (2.0 * (p + u) + method.queue as f64) * 128.0;
    labels + mixed + contrast + 3.0 * similarities
}

/// Two networks as they are before any training.
fn untrained(architecture: &Architecture, setting: &Setting) -> Result<WarmedUp> {
    let state = |name| -> candle_core::Result<State> {
        let network = Network::new(architecture, &mut stream(0, name), &setting.device)?;
        Ok(network.state()?.into_iter().collect())
    };
    let states = [state("network1").map_err(failed)?, state("network2").map_err(failed)?];
    Ok(WarmedUp { pair: Pair { architecture: architecture.clone(), states }, history: vec![] })
}

/// Images of ten kinds of waves with noise; two or three candidates each, which hold the true class in seven
/// of ten.
fn training_set() -> Result<TrainingSet> {
    let mut random = stream(0, "bench/set");
    let mut split = |count: usize| -> Result<(Pixels, Vec<Option<u32>>)> {
        let mut data = Vec::with_capacity(count * SIZE * SIZE * 3);
        for i in 0..count {
            draw_image(i % CLASSES, &mut random, &mut data);
        }
        Ok((Pixels::new(SIZE, 3, data)?, (0..count).map(|i| Some((i % CLASSES) as u32)).collect()))
    };
    let ((train, truth), (test, test_truth)) = (split(TRAIN)?, split(TEST)?);
    let mut candidates = vec![0; TRAIN * CLASSES];
    for (i, row) in candidates.chunks_exact_mut(CLASSES).enumerate() {
        let wanted = random.random_range(2..=3);
        if random.random_bool(0.7) {
            row[i % CLASSES] = 1;
        }
        while row.iter().filter(|&&y| y == 1).count() < wanted {
            row[random.random_range(0..CLASSES)] = 1;
        }
    }
    let ids = (0..TRAIN).map(|i| format!("train-{i}")).collect();
    let annotated = vec![true; TRAIN];
    Ok(TrainingSet { ids, train, test, candidates, annotated, classes: CLASSES, truth, test_truth })
}

/// A wave whose direction and colour are the class's, at a random place, under noise.
fn draw_image(class: usize, random: &mut ChaCha8Rng, data: &mut Vec<u8>) {
    let angle = TAU * class as f32 / CLASSES as f32;
    let (phase, length) = (random.random_range(0.0..TAU), random.random_range(6.0..12.0));
    for at in 0..SIZE * SIZE {
        let (x, y) = ((at % SIZE) as f32, (at / SIZE) as f32);
        let wave = ((x * angle.cos() + y * angle.sin()) / length * TAU + phase).sin();
        for channel in 0..3 {
            let colour = (angle + TAU * channel as f32 / 3.0).cos();
            let noise = random.random_range(-40.0..40.0);
            data.push((128.0 + 50.0 * wave + 30.0 * colour + noise) as u8);
        }
    }
}
