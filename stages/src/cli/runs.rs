//! `coreg runs`: the runs that are kept, and what each of them is called where a run is to be named.
//!
//! A run is named by the beginning of its id, or as the newest of a data set (`demo`), the one before it (`demo~1`) and so
//! on; a branch of it by what follows a colon (`demo:without-proto.seed0`).

mod listing;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use pipeline::error::{Error, OrFail, Result};
use terminal_size::{Width, terminal_size_of};

use super::look_at_store;
use super::record::{FinishedRun, RecordedBranch};
use crate::runtime::suggest::unknown;
use listing::{Listing, of_branches};

#[derive(Args)]
pub(super) struct RunsArgs {
    /// A data set, to list its runs alone; or a run, to list its branches.
    name: Option<String>,
    /// All runs, and not only the newest thirty.
    #[arg(long)]
    all: bool,
}

/// Runs that are listed without `--all`.
const NEWEST: usize = 30;

pub(super) fn runs(args: RunsArgs, artifacts: &Path) -> Result<()> {
    let kept = KeptRuns::in_artifacts(artifacts)?;
    let store = look_at_store(artifacts)?;
    let mut listing = Listing::new(&store);
    let mut shown: Vec<&FinishedRun> = kept.runs.iter().collect();
    if let Some(name) = &args.name {
        if !kept.is_data_set(name) {
            let run = kept.find(name)?;
            for line in of_branches(&mut listing, run, width())? {
                out!("{line}");
            }
            return Ok(());
        }
        shown.retain(|run| run.data_set == *name);
    }
    if shown.is_empty() {
        out!("no finished run is kept in {}", kept.folder.display());
        return Ok(());
    }
    let left_out = if args.all { 0 } else { shown.len().saturating_sub(NEWEST) };
    for line in listing.of_runs(&shown[left_out..], width())? {
        out!("{line}");
    }
    if left_out > 0 {
        out!("{left_out} older runs are left out; --all lists them too");
    }
    Ok(())
}

/// Columns of the terminal; none where standard output is none.
fn width() -> Option<usize> {
    let (Width(width), _) = terminal_size_of(std::io::stdout())?;
    Some(usize::from(width))
}

/// The finished runs whose records are kept.
pub(super) struct KeptRuns {
    folder: PathBuf,
    /// The oldest first.
    runs: Vec<FinishedRun>,
    /// Ids of runs that go on, were stopped or failed.
    unfinished: Vec<String>,
}

/// A run as it was named, with the branch that is meant.
pub(super) struct NamedRun<'a> {
    /// The run.
    pub(super) run: &'a FinishedRun,
    /// Its branch.
    pub(super) branch: &'a RecordedBranch,
}

impl NamedRun<'_> {
    /// The run's id, with the branch's name behind `joined` where it has one.
    pub(super) fn id(&self, joined: char) -> String {
        match self.branch.name.as_str() {
            "" => self.run.id.clone(),
            branch => format!("{}{joined}{branch}", self.run.id),
        }
    }
}

