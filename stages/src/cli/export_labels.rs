//! `coreg export labels`: what each image of a data set is taken for, written for other programs.

mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use pipeline::error::{Error, Result};
use pipeline::event::{Event, Listener, Progress};
use pipeline::stage::{Context, Machine};

use super::console::Console;
use super::output::refuse_within_artifacts;
use super::{on_interrupt, printable};
use crate::artifacts::images::Split;
use crate::export::labels::{
    Choice, Chosen, Destination, LabelSet, Limit, Stages, local_files, write_coco, write_csv,
    write_image_folder, write_json_lines, write_label_studio,
};
use crate::runtime::home;

#[derive(Args)]
pub(super) struct LabelsArgs {
    /// A data set that the pipeline has run on (`demo`), or a stage of it with a student (`demo/co-reg`).
    name: PathBuf,
    /// What is written: a table, a folder of images with a table of labels, or a project of a labeling tool.
    #[arg(long, value_enum)]
    format: Format,
    /// The file or folder to write, or `-` for standard output; without it one in the current folder, called after data
    /// set and format.
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The images of one split alone.
    #[arg(long, value_enum, default_value = "all")]
    split: Part,
    /// `doubtful=N`: the N most doubtful images alone, those of the student before those of the annotators.
    #[arg(long, value_name = "doubtful=N", value_parser = doubtful, conflicts_with = "below")]
    only: Option<usize>,
    /// The images of less confidence than this alone, such as 0.6.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    below: Option<f32>,
    /// How the addresses of images begin in Label Studio's tasks: an URL or a path; without it, files on its own disk.
    #[arg(long, value_name = "PREFIX")]
    image_root: Option<String>,
    /// Replace the file that is there, or the folder if an export wrote it and nothing else is in it.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table with a row an image.
    Csv,
    /// A JSON object a line and image.
    Jsonl,
    /// A folder that `datasets` and `coreg run --images` read.
    Imagefolder,
    /// COCO's annotations for whole images.
    Coco,
    /// Tasks for Label Studio, with predictions to correct.
    LabelStudio,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    Train,
    Test,
    All,
}

/// How many, of `doubtful=100`.
fn doubtful(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.strip_prefix("doubtful=").and_then(|number| number.parse().ok());
    number.filter(|&number| number > 0).ok_or_else(|| "write doubtful=N, such as doubtful=100".to_owned())
}

fn share(text: &str) -> Result<f32, String> {
    let share: Option<f32> = text.parse().ok();
    share
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| "write a number between 0 and 1, such as 0.6".to_owned())
}

/// Who says what is done, in the place of a stage.
const NODE: &str = "export";

pub(super) fn labels(args: LabelsArgs, artifacts: &Path) -> Result<()> {
    let LabelsArgs { name, format, output, split, only, below, image_root, force } = args;
    if image_root.is_some() && format != Format::LabelStudio {
        return Err(Error::new("--image-root is for --format label-studio alone").help("leave it out"));
    }
    let stages = Stages::find(&home::expand(&name)?, artifacts)?;
    let output = match output {
        Some(output) => home::expand(&output)?,
        None => PathBuf::from(format!("{}-{}", stages.name(), format.suffix())),
    };
    let to = Destination { path: &output, force };
    format.check(&to)?;
    if !to.is_standard_output() {
        refuse_within_artifacts(&output, artifacts)?;
    }
    let console: Arc<dyn Listener> = Arc::new(Console::new());
    let progress = Progress::new(NODE, console.clone());
    let context = Context::new(Machine::default(), progress, on_interrupt()?, PathBuf::new());
    let set = LabelSet::load(&stages)?;
    let split = match split {
        Part::Train => Some(Split::Train),
        Part::Test => Some(Split::Test),
        Part::All => None,
    };
    let limit = only.map(Limit::Doubtful).or(below.map(Limit::Below));
    let chosen = Chosen { set: &set, rows: Choice { split, limit }.rows(&set.images) };
    if chosen.rows.is_empty() {
        return Err(Error::new("no image is to be written")
            .at(&stages.data_set)
            .because(format!("there are {} images, and none is chosen", set.images.len()))
            .help("choose more of them with --split and --below"));
    }
    context.safe_point()?;
    let said = |event: Event| console.on(&event);
    let (began, node) = (Instant::now(), NODE.to_owned());
    let why = vec![format!("{} as {}", stages.data_set.display(), format.suffix())];
    said(Event::Started { node: node.clone(), fingerprint: String::new(), why });
    if let Err(error) = format.write(&chosen, image_root.as_deref(), &to, &context) {
        said(match error.is_cancelled() {
            true => Event::Stopped { node },
            false => Event::Failed { node, error: error.to_string() },
        });
        return Err(error);
    }
    let (fingerprint, digest) = (String::new(), String::new());
    said(Event::Finished { node, fingerprint, digest, seconds: began.elapsed() });
    if to.is_standard_output() {
        let lines = told::summary(&chosen, &stages, "standard output");
        lines.iter().for_each(|line| eprintln!("{}", printable(line)));
        return Ok(());
    }
    for line in told::lines(&chosen, &stages, format, &output) {
        out!("{line}");
    }
    Ok(())
}

