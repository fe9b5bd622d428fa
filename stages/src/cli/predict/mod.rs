//! `coreg predict`: what a student says of images.

mod destination;
mod formats;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use pipeline::error::{Error, Result};
use pipeline::event::{Event, Listener, Progress};
use pipeline::stage::Context;

use self::destination::Destination;
pub(super) use self::destination::refuse_kept_results;
use self::formats::{Format, Prediction};
use super::console::Console;
use super::find_student::{find_student, in_words};
use super::on_interrupt;
use crate::artifacts::student::Student;
use crate::dataset::images_alone::{ImagesAlone, without_settings};
use crate::dataset::{ImportImages, first_few};
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
    /// Write a table to this file, .csv, .jsonl or .parquet, or to standard output: `-` with --format.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the table is written, whatever its name ends in; without --output it goes to standard output.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Replace the file that --output names.
    #[arg(long)]
    force: bool,
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

/// Where predictions go.
enum To {
    /// To a person.
    Terminal,
    /// To another program.
    Pipe(Format),
    File(Destination, Format),
}

/// Who says what is done, in the place of a stage.
const NODE: &str = "predict";
/// Images whose shorter side has more pixels are made smaller first, as images of one's own are on their way to a
/// training, unless `download.shrink` says otherwise.
pub(super) const IMPORTED: usize = 512;

pub(super) fn predict(args: PredictArgs, artifacts: &Path) -> Result<()> {
    let PredictArgs { student, images, output, format, force, network, skip_unreadable, device } = args;
    let to = To::of(output.as_deref(), format, force, artifacts)?;
    let images: Vec<PathBuf> = images.iter().map(|place| home::expand(place)).collect::<Result<_>>()?;
    let place = Place::choose(&device, |note| eprintln!("{note}"))?;
    let folder = find_student(&home::expand(&student)?, artifacts)?;
    let student = Student::load(&folder)?;
    let predictor = Predictor::new(&student, network, &place.device()?)?;
    let console = listener();
    let say = |text: String| console.on(&Event::Note { node: NODE.to_owned(), text });
    say(in_words(&folder, &student, network));

    let progress = Progress::new(NODE, console.clone());
    let context = Context::new(machine(place), progress, on_interrupt()?, PathBuf::new());
    let import = ImportImages { skip_unreadable, shrink: IMPORTED };
    let all = ImagesAlone::at(&images, import, &context)?;
    all.notes.iter().for_each(|note| say(note.clone()));
    to.refuse_input(&all)?;
    let (node, fingerprint, digest) = (NODE.to_owned(), String::new(), String::new());
    let why = vec![named(&images)];
    console.on(&Event::Started { node: node.clone(), fingerprint: fingerprint.clone(), why });
    let began = Instant::now();
    let mut predictions: Vec<Prediction> = Vec::new();
    let outcome = all.each(&context, |ids, encoded| {
        let probs = predictor.probs(&encoded, |i| format!("image `{}`", ids[i]), &context)?;
        let rows = ids.iter().zip(probs.chunks(student.classes.len()));
        predictions.extend(rows.map(|(id, probs)| Prediction {
            id: id.clone(),
            class: largest(probs),
            probs: probs.to_vec(),
        }));
        Ok(())
    });
    if let Err(error) = outcome {
        console.on(&match error.is_cancelled() {
            true => Event::Stopped { node },
            false => Event::Failed { node, error: error.to_string() },
        });
        return Err(error);
    }
    console.on(&Event::Finished { node, fingerprint, digest, seconds: began.elapsed() });
    to.write(&predictions, &student.classes, output.as_deref())
}

/// The console, to which nothing is said of settings: there are none here.
fn listener() -> Arc<dyn Listener> {
    let console = Console::new();
    Arc::new(move |event: &Event| match event {
        Event::Note { node, text } => {
            if let Some(text) = without_settings(text) {
                console.on(&Event::Note { node: node.clone(), text });
            }
        }
        event => console.on(event),
    })
}

/// The places of the images in a line, however many there are.
fn named(places: &[PathBuf]) -> String {
    match places {
        [place] => place.display().to_string(),
        places => {
            let names = places.iter().map(|place| place.display().to_string());
            format!("{} places: {}", places.len(), first_few(names))
        }
    }
}

impl To {
    /// What the user asks for.
    ///
    /// # Errors
    /// No format; a file that cannot be written, lies within the artifacts, or is there and not to be replaced.
    fn of(output: Option<&Path>, format: Option<Format>, force: bool, artifacts: &Path) -> Result<Self> {
        let is_file = |path: &&Path| *path != Path::new("-") && *path != Path::new("/dev/stdout");
        let Some(path) = output.filter(is_file) else {
            return match (format, output) {
                (None, None) => Ok(Self::Terminal),
                (None, Some(path)) => Err(Error::new("standard output has no ending that says the format")
                    .at(path)
                    .help("say which: --format csv or --format jsonl")),
                (Some(Format::Parquet), _) => Err(Error::new("a Parquet table cannot go to standard output")
                    .help("name a file with --output, or take --format csv or jsonl")),
                (Some(format), _) => Ok(Self::Pipe(format)),
            };
        };
        let path = home::expand(path)?;
        let format = format.map_or_else(|| Format::of(&path), Ok)?;
        refuse_kept_results(&path, artifacts)?;
        Ok(Self::File(Destination::at(&path, force)?, format))
    }

    /// Refuses to replace what is read.
    fn refuse_input(&self, images: &ImagesAlone) -> Result<()> {
        match self {
            Self::File(file, _) if images.reads(&file.target) => {
                Err(Error::new("the output is one of the inputs, which it would replace")
                    .at(&file.target)
                    .help("name another file with --output"))
            }
            _ => Ok(()),
        }
    }

    /// Writes all predictions; `output` is the file as the user named it.
    fn write(&self, predictions: &[Prediction], classes: &[String], output: Option<&Path>) -> Result<()> {
        match self {
            Self::Terminal => formats::print(predictions, classes),
            Self::Pipe(format) => format.print(predictions, classes),
            Self::File(file, format) => {
                file.write(|path| format.write(predictions, classes, path))?;
                let shown = output.unwrap_or(&file.target);
                out!("{} predictions written to {}", predictions.len(), shown.display());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_number_of_places_is_one_line() {
        let places = |count: usize| -> Vec<PathBuf> {
            (0..count).map(|number| PathBuf::from(format!("{number}.png"))).collect()
        };
        assert_eq!(named(&places(1)), "0.png");
        assert_eq!(named(&places(2)), "2 places: `0.png`, `1.png`");
        assert!(named(&places(10_000)).ends_with("and 9995 more"));
    }

    #[test]
    fn standard_output_takes_text_whose_format_is_said() {
        let to =
            |output: Option<&str>, format| To::of(output.map(Path::new), format, false, Path::new("nowhere"));
        for output in [None, Some("-"), Some("/dev/stdout")] {
            assert!(matches!(to(output, Some(Format::Csv)).unwrap(), To::Pipe(Format::Csv)));
            assert!(to(output, Some(Format::Parquet)).is_err());
        }
        assert!(matches!(to(None, None).unwrap(), To::Terminal));
        let error = to(Some("-"), None).err().unwrap().to_string();
        assert!(error.contains("--format csv"), "{error}");
    }
}
