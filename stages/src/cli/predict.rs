//! `coreg predict`: what a student says of images.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::Float32Array;
use clap::Args;
use pipeline::error::{Error, OrFail, Result};
use pipeline::event::{Event, Listener, Progress};
use pipeline::stage::Context;
use serde_json::json;

use super::console::Console;
use super::find_student::find_student;
use super::on_interrupt;
use crate::artifacts::student::Student;
use crate::artifacts::table::Table;
use crate::dataset::ImportImages;
use crate::dataset::images_alone::ImagesAlone;
use crate::learn::metrics::largest;
use crate::results::predict::Predictor;
use crate::runtime::device::{Place, machine};
use crate::runtime::home;

#[derive(Args)]
pub(super) struct PredictArgs {
    /// The student: a data set of which one was trained (`demo`), a stage of it (`demo/co-reg`), or a folder with
    /// student.json and student.safetensors.
    student: PathBuf,
    /// Images: files, folders, Parquet, Arrow, IDX or tar files, or patterns in quotes.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Write the table here instead: .csv, .jsonl or .parquet.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One of the student's networks alone, from 1; it is half as large, and nearly as good.
    #[arg(long, value_name = "NUMBER")]
    network: Option<usize>,
    /// Leave out images that cannot be read, instead of stopping.
    #[arg(long)]
    skip_unreadable: bool,
    /// `cpu`, `cuda` or `auto`.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// What is known of an image.
struct Prediction {
    id: String,
    class: usize,
    probs: Vec<f32>,
}

pub(super) fn predict(args: PredictArgs, artifacts: &Path) -> Result<()> {
    let PredictArgs { student, images, output, network, skip_unreadable, device } = args;
    let format = output.as_deref().map(Format::of).transpose()?;
    let place = Place::choose(&device, |note| eprintln!("{note}"))?;
    let student = Student::load(&find_student(&home::expand(&student)?, artifacts)?)?;
    let predictor = Predictor::new(&student, network, &place.device()?)?;
    let console: Arc<dyn Listener> = Arc::new(Console::new());
    let cancel = on_interrupt()?;
    let mut predictions: Vec<Prediction> = Vec::new();
    let several = images.len() > 1;
    for images in images {
        let import = ImportImages { skip_unreadable, shrink: IMPORTED };
        let images = home::expand(&images)?;
        let all = ImagesAlone::at(images.clone(), import)?;
        all.notes.iter().for_each(|note| eprintln!("{NODE:<12} {note}"));
        let (node, fingerprint) = (NODE.to_owned(), String::new());
        console.on(&Event::Started { node, fingerprint, why: vec![images.display().to_string()] });
        let began = Instant::now();
        let progress = Progress::new(NODE, console.clone());
        let context = Context::new(machine(place), progress, cancel.clone(), PathBuf::new());
        // Of several places each id must say which it is of.
        let prefix = if several { format!("{}/", images.display()) } else { String::new() };
        all.each(&context, |ids, encoded| {
            let probs = predictor.probs(&encoded, |i| format!("image `{}`", ids[i]), &context)?;
            predictions.extend(ids.iter().zip(probs.chunks(student.classes.len())).map(|(id, probs)| {
                Prediction { id: format!("{prefix}{id}"), class: largest(probs), probs: probs.to_vec() }
            }));
            Ok(())
        })?;
        let (node, fingerprint, digest) = (NODE.to_owned(), String::new(), String::new());
        console.on(&Event::Finished { node, fingerprint, digest, seconds: began.elapsed() });
    }
    match (output, format) {
        (Some(path), Some(format)) => {
            format.write(&predictions, &student.classes, &path)?;
            out!("{} predictions written to {}", predictions.len(), path.display());
        }
        _ => print(&predictions, &student.classes)?,
    }
    Ok(())
}

/// Who says what is done, in the place of a stage.
const NODE: &str = "predict";
/// Images whose shorter side has more pixels are made smaller first, as images of one's own are on their way to a
/// training, unless `download.shrink` says otherwise.
pub(super) const IMPORTED: usize = 512;

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
    Parquet,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(Error::new("the ending of the output's name says no format")
                .at(path)
                .help("end it in .csv, .jsonl or .parquet")),
        }
    }

    fn write(self, predictions: &[Prediction], classes: &[String], path: &Path) -> Result<()> {
        let cannot = || Error::new("cannot write the predictions").at(path);
        let confidence = |of: &Prediction| of.probs[of.class];
        match self {
            Self::Csv => {
                let mut csv = csv::Writer::from_path(path).or_fail(cannot)?;
                let probabilities = classes.iter().map(|class| format!("p({class})"));
                let first = ["id", "prediction", "confidence"].map(str::to_owned);
                csv.write_record(first.into_iter().chain(probabilities)).or_fail(cannot)?;
                for of in predictions {
                    let first = [of.id.clone(), classes[of.class].clone(), confidence(of).to_string()];
                    csv.write_record(first.into_iter().chain(of.probs.iter().map(f32::to_string)))
                        .or_fail(cannot)?;
                }
                csv.flush().or_fail(cannot)
            }
            Self::JsonLines => {
                let mut file = BufWriter::new(File::create(path).or_fail(cannot)?);
                for of in predictions {
                    let probs: serde_json::Map<String, serde_json::Value> =
                        classes.iter().zip(&of.probs).map(|(class, p)| (class.clone(), json!(p))).collect();
                    let (class, confidence) = (&classes[of.class], confidence(of));
                    let line =
                        json!({ "id": of.id, "prediction": class, "confidence": confidence, "probs": probs });
                    writeln!(file, "{line}").or_fail(cannot)?;
                }
                file.flush().or_fail(cannot)
            }
            Self::Parquet => {
                let probs = predictions.iter().flat_map(|of| of.probs.iter().copied()).collect::<Vec<f32>>();
                Table::new()
                    .strings("id", predictions.iter().map(|of| &of.id))
                    .strings("prediction", predictions.iter().map(|of| &classes[of.class]))
                    .f32("confidence", predictions.iter().map(confidence))
                    .rows("probs", Arc::new(Float32Array::from(probs)), classes.len())
                    .metadata("classes", serde_json::to_string(classes).or_fail(cannot)?)
                    .write(path)
            }
        }
    }
}

/// A line an image: the class, how sure, and the next best.
fn print(predictions: &[Prediction], classes: &[String]) -> Result<()> {
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let id = width(&mut predictions.iter().map(|of| of.id.chars().count())).min(60);
    let class = width(&mut classes.iter().map(|class| class.chars().count()));
    for of in predictions {
        let second = (0..classes.len())
            .filter(|&other| other != of.class)
            .max_by(|&a, &b| of.probs[a].total_cmp(&of.probs[b]).then(b.cmp(&a)));
        let second = second.map(|other| format!("  ({} {:.1} %)", classes[other], 100.0 * of.probs[other]));
        out!(
            "{:<id$}  {:<class$}  {:>5.1} %{}",
            of.id,
            classes[of.class],
            100.0 * of.probs[of.class],
            second.unwrap_or_default()
        );
    }
    Ok(())
}
