//! How the trained CLIP behaves on the training split of the data set `demo`: what the stages `label` and
//! `statistics` would say.

use std::path::Path;

use candle_core::{DType, Device};
use pipeline::error::{Error, OrFail, Result};
use rayon::prelude::*;
use stages::clip::{ClipFiles, Features, ImageEncoder, TextEncoder, template_probabilities};
use stages::dataset::catalog::DataSet;
use stages::dataset::demo;
use stages::dataset::demo::Rendering;

/// Prints the figures that the settings of the training were chosen by.
pub fn print(folder: &Path, templates: &[String]) -> Result<()> {
    let files = ClipFiles::in_folder(folder)?;
    let encoder = ImageEncoder::load(&files, &Device::Cpu, DType::F32)?;
    let count = 2000;
    let images: Vec<_> =
        (0..count).into_par_iter().map(|number| demo::tile(Rendering::Demo, "train", 0, number)).collect();
    let mut seen = Vec::new();
    for batch in images.chunks(50) {
        seen.extend(floats(&encoder.encode(&encoder.batch(batch)?)?)?);
    }
    let texts = DataSet::find("demo")?.classes.texts;
    let prompts: Vec<String> =
        templates.iter().flat_map(|template| texts.iter().map(|text| template.replace("{}", text))).collect();
    let read = floats(&TextEncoder::load(&files, &Device::Cpu, DType::F32)?.encode(&prompts)?)?;
    let width = encoder.width();
    let features = |values| Features { values, width };
    let found = template_probabilities(features(&seen), features(&read), texts.len(), 100.0)?;

    let (n, t, c) = (count, templates.len(), texts.len());
    let truth = |i: usize| demo::class_of(i);
    let single: Vec<usize> = (0..n)
        .map(|i| (0..c).max_by(|a, b| found.mean[i * c + a].total_cmp(&found.mean[i * c + b])).unwrap_or(0))
        .collect();
    let mut candidates = 0;
    let mut lacking = 0;
    let mut eta_of = vec![0; c];
    for i in 0..n {
        let mut set: Vec<u16> = found.votes[i * t..][..t].to_vec();
        set.sort_unstable();
        set.dedup();
        candidates += set.len();
        if !set.contains(&(truth(i) as u16)) {
            lacking += 1;
            eta_of[truth(i)] += 1;
        }
    }
    let share = |right: usize| 100.0 * right as f64 / n as f64;
    let of_template =
        |k: usize| share((0..n).filter(|&i| usize::from(found.votes[i * t + k]) == truth(i)).count());
    let mut spread: Vec<f64> = (0..t).map(of_template).collect();
    println!("candidates {:.2}, eta {:.1}", candidates as f64 / n as f64, share(lacking));
    let mean = share((0..n).filter(|&i| single[i] == truth(i)).count());
    println!("zero-shot {:.1}, mean of templates {mean:.1}", spread[0]);
    spread.sort_by(f64::total_cmp);
    println!("templates {:.1} to {:.1}, median {:.1}", spread[0], spread[t - 1], spread[t / 2]);
    println!("of each class, in a hundred, what the mean says:");
    for class in 0..c {
        let own: Vec<usize> = (0..n).filter(|&i| truth(i) == class).collect();
        let row: Vec<String> = (0..c)
            .map(|said| {
                format!(
                    "{:3.0}",
                    100.0 * own.iter().filter(|&&i| single[i] == said).count() as f64 / own.len() as f64
                )
            })
            .collect();
        println!(
            "{:>16} {}  eta {:.0}",
            texts[class],
            row.join(" "),
            100.0 * eta_of[class] as f64 / own.len() as f64
        );
    }
    Ok(())
}

fn floats(features: &candle_core::Tensor) -> Result<Vec<f32>> {
    features.flatten_all().and_then(|x| x.to_vec1()).or_fail(|| Error::new("cannot read the features"))
}
