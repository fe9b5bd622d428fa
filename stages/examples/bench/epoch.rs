//! One step and one epoch of Co-Reg at EuroSAT's shape: 64 pixels, 10 classes, networks of width 16, all terms
//! on, the queue full. The images are made from a seed.

use std::f32::consts::TAU;

use pipeline::error::{Error, OrFail, Result};
use pipeline::random::{ChaCha8Rng, stream};
use pipeline::stage::Context;
use rand::RngExt;
use serde_json::json;
use stages::artifacts::history::History;
use stages::artifacts::student::{Provenance, Student, Weights};
use stages::artifacts::training::Trained;
use stages::learn::optimizer::Optimizer;
use stages::learn::train::Train;
use stages::learn::training_set::{Input, TrainingSet};
use stages::methods::co_reg::CoReg;
use stages::methods::co_reg::benchmark::Benchmark;
use stages::network::{Architecture, Network};
use stages::vision::{Pixels, StrongViews};

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
    let (mean, std) = (vec![0.5], vec![0.5]);
    let input = Input { size: SIZE, channels: 3, mean, std, flip: true, strong: StrongViews::Operations };
    let stage = Train {
        method: CoReg { regularise_after: 0, ..CoReg::default() },
        seed: 0,
        optimizer: Optimizer { precision: precision(setting), ..Optimizer::default() },
        input,
        architecture: architecture.clone(),
    };
    let set = training_set()?;
    let start = untrained(&stage, setting)?;
    let folder = tempfile::tempdir().or_fail(|| Error::new("cannot make a temporary folder"))?;
    let context = Context::for_test(folder.path());
    let benchmark = || Benchmark::new(&stage, &set, &start, &setting.device);

    let mut steps = benchmark()?;
    let times = timed(setting, 2, || steps.step().map(drop))?;
    let (p, u) = (stage.method.batch_partial, stage.method.batch_unlabeled);
    let work = multiply_adds(&Count::of(&architecture), &stage.method);
    report(setting, "co_reg_step", p + u, work, &times, &[]);

    let mut epochs = benchmark()?;
    let mut partial = vec![];
    let times = timed(setting, 1, || {
        partial.push(epochs.epoch(&context)?);
        Ok(())
    })?;
    report(setting, "co_reg_epoch", TRAIN, 0.0, &times, &[("partial", json!(partial[1..]))]);
    Ok(())
}

/// Of one step: the passes that `co_reg/step.rs` makes, and the similarities of the contrastive loss.
fn multiply_adds(count: &Count, method: &CoReg) -> f64 {
    let (p, u, views) =
        (method.batch_partial as f64, method.batch_unlabeled as f64, method.weak_views as f64);
    let labels = views * (p + 2.0 * u) * count.forward(false) + p * count.project();
    let mixed = 2.0 * (p + u) * count.train(true);
    let contrast = (p + u) * (count.train(true) + count.forward(true));
    let similarities = (p + u) * (2.0 * (p + u) + method.queue as f64) * 128.0;
    labels + mixed + contrast + 3.0 * similarities
}

/// Two networks as they are before any training.
fn untrained(stage: &Train<CoReg>, setting: &Setting) -> Result<Trained> {
    let weights = |name: &str| -> candle_core::Result<(String, Weights)> {
        let network = Network::new(&stage.architecture, &mut stream(0, name), &setting.device)?;
        Ok((name.to_owned(), network.state()?.into_iter().collect()))
    };
    let student = Student {
        method: "none".to_owned(),
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        input: stage.input.format(),
        architecture: stage.architecture.clone(),
        networks: vec![weights("network1").map_err(failed)?, weights("network2").map_err(failed)?],
        provenance: Provenance::default(),
    };
    Ok(Trained { student, history: History::default(), sample_labels: None })
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
    let soft_labels = None;
    let believed = |row: &[u8]| {
        let count = row.iter().filter(|&&y| y == 1).count() as f32;
        row.iter().map(|&y| f32::from(y) / count).collect::<Vec<f32>>()
    };
    Ok(TrainingSet {
        weights: candidates.chunks_exact(CLASSES).flat_map(believed).collect(),
        // Nobody annotated the test images.
        test_weights: vec![1.0 / CLASSES as f32; test.count() * CLASSES],
        test_annotated: vec![false; test.count()],
        ids,
        train,
        test,
        candidates,
        annotated,
        // No method that is measured here asks for a single label.
        single: vec![None; TRAIN],
        human: vec![false; TRAIN],
        soft_labels,
        classes: CLASSES,
        truth,
        test_truth,
    })
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