impl KeptRuns {
    /// Reads all records below `artifacts`.
    ///
    /// # Errors
    /// A folder or a record that cannot be read.
    pub(super) fn in_artifacts(artifacts: &Path) -> Result<Self> {
        let folder = artifacts.join("runs");
        let cannot = || Error::new("cannot list the run records").at(&folder);
        let mut records: Vec<PathBuf> = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            entries => {
                let entries = entries.or_fail(cannot)?.map(|entry| entry.map(|entry| entry.path()));
                entries.collect::<std::io::Result<_>>().or_fail(cannot)?
            }
        };
        records.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        // Ids begin with the time.
        records.sort();
        let (mut runs, mut unfinished) = (Vec::new(), Vec::new());
        for path in &records {
            match FinishedRun::read(path)? {
                Some(run) => runs.push(run),
                None => unfinished.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned())),
            }
        }
        Ok(Self { folder, runs, unfinished })
    }

    fn is_data_set(&self, name: &str) -> bool {
        self.runs.iter().any(|run| run.data_set == name)
    }

    /// The run and the branch that a name means.
    ///
    /// # Errors
    /// No such run, or several; a run of several branches of which none is named; a record of another form.
    pub(super) fn choose(&self, name: &str) -> Result<NamedRun<'_>> {
        let (run, branch) = match name.split_once(':') {
            Some((run, branch)) => (run, Some(branch)),
            None => (name, None),
        };
        let run = self.find(run)?;
        Ok(NamedRun { run, branch: choose_branch(&run.id, &run.head()?.branches, branch)? })
    }

    /// The run that a name without a branch means.
    fn find(&self, name: &str) -> Result<&FinishedRun> {
        let begun = || self.unfinished.iter().any(|id| !name.is_empty() && id.starts_with(name));
        if self.runs.is_empty() && !begun() {
            return Err(Error::new(format!(
                "there is no run `{name}`: none that came to its end is kept yet"
            ))
            .at(&self.folder)
            .help("`coreg run` makes one"));
        }
        let (data_set, back) = match name.rsplit_once('~').map(|(name, back)| (name, back.parse::<usize>())) {
            Some((data_set, Ok(back))) => (data_set, back),
            _ => (name, 0),
        };
        let mut of_set = self.runs.iter().rev().filter(|run| run.data_set == data_set);
        if let Some(run) = of_set.nth(back) {
            return Ok(run);
        }
        if self.is_data_set(data_set) {
            let count = self.runs.iter().filter(|run| run.data_set == data_set).count();
            return Err(Error::new(format!("there is no run `{name}`: only {count} of {data_set} are kept"))
                .help(format!(
                    "the oldest is {data_set}~{}; `coreg runs {data_set} --all` lists them",
                    count - 1
                )));
        }
        let with_prefix: Vec<&FinishedRun> =
            self.runs.iter().filter(|run| !name.is_empty() && run.id.starts_with(name)).collect();
        match with_prefix[..] {
            [run] => Ok(run),
            [] if begun() => Err(Error::new(format!("run {name} did not come to its end"))
                .help("the same command goes on from there; `coreg runs` lists those that did")),
            [] => Err(unknown("run", name, self.data_sets())),
            [first, second, ..] => Err(Error::new(format!("several runs begin with {name}"))
                .help(format!("write more of the id: {} or {}, for example", first.id, second.id))),
        }
    }

    /// The data sets of the runs, each once.
    fn data_sets(&self) -> Vec<String> {
        let mut all: Vec<String> = self.runs.iter().map(|run| run.data_set.clone()).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The branch that is meant, by its name, its title or the beginning of its name; without a name the only one.
fn choose_branch<'a>(
    id: &str,
    branches: &'a [RecordedBranch],
    named: Option<&str>,
) -> Result<&'a RecordedBranch> {
    const TOLD: usize = 8;
    let help = |branches: &[&RecordedBranch]| {
        let names: Vec<String> =
            branches.iter().take(TOLD).map(|branch| format!("{id}:{}", branch.name)).collect();
        let more =
            if branches.len() > TOLD { format!(" or another of {}", branches.len()) } else { String::new() };
        format!("write {}{more}", names.join(", "))
    };
    let all: Vec<&RecordedBranch> = branches.iter().collect();
    let Some(named) = named else {
        return match branches {
            [only] => Ok(only),
            _ => Err(Error::new(format!("run {id} has {} branches", branches.len())).help(help(&all))),
        };
    };
    if let [RecordedBranch { name, .. }] = branches
        && name.is_empty()
    {
        return Err(Error::new(format!("run {id} has no branch `{named}`, for it is a plain run"))
            .help(format!("write {id} alone")));
    }
    let variant = format!("{named}.");
    let ways: [&dyn Fn(&RecordedBranch) -> bool; 4] = [
        &|branch| branch.name == named,
        &|branch| branch.variant == named,
        &|branch| branch.name.starts_with(&variant),
        &|branch| branch.name.starts_with(named),
    ];
    for way in ways {
        let found: Vec<&RecordedBranch> = branches.iter().filter(|&branch| way(branch)).collect();
        match found[..] {
            [] => {}
            [only] => return Ok(only),
            _ => {
                return Err(Error::new(format!("run {id} has {} branches like `{named}`", found.len()))
                    .help(help(&found)));
            }
        }
    }
    Err(Error::new(format!("run {id} has no branch `{named}`")).help(help(&all)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn kept(runs: &[(&str, &str)], unfinished: &[&str]) -> KeptRuns {
        KeptRuns {
            folder: PathBuf::from("artifacts/runs"),
            runs: runs.iter().map(|(id, data_set)| FinishedRun::for_test(id, data_set)).collect(),
            unfinished: unfinished.iter().map(|&id| id.to_owned()).collect(),
        }
    }

    #[test]
    fn a_run_is_named_by_the_beginning_of_its_id_or_by_its_data_set() {
        let kept = kept(
            &[
                ("20260101-1", "demo"),
                ("20260102-1", "other"),
                ("20260102-2", "demo"),
                ("20260103-1", "demo"),
            ],
            &["20260104-1"],
        );
        for (name, id) in [
            ("20260101-1", "20260101-1"),
            ("20260101", "20260101-1"),
            ("20260102-2", "20260102-2"),
            ("demo", "20260103-1"),
            ("demo~0", "20260103-1"),
            ("demo~2", "20260101-1"),
            ("other", "20260102-1"),
        ] {
            assert_eq!(kept.find(name).unwrap().id, id, "{name}");
        }
        for (name, words) in [
            ("20260102", "several runs begin with 20260102"),
            ("20260104", "did not come to its end"),
            ("demo~3", "only 3 of demo are kept"),
            ("dem", "did you mean `demo`?"),
            ("", "there is no run ``"),
            ("~1", "there is no run `~1`"),
        ] {
            let error = kept.find(name).map(|run| run.id.clone()).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("  help: "), "{name}: {error}");
        }
    }

    #[test]
    fn where_nothing_is_kept_that_is_said() {
        let error = kept(&[], &[]).find("demo").map(|run| run.id.clone()).unwrap_err().to_string();
        assert!(error.contains("is kept yet") && error.contains("artifacts/runs"), "{error}");
    }

    #[test]
    fn a_branch_is_named_in_full_or_as_far_as_it_is_the_only_one() {
        let branches = [
            RecordedBranch::for_test("co-reg.seed0", "Co-Reg"),
            RecordedBranch::for_test("co-reg.seed1", "Co-Reg"),
            RecordedBranch::for_test("without-proto.seed0", "w/o proto"),
            RecordedBranch::for_test("without-proto-too.seed0", "w/o proto too"),
        ];
        let chosen = |named| choose_branch("id", &branches, named).map(|branch| branch.name.clone());
        for (named, name) in [
            ("co-reg.seed1", "co-reg.seed1"),
            ("without-proto", "without-proto.seed0"),
            ("w/o proto", "without-proto.seed0"),
            ("without-proto-", "without-proto-too.seed0"),
        ] {
            assert_eq!(chosen(Some(named)).unwrap(), name, "{named}");
        }
        for (named, words) in [
            (None, "run id has 4 branches"),
            (Some("co-reg"), "run id has 2 branches like `co-reg`"),
            (Some("Co-Reg"), "run id has 2 branches like `Co-Reg`"),
            (Some("rc"), "run id has no branch `rc`"),
        ] {
            let error = chosen(named).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("write id:co-reg.seed0"), "{error}");
        }
        let plain = [RecordedBranch::for_test("", "")];
        assert_eq!(choose_branch("id", &plain, None).unwrap().name, "");
        let error = choose_branch("id", &plain, Some("rc")).map(drop).unwrap_err().to_string();
        assert!(error.contains("plain run"), "{error}");
    }
}
