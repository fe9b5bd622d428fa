//! `coreg show`: the first rows of any table, or those of some images.

mod cells;
mod excerpt;
mod nearest;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use glob::Pattern;
use pipeline::error::{Error, OrFail, Result};

use crate::runtime::home;
use crate::runtime::panics::guarded;
use excerpt::Excerpt;

#[derive(Args)]
pub(super) struct ShowArgs {
    /// `DATASET`, `DATASET/STAGE` or a file.
    what: PathBuf,
    /// Most rows of each table.
    #[arg(long, default_value_t = 10)]
    rows: usize,
    /// Only the rows of this image, in every table that has an id; a pattern in quotes, 'train/00*', means several
    /// images. May be given several times.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Print classes as numbers and lists in full, as the tables hold them.
    #[arg(long)]
    numbers: bool,
}

pub(super) fn show(args: ShowArgs, artifacts: &Path) -> Result<()> {
    let ShowArgs { what, rows, id, numbers } = args;
    let what = home::expand(&what)?;
    let path = if what.exists() { what.clone() } else { artifacts.join(&what) };
    let mut files = Vec::new();
    find(&path, &mut files)?;
    if files.is_empty() {
        return Err(nearest::instead_of(&what, &path, artifacts));
    }
    let mut wanted = Wanted::new(id);
    for file in files {
        let cannot = || Error::new("cannot read the table").at(&file);
        let excerpt = guarded(|| Excerpt::read(&file, rows, &mut wanted, numbers)).or_fail(cannot)??;
        match excerpt {
            Some(Excerpt { count, chosen: None, table }) => {
                out!("{} ({count} rows)\n{table}\n", file.display());
            }
            Some(Excerpt { count, chosen: Some(chosen), table }) => {
                out!("{} ({chosen} of {count} rows)\n{table}\n", file.display());
            }
            None => {}
        }
    }
    wanted.all_were_found().map_err(|error| error.at(&path))
}

/// The images that are asked for.
struct Wanted(Vec<WantedImage>);

/// An id, or a pattern of ids.
struct WantedImage {
    id: String,
    /// Not every id is a pattern.
    pattern: Option<Pattern>,
    found: bool,
}

impl Wanted {
    fn new(ids: Vec<String>) -> Self {
        let image = |id: String| WantedImage { pattern: Pattern::new(&id).ok(), id, found: false };
        Self(ids.into_iter().map(image).collect())
    }

    /// Whether none is asked for by name: all are shown.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an image is asked for, by its id as it is written or by a pattern.
    fn asks_for(&mut self, id: &str) -> bool {
        let mut asked = false;
        for image in &mut self.0 {
            let is_meant =
                image.id == id || image.pattern.as_ref().is_some_and(|pattern| pattern.matches(id));
            image.found |= is_meant;
            asked |= is_meant;
        }
        asked
    }

    fn all_were_found(&self) -> Result<()> {
        match self.0.iter().find(|image| !image.found) {
            None => Ok(()),
            Some(image) => Err(Error::new(format!("no image is called `{}`", image.id)).help(
                "ids are written as in the tables: coreg show DATASET/download; a pattern in quotes means several: \
                 --id 'train/00*'",
            )),
        }
    }
}

/// All Parquet files at or below `path`, sorted.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        let entries = fs::read_dir(path).or_fail(|| Error::new("cannot list the folder").at(path))?;
        let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        entries.sort();
        for entry in
            entries.into_iter().filter(|e| e.is_dir() || e.extension().is_some_and(|e| e == "parquet"))
        {
            find(&entry, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_meant_as_it_is_written_or_as_a_pattern_and_one_that_is_nowhere_is_said() {
        let mut wanted = Wanted::new(["train/0*", "a[1].png", "odd[", "gone"].map(str::to_owned).into());
        for (id, asked) in [
            ("train/0001", true),
            ("train/0/1", true),
            ("train/1", false),
            ("a[1].png", true),
            ("a1.png", true),
            ("odd[", true),
        ] {
            assert_eq!(wanted.asks_for(id), asked, "{id}");
        }
        let error = wanted.all_were_found().map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("`gone`") && error.contains("help: ")));
        assert!(Wanted::new(Vec::new()).is_empty() && Wanted::new(Vec::new()).all_were_found().is_ok());
    }
}
