//! The command line of `coreg`. It reads arguments, prints results, and leaves the rest to the library.

/// `println!` for results: a reader that has seen enough, such as `head`, is no error.
macro_rules! out {
    ($($words:tt)*) => {
        $crate::cli::write_line(format_args!($($words)*))?
    };
}

mod ablations;
mod clean;
mod compare;
mod console;
mod diff;
mod export;
mod export_labels;
mod find_student;
mod output;
mod plan;
mod predict;
mod record;
mod run;
mod runs;
mod show;
mod summary;

use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Cancel;
use pipeline::store::Store;

use crate::dataset::user_images::UserDataSet;
use crate::experiment::{Choice, Experiment};
use crate::runtime::device::Place;
use crate::runtime::home;

/// Exit code after a stop that the user asked for, as shells have it for SIGINT.
const STOPPED: u8 = 130;

/// Turns an unlabeled image set into a small, accurate classifier: CLIP votes, Co-Reg learns.
#[derive(Parser)]
#[command(name = "coreg", version, about)]
struct Cli {
    /// The folder in which everything that runs produce is kept.
    #[arg(long, global = true, default_value = "artifacts", value_name = "FOLDER")]
    artifacts: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the pipeline; stages whose settings and inputs did not change are taken from the store.
    Run(RunArgs),
    /// Say what would run, and why, without running it.
    Plan(RunArgs),
    /// Say of one stage what its result depends on.
    Explain {
        /// The stage.
        stage: String,
        #[command(flatten)]
        choice: ChoiceArgs,
    },
    /// Run several variants side by side and compare them; without --variants, the paper's ablations.
    Ablations {
        /// How many seeds of each variant.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
        seeds: u64,
        /// A TOML file with the variants.
        #[arg(long, value_name = "FILE")]
        variants: Option<PathBuf>,
        #[command(flatten)]
        choice: ChoiceArgs,
    },
    /// Train by several methods on the same images and labels, and put them into one table.
    Compare(compare::CompareArgs),
    /// Say what a student takes images for.
    Predict(predict::PredictArgs),
    /// Write a student as a folder that stands alone, with an ONNX file; or, with `labels`, the labels of a data set.
    Export(ExportArgs),
    /// Print a table: a stage of the view (`eurosat/label`) or any Parquet file.
    Show(show::ShowArgs),
    /// List the runs that are kept.
    Runs(runs::RunsArgs),
    /// Put two or more runs side by side: settings, figures, curves, and images whose prediction changed.
    Diff(diff::DiffArgs),
    /// Remove results that no data set's newest run uses.
    Clean(clean::CleanArgs),
    /// Read every kept result and check it against its digest.
    Verify,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Only these stages and what they need.
    #[arg(long = "only", value_name = "STAGE")]
    targets: Vec<String>,
    /// Open the report when it is there.
    #[arg(long)]
    open: bool,
}

#[derive(Args)]
#[command(subcommand_negates_reqs = true, subcommand_precedence_over_arg = true)]
struct ExportArgs {
    #[command(subcommand)]
    what: Option<ExportWhat>,
    #[command(flatten)]
    student: Option<export::StudentArgs>,
}

#[derive(Subcommand)]
enum ExportWhat {
    /// Write the labels of a data set for other tools, the doubtful ones first.
    Labels(export_labels::LabelsArgs),
}

#[derive(Args)]
struct ChoiceArgs {
    /// A data set of the catalog, or a TOML file that describes one.
    #[arg(long, default_value = "demo", value_name = "NAME|FILE")]
    dataset: String,
    /// Images of your own: a folder of them, Parquet, Arrow, IDX or tar files, or a pattern in quotes.
    #[arg(long, value_name = "PATH", conflicts_with = "dataset")]
    images: Option<PathBuf>,
    /// A text file with a class a line: `name`, or `name: what CLIP is told | another wording`.
    #[arg(long, value_name = "FILE", requires = "images")]
    classes: Option<PathBuf>,
    /// The name of your images; without it, their folder's.
    #[arg(long, value_name = "NAME", requires = "images")]
    name: Option<String>,
    /// `quick` for two CPU cores, `paper` for the paper's schedule and network.
    #[arg(long, default_value = "quick")]
    profile: String,
    /// How the student learns: co-reg, alim, cc, cr-dpll, distill, divide-mix, ensemble-contrast, ir-net, lw, pico,
    /// pico-plus, rc or warm-up.
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// A CLIP in hub format: owner/name, or a folder; several are separated by commas.
    #[arg(long, value_name = "MODEL")]
    clip: Option<String>,
    /// Votes of another model or of people, instead of CLIP's: a table (Parquet, CSV, TSV, JSON lines) with id, annotator, class.
    #[arg(long, value_name = "FILE")]
    votes: Option<String>,
    /// Where the candidates come from: `clip`, `votes`, `clip+votes`, or "synthetic q=0.05 eta=0.3" where the truth is known.
    #[arg(long, value_name = "SOURCE")]
    labels: Option<String>,
    /// So many training images of each class have the label that a human gave: the data set's own, or those of --truth.
    #[arg(long, value_name = "NUMBER")]
    shots: Option<usize>,
    /// Labels that humans gave to some training images: a table (Parquet, CSV, TSV, JSON lines) with id and class.
    #[arg(long, value_name = "FILE")]
    truth: Option<String>,
    /// How long the student trains: `small`, `medium`, `large`, or how many images each of its networks sees.
    #[arg(long, value_name = "WORD|IMAGES")]
    budget: Option<String>,
    /// Settings, as "stage.key=value …"; may be given several times.
    #[arg(long, value_name = "SETTINGS")]
    set: Vec<String>,
    /// `cpu`, `cuda` or `auto`.
    #[arg(long, default_value = "auto")]
    device: String,
}

