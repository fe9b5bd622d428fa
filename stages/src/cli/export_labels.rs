//! `coreg export labels`: what each image of a data set is taken for, written for other programs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use pipeline::error::{Error, Result};
use pipeline::event::{Event, Listener, Progress};
use pipeline::stage::{Context, Machine};

use super::console::Console;
use super::on_interrupt;
use crate::artifacts::images::Split;
use crate::export::labels::{
    CLASSES, Choice, Chosen, Destination, LabelSet, Limit, Source, Stages, local_files, write_coco,
    write_csv, write_image_folder, write_json_lines, write_label_studio,
};
use crate::runtime::home;

#[derive(Args)]
pub(super) struct LabelsArgs {
    /// A data set that the pipeline has run on (`demo`), or a stage of it with a student (`demo/co-reg`).
    name: PathBuf,
    /// What is written: a table, a folder of images with a table of labels, or a project of a labeling tool.
    #[arg(long, value_enum)]
    format: Format,
    /// The file or folder to write; without it one in the current folder, called after data set and format.
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// The images of one split alone.
    #[arg(long, value_enum, default_value = "all")]
    split: Part,
    /// `doubtful=N`: the N images of the least confidence alone.
    #[arg(long, value_name = "doubtful=N", value_parser = doubtful, conflicts_with = "below")]
    only: Option<usize>,
    /// The images of less confidence than this alone, such as 0.6.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    below: Option<f32>,
    /// How the addresses of images begin in Label Studio's tasks: an URL or a path; without it, files on its own disk.
    #[arg(long, value_name = "PREFIX")]
    image_root: Option<String>,
    /// Replace what is there.
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
    let to = Destination { path: &output, force };
    if let Err(error) = format.write(&chosen, image_root.as_deref(), &to, &context) {
        said(match error.is_cancelled() {
            true => Event::Stopped { node },
            false => Event::Failed { node, error: error.to_string() },
        });
        return Err(error);
    }
    let (fingerprint, digest) = (String::new(), String::new());
    said(Event::Finished { node, fingerprint, digest, seconds: began.elapsed() });
    tell(&chosen, &stages, format, &output)
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

    /// What to type to read the output, a line each.
    fn commands(self, output: &Path) -> Vec<String> {
        let path = quoted(&output.display().to_string());
        let python = |code: &str| format!("python -c \"{code}\" {path}");
        match self {
            Self::Csv => vec![python(
                "import sys, pandas; print(pandas.read_csv(sys.argv[1], keep_default_na=False, dtype={'id': str, 'label': str}))",
            )],
            Self::Jsonl => {
                vec![python(
                    "import sys, pandas; print(pandas.read_json(sys.argv[1], lines=True, dtype=False))",
                )]
            }
            Self::Imagefolder => vec![
                python(
                    "import sys, datasets; print(datasets.load_dataset('imagefolder', data_dir=sys.argv[1]))",
                ),
                format!(
                    "coreg run --images {path} --classes {}",
                    quoted(&output.join(CLASSES).display().to_string())
                ),
            ],
            Self::Coco => {
                let file = quoted(&output.join("annotations.json").display().to_string());
                vec![format!("python -c \"import sys, pycocotools.coco as c; c.COCO(sys.argv[1])\" {file}")]
            }
            Self::LabelStudio => {
                let around = output.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned));
                let around = around.map_or_else(String::new, |around| quoted(&around.display().to_string()));
                vec![format!(
                    "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={around} label-studio start"
                )]
            }
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | '@');
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Prints what was written where, who says so, and how to read it.
fn tell(chosen: &Chosen, stages: &Stages, format: Format, output: &Path) -> Result<()> {
    let set = chosen.set;
    out!("{} images written to {}, the most doubtful first", chosen.rows.len(), output.display());
    for source in Source::ALL {
        let of = match source {
            Source::Method => "the labels that it settled on for training images",
            Source::Student => "its predictions for test images",
            Source::Annotators => "their most likely classes, where no student says anything",
        };
        match chosen.count(Some(source)) {
            0 => {}
            count => out!("  {count} from {}: {of}", set.source(source)),
        }
    }
    match chosen.count(None) {
        0 => {}
        count => out!("  {count} without a label: nobody voted on them"),
    }
    if let (Some(method), false) = (&set.method, stages.evaluated) {
        out!(
            "  test images have no predictions of {method}: the newest evaluation is another student's, or there is none; \
             run the pipeline with METHOD={method} to its end"
        );
    }
    out!("to read it:");
    for command in format.commands(output) {
        out!("  {command}");
    }
    if format == Format::LabelStudio {
        out!(
            "  a new project there takes config.xml under Labeling Setup > Custom template, and tasks.json under Import;"
        );
        out!(
            "  Settings > Cloud Storage > Local files needs the path of images/, unless --image-root is an URL"
        );
    }
    Ok(())
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
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted("demo-labels.csv"), "demo-labels.csv");
        assert_eq!(quoted("my labels"), "'my labels'");
        assert_eq!(quoted("it's; rm -rf $HOME"), "'it'\\''s; rm -rf $HOME'");
        assert_eq!(quoted("-o"), "'-o'");
        assert_eq!(quoted(""), "''");
    }
}
