//! The clock, and the lines that are printed. It knows nothing of what is measured.

use std::time::Instant;

use pipeline::error::Result;
use serde_json::{Map, Value, json};

use crate::Setting;

/// Medians of some passes.
pub struct Times {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Processor seconds of all threads, where the system tells.
    pub cpu: Option<f64>,
}

/// Medians of `setting.repeats` passes, after `before` that are not timed. The device is done when a pass is.
pub fn timed(setting: &Setting, before: usize, mut pass: impl FnMut() -> Result<()>) -> Result<Times> {
    let mut whole = || -> Result<()> {
        pass()?;
        setting.device.synchronize().map_err(crate::step::failed)
    };
    for _ in 0..before {
        whole()?;
    }
    let (mut seconds, mut cpu) = (vec![], vec![]);
    for _ in 0..setting.repeats {
        let (start, cpu_before) = (Instant::now(), cpu_seconds());
        whole()?;
        seconds.push(start.elapsed().as_secs_f64());
        cpu.extend(cpu_seconds().zip(cpu_before).map(|(after, before)| after - before));
    }
    let cpu = (!cpu.is_empty()).then(|| median(cpu));
    Ok(Times { seconds: median(seconds), cpu })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// Processor time of the threads of this process so far, to the nanosecond; Linux only. A thread that ended is
/// no longer counted: what the kernel keeps of those, it keeps in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let of = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    let nanoseconds: f64 = std::fs::read_dir("/proc/self/task").ok()?.flatten().filter_map(of).sum();
    (nanoseconds > 0.0).then_some(nanoseconds * 1e-9)
}

/// Prints the line of a work whose pass takes `images` images and `multiply_adds` in all (0: not counted);
/// `more` fields go at its end.
pub fn report(
    setting: &Setting,
    work: &str,
    images: usize,
    multiply_adds: f64,
    times: &Times,
    more: &[(&str, Value)],
) {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("work", json!(work));
    put("batch", json!(images));
    put("threads", json!(setting.threads));
    put("device", json!(setting.place.name()));
    put("amp", json!(setting.amp));
    put("images_per_s", json!(round(images as f64 / times.seconds, 1)));
    put("ms", json!(round(times.seconds * 1e3, 2)));
    if let Some(cpu) = times.cpu {
        put("cpu_ms", json!(round(cpu * 1e3, 2)));
    }
    if let Some(gemm) = setting.gemm.filter(|_| multiply_adds > 0.0) {
        put("of_gemm", json!(round(multiply_adds / times.seconds / gemm.wall, 3)));
        if let Some((cpu, rate)) = times.cpu.zip(gemm.cpu) {
            put("of_gemm_cpu", json!(round(multiply_adds / cpu / rate, 3)));
        }
    }
    for (name, value) in more {
        put(name, value.clone());
    }
    println!("{}", Value::Object(line));
}

/// To so many digits behind the point.
pub fn round(value: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (value * unit).round() / unit
}
