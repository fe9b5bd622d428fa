//! `coreg diff`: two or more runs side by side, on the terminal and as a page.

mod branches;
mod gather;
mod reads;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use pipeline::error::{Error, OrFail, Result};
use pipeline::event::Progress;
use pipeline::fingerprint::Fingerprint;
use pipeline::stage::{Cancel, Context, Machine};
use pipeline::store::{Peek, Record, Store};

use super::runs::{KeptRuns, NamedRun};
use super::{expanded, look_at_store};
use crate::artifacts::images::Images;
use crate::report::compare::{RunFacts, no_difference, page, same_images};
pub(super) use branches::page_of_branches;
use gather::facts;
use reads::Read;
pub(super) use terminal::aligned;

#[derive(Args)]
pub(super) struct DiffArgs {
    /// Two or more runs, of which the first is compared with each other one: the beginning of a run's id (`coreg runs`
    /// lists them), the newest of a data set (`demo`), the one before it (`demo~1`); of a run with several branches
    /// one of them (`demo:without-proto.seed0`).
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<String>,
    /// Write the page here, instead of below `compare` among the artifacts.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn diff(args: DiffArgs, artifacts: &Path) -> Result<()> {
    let store = look_at_store(artifacts)?;
    let _in_use = store.in_use(&Cancel::default())?;
    let kept = KeptRuns::in_artifacts(artifacts)?;
    let named: Vec<NamedRun> = args.runs.iter().map(|name| kept.choose(name)).collect::<Result<_>>()?;
    let output = expanded(args.output)?;
    let mut runs: Vec<RunFacts> =
        named.iter().enumerate().map(|(at, run)| of_run(at, run, &store)).collect::<Result<_>>()?;
    reads::tell(&mut runs, &named.iter().map(|run| read(run, &store)).collect::<Vec<_>>());
    if runs.windows(2).any(|pair| !same_images(&pair[0], &pair[1])) {
        // Which images both have, their bytes say.
        for (run, named) in runs.iter_mut().zip(&named) {
            if let Some(images) = images(named, &store)? {
                gather::identify(&mut run.predictions, &images)?;
            }
        }
    }
    terminal::print(&runs)?;
    if output.is_none() && no_difference(&runs) {
        return Ok(());
    }
    let path = match output {
        Some(output) => output,
        None => default_path(&named, artifacts)?,
    };
    let images = named.first().map(|run| images(run, &store)).transpose()?.flatten();
    let context = Context::new(Machine::default(), Progress::silent(), Cancel::default(), PathBuf::new());
    let names: Vec<&str> = runs.iter().map(|run| run.title.as_str()).collect();
    let pictures = images.as_ref().map(|images| (images, &context));
    let html = page("Runs side by side", &names.join(" · "), &runs, &[], pictures)?;
    write_page(&html, &path).map_err(|error| error.help("name another place with --output FILE.html"))?;
    out!("\nPage: {}", path.display());
    Ok(())
}

/// What is compared of a run; `at` is its place among those that were named.
fn of_run(at: usize, named: &NamedRun, store: &Store) -> Result<RunFacts> {
    let NamedRun { run, branch } = named;
    let find = |node: &str| named.record(node, store);
    let identity = |fingerprint: &Fingerprint| match store.record(fingerprint) {
        Ok(Some(record)) => record.digest.to_string(),
        // A result that is gone is known by what it was made from.
        _ => fingerprint.to_string(),
    };
    let stages = branch
        .stages
        .iter()
        .filter_map(|stage| Some((stage.stage.clone(), identity(run.result(&stage.node)?))));
    Ok(RunFacts {
        name: letter(at),
        title: named.id(':'),
        data_set: run.data_set.clone(),
        images: run.result(&branch.images).map(identity).unwrap_or_default(),
        settings: run.head()?.settings(branch),
        classes: gather::classes(branch, store, &find)?,
        stages: stages.collect(),
        ..facts(branch, store, &find)?
    })
}

/// What a run read outside the store, as far as its stages' records are kept.
fn read(named: &NamedRun, store: &Store) -> Vec<Read> {
    let stages = named.branch.stages.iter();
    let records = stages.filter_map(|stage| store.record(named.run.result(&stage.node)?).ok().flatten());
    records.flat_map(|record| reads::of_stage(&record.manifest)).collect()
}

impl NamedRun<'_> {
    /// The record of a node's result; none where the run left the node out.
    ///
    /// # Errors
    /// A result that is no longer kept, with what makes it again.
    fn record(&self, node: &str, store: &Store) -> Result<Option<Record>> {
        let Some(fingerprint) = self.run.result(node) else { return Ok(None) };
        let fault = match store.peek(fingerprint)? {
            Peek::Kept(record) => return Ok(Some(*record)),
            Peek::Nothing => "is no longer kept".to_owned(),
            Peek::Damaged(what) => format!("is damaged ({what})"),
        };
        let again = self.run.head()?.typed();
        Err(Error::new(format!("the result of stage {node} of run {} {fault}", self.run.id))
            .help(format!("make it again, then compare with the run that this makes: {again}")))
    }
}

/// The images of a run; none where they are no longer kept.
fn images(named: &NamedRun, store: &Store) -> Result<Option<Images>> {
    let Some(fingerprint) = named.run.result(&named.branch.images) else { return Ok(None) };
    match store.peek(fingerprint)? {
        Peek::Kept(record) => store.load(&record).map(Some),
        Peek::Nothing | Peek::Damaged(_) => Ok(None),
    }
}

/// `A`, `B`, …, and numbers when letters are at their end.
fn letter(at: usize) -> String {
    match u8::try_from(at) {
        Ok(at @ 0..26) => char::from(b'A' + at).to_string(),
        _ => (at + 1).to_string(),
    }
}

/// `compare/A--B.html`, of the runs' ids.
fn default_path(named: &[NamedRun], artifacts: &Path) -> Result<PathBuf> {
    /// What file systems allow of a name.
    const LONGEST: usize = 255;
    let ids: Vec<String> = named.iter().map(|run| run.id('.')).collect();
    let name = format!("{}.html", ids.join("--"));
    if name.len() > LONGEST {
        return Err(Error::new("the runs' ids together are too long for a file's name")
            .help("name the page with --output FILE.html"));
    }
    Ok(artifacts.join("compare").join(name))
}

/// Writes a page, and makes its folder.
///
/// # Errors
/// A place that cannot be written.
pub(super) fn write_page(html: &str, path: &Path) -> Result<()> {
    let cannot = || Error::new("cannot write the page").at(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).or_fail(cannot)?;
    }
    fs::write(path, html).or_fail(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_lettered_as_far_as_letters_go() {
        assert_eq!([0, 1, 25, 26, 300].map(letter), ["A", "B", "Z", "27", "301"]);
    }
}