impl Format {
    /// How names of outputs end.
    fn suffix(self) -> &'static str {
        match self {
            Self::Csv => "labels.csv",
            Self::Jsonl => "labels.jsonl",
            Self::Imagefolder => "imagefolder",
            Self::Coco => "coco",
            Self::LabelStudio => "label-studio",
        }
    }

    /// How names of files may end; a folder may be called anything.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Csv => &["csv"],
            Self::Jsonl => &["jsonl", "ndjson"],
            Self::Imagefolder | Self::Coco | Self::LabelStudio => &[],
        }
    }

    /// Refuses a file whose name promises something else, and a folder on standard output.
    fn check(self, to: &Destination) -> Result<()> {
        let endings = self.endings();
        if to.is_standard_output() {
            return match endings {
                [] => Err(Error::new("a folder cannot go to standard output")
                    .help("name a folder with --output, or choose --format csv or --format jsonl")),
                _ => Ok(()),
            };
        }
        let ending = to.path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if endings.is_empty() || ending.is_some_and(|ending| endings.contains(&ending.as_str())) {
            return Ok(());
        }
        let fitting: Vec<String> = endings.iter().map(|ending| format!(".{ending}")).collect();
        Err(Error::new("the ending of the output's name is not one of this format").at(to.path).help(
            format!(
                "end it in {}, choose another --format, or write `-` for standard output",
                fitting.join(" or ")
            ),
        ))
    }

    fn write(
        self,
        chosen: &Chosen,
        image_root: Option<&str>,
        to: &Destination,
        context: &Context,
    ) -> Result<()> {
        match self {
            Self::Csv => write_csv(chosen, to, context),
            Self::Jsonl => write_json_lines(chosen, to, context),
            Self::Imagefolder => write_image_folder(chosen, to, context),
            Self::Coco => write_coco(chosen, to, context),
            Self::LabelStudio => {
                let root = image_root.map_or_else(|| local_files(to.path), |root| Ok(root.to_owned()))?;
                write_label_studio(chosen, &root, to, context)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: LabelsArgs,
    }

    fn parse(words: &[&str]) -> Result<LabelsArgs, String> {
        let words = ["labels", "demo"].iter().chain(words);
        Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_doubtful_is_asked_for_by_number_or_by_confidence() {
        let asked = parse(&["--format", "label-studio", "--only", "doubtful=100"]).unwrap();
        assert_eq!((asked.format, asked.only, asked.below), (Format::LabelStudio, Some(100), None));
        assert_eq!(parse(&["--format", "csv", "--below", "0.6"]).unwrap().below, Some(0.6));
        for (words, said) in [
            (&["--only", "100"][..], "such as doubtful=100"),
            (&["--only", "doubtful=0"], "such as doubtful=100"),
            (&["--below", "60"], "such as 0.6"),
            (&["--below", "nan"], "such as 0.6"),
            (&["--only", "doubtful=1", "--below", "0.6"], "cannot be used with"),
        ] {
            let words = [&["--format", "csv"][..], words].concat();
            let error = parse(&words).err().unwrap();
            assert!(error.contains(said), "{error}");
        }
        assert!(parse(&[]).err().unwrap().contains("--format"));
    }

    #[test]
    fn a_name_ends_as_its_format_does_and_a_folder_is_no_stream() {
        let check = |format: Format, path: &str| {
            let checked = format.check(&Destination { path: Path::new(path), force: true });
            checked.map_err(|error| error.to_string())
        };
        for (format, path) in [
            (Format::Csv, "labels.CSV"),
            (Format::Jsonl, "a/b.jsonl"),
            (Format::Jsonl, "labels.ndjson"),
            (Format::Jsonl, "-"),
            (Format::Coco, "labels.v2"),
        ] {
            assert_eq!(check(format, path), Ok(()), "{path}");
        }
        for (format, path, said) in [
            (Format::Jsonl, "labels.csv", "end it in .jsonl or .ndjson"),
            (Format::Csv, "labels", "end it in .csv,"),
            (Format::Csv, "labels.csv.gz", "end it in .csv,"),
            (Format::Coco, "-", "cannot go to standard output"),
        ] {
            let error = check(format, path).unwrap_err();
            assert!(error.contains(said) && error.contains("help: "), "{error}");
        }
        assert_eq!(parse(&["--format", "csv", "--output", "-"]).unwrap().output.unwrap(), Path::new("-"));
    }
}