impl ChoiceArgs {
    fn experiment(self) -> Result<Experiment> {
        let place = Place::choose(&self.device, |note| eprintln!("{note}"))?;
        let Self {
            dataset,
            images,
            classes,
            name,
            profile,
            method,
            clip,
            votes,
            labels,
            shots,
            truth,
            budget,
            set,
            ..
        } = self;
        let own = match images {
            Some(images) => {
                let (images, classes) = (home::expand(&images)?, expanded(classes)?);
                Some(UserDataSet { images, classes, name, ..UserDataSet::default() })
            }
            None => None,
        };
        let data_set = home::expand_text(&dataset)?;
        let choice =
            Choice { data_set, own, profile, method, clip, votes, labels, shots, truth, budget, set };
        Experiment::new(&choice, place)
    }
}

/// A path that may be left out, with the home folder in the place of `~`.
fn expanded(path: Option<PathBuf>) -> Result<Option<PathBuf>> {
    path.as_deref().map(home::expand).transpose()
}

/// Runs the command line and says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_cancelled() => {
            eprintln!("stopped: finished stages are kept, the same command goes on from here");
            ExitCode::from(STOPPED)
        }
        Err(error) => {
            eprintln!("error: {}", printable(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(Cli { artifacts, command }: Cli) -> Result<()> {
    let artifacts = home::expand(&artifacts)?;
    match command {
        Command::Run(RunArgs { choice, targets, open }) => {
            run::run(choice.experiment()?, &artifacts, &targets, open)
        }
        Command::Plan(RunArgs { choice, targets, .. }) => {
            plan::plan(choice.experiment()?, &artifacts, &targets)
        }
        Command::Explain { stage, choice } => plan::explain(choice.experiment()?, &artifacts, &stage),
        Command::Ablations { seeds, variants, choice } => {
            ablations::ablations(choice.experiment()?, &artifacts, expanded(variants)?.as_deref(), seeds)
        }
        Command::Compare(args) => compare::compare(args, &artifacts),
        Command::Predict(args) => predict::predict(args, &artifacts),
        Command::Export(ExportArgs { what: Some(ExportWhat::Labels(args)), .. }) => {
            export_labels::labels(args, &artifacts)
        }
        Command::Export(ExportArgs { student, .. }) => {
            let missing = || {
                Error::new("no student is named")
                    .help("write `coreg export demo`, or `coreg export labels demo`")
            };
            export::student(student.ok_or_else(missing)?, &artifacts)
        }
        Command::Show(args) => show::show(args, &artifacts),
        Command::Runs(args) => runs::runs(args, &artifacts),
        Command::Diff(args) => diff::diff(args, &artifacts),
        Command::Clean(args) => clean::clean(&artifacts, &args),
        Command::Verify => clean::verify(&artifacts, &on_interrupt()?),
    }
}

/// A text that a terminal may be sent: names and file names may hold signs that move its cursor, or turn round what
/// follows.
fn printable(text: &str) -> Cow<'_, str> {
    let turns = |c: char| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let harms = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c);
    match text.contains(harms) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(
            text.chars()
                .map(|c| if harms(c) { c.escape_unicode().to_string() } else { c.to_string() })
                .collect(),
        ),
    }
}

fn write_line(line: std::fmt::Arguments) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", printable(&line.to_string())) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new("cannot write the result").because(error))
        }
        _ => Ok(()),
    }
}

fn open_store(artifacts: &Path) -> Result<Store> {
    Store::open(artifacts.join("store"))
}

/// The store, to be read alone: it may be another user's, on a read-only disk, or not there yet.
fn look_at_store(artifacts: &Path) -> Result<Store> {
    Store::look(artifacts.join("store"))
}

/// A request to stop that Ctrl-C and SIGTERM make; a second one ends the program at once, which loses
/// nothing that is kept.
fn on_interrupt() -> Result<Cancel> {
    let cancel = Cancel::default();
    let handler = cancel.clone();
    ctrlc::set_handler(move || {
        if handler.is_requested() {
            std::process::exit(i32::from(STOPPED));
        }
        handler.request();
        eprintln!("\nstopping at the next safe point; press Ctrl-C again to stop at once");
    })
    .or_fail(|| Error::new("cannot listen for Ctrl-C"))?;
    Ok(cancel)
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_would_steer_a_terminal_is_written_out() {
        assert_eq!(printable("a\tb\nc, é, 猫"), "a\tb\nc, é, 猫");
        assert_eq!(printable("\u{1b}[31mred\r"), "\\u{1b}[31mred\\u{d}");
        assert_eq!(printable("\u{202e}gnp"), "\\u{202e}gnp");
    }
}
