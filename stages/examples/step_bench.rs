//! Images per second of training steps and inference, one JSON object a line.
//!
//! `cargo run --release -p stages --example step_bench -- [BATCH] [REPEATS] [THREADS] [WORK-SUBSTRING]`
//! Work names are those of PyTorch's counterpart; `…_w16_…` are networks of width 16 at batch 256.

use std::time::Instant;

use candle_core::{Device, Result, Tensor};
use candle_nn::loss::cross_entropy;
use stages::network::{Architecture, Network, Pass, Sgd};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Processor time of all threads so far, where Linux tells: what a step costs on a machine that others use too.
fn cpu_seconds() -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let of = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    tasks.flatten().filter_map(of).sum::<f64>() * 1e-9
}

fn timed(repeats: usize, mut run: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    run()?;
    run()?;
    let (mut seconds, mut cpu) = (vec![], vec![]);
    for _ in 0..repeats {
        let (start, before) = (Instant::now(), cpu_seconds());
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
        cpu.push(cpu_seconds() - before);
    }
    seconds.sort_by(f64::total_cmp);
    cpu.sort_by(f64::total_cmp);
    Ok((seconds[repeats / 2], cpu[repeats / 2]))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| args.get(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (batch, repeats, threads) = (number(0, 64), number(1, 5).max(1), number(2, 2));
    let only = args.get(3).cloned().unwrap_or_default();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let device = Device::Cpu;
    let mut rng = pipeline::random::stream(1, "bench");
    for (width, batch) in [(64, batch), (16, 256)] {
        for size in [32, 64] {
            let name = match width {
                64 => String::from("preact_resnet18"),
                _ => format!("preact_resnet18_w{width}"),
            };
            let architecture = Architecture { width, ..Architecture::resnet18(3, size, 10) };
            let network = Network::new(&architecture, &mut rng, &device)?;
            let sgd = Sgd::new(network.parameters(), 0.9, 5e-4)?;
            let values: Vec<f32> =
                (0..batch * size * size * 3).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
            let x = Tensor::from_vec(values, (batch, size, size, 3), &device)?;
            let y = Tensor::from_vec((0..batch).map(|i| (i % 10) as u32).collect(), batch, &device)?;
            let report = |work: String, (seconds, cpu): (f64, f64)| {
                let (images, ms, cpu) = (batch as f64 / seconds, seconds * 1e3, cpu * 1e3);
                println!(
                    "{{\"work\":\"{work}\",\"batch\":{batch},\"images_per_s\":{images:.1},\"ms\":{ms:.2},\"cpu_ms\":{cpu:.2}}}"
                );
            };
            let work = format!("{name}_train_{size}");
            if work.contains(&only) {
                let seconds = timed(repeats, || {
                    let output = network.forward(&x, Pass::Train)?;
                    network.project(&output.features, Pass::TrainNoGrad)?;
                    let loss = cross_entropy(&output.logits, &y)?;
                    sgd.step(&loss.backward()?, 0.01)
                })?;
                report(work, seconds);
            }
            let work = format!("{name}_infer_{size}");
            if work.contains(&only) {
                let seconds = timed(repeats, || {
                    let output = network.forward(&x, Pass::Eval)?;
                    network.project(&output.features, Pass::Eval).map(|_| ())
                })?;
                report(work, seconds);
            }
        }
    }
    Ok(())
}
