//! Most memory that a training step of 256 images takes: width 64, 32 pixels, in a process of its own, as
//! Linux counts it (`VmHWM`: resident, code and libraries included).

use std::process::Command;

use pipeline::error::{Error, OrFail, Result};
use serde_json::json;
use stages::runtime::device::Place;

use crate::Setting;
use crate::measure::round;
use crate::step::{Trainer, failed};

const BATCH: usize = 256;

/// Prints the line: here, or from a new process of this program.
pub fn run(setting: &Setting, here: bool) -> Result<()> {
    if !cfg!(target_os = "linux") || setting.place != Place::Cpu {
        eprintln!("note: peak memory is measured on Linux and for the CPU only");
        return Ok(());
    }
    if here { measure(setting) } else { in_own_process(setting) }
}

fn in_own_process(setting: &Setting) -> Result<()> {
    let cannot = || Error::new("cannot measure memory in a process of its own");
    let program = std::env::current_exe().or_fail(cannot)?;
    let mut command = Command::new(program);
    command.args(["--work", "memory", "--here", "--device", setting.place.name()]);
    command.args(["--threads", &setting.threads.to_string()]);
    let status = command.status().or_fail(cannot)?; // it prints the line
    if status.success() { Ok(()) } else { Err(cannot().because(status.to_string())) }
}

fn measure(setting: &Setting) -> Result<()> {
    let start = peak_mib()?;
    let trainer = Trainer::new(setting, 32, BATCH)?;
    for _ in 0..2 {
        trainer.train().map_err(failed)?;
    }
    setting.device.synchronize().map_err(failed)?;
    let line = json!({
        "work": "preact_resnet18_train_32_memory",
        "batch": BATCH,
        "threads": setting.threads,
        "device": setting.place.name(),
        "peak_mib": round(peak_mib()?, 1),
        "start_mib": round(start, 1),
    });
    println!("{line}");
    Ok(())
}

/// Most memory that this process held so far.
fn peak_mib() -> Result<f64> {
    let path = "/proc/self/status";
    let cannot = || Error::new("cannot read this process's memory").at(path);
    let status = std::fs::read_to_string(path).or_fail(cannot)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    Ok(kib.ok_or_else(|| cannot().because("there is no VmHWM in it"))? / 1024.0)
}
