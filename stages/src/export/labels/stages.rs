//! Where the results of a data set lie in the view.

use std::fs;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};

use crate::export::which_student::{Students, is_student};

/// The stages of a data set whose labels are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages {
    /// The data set's folder: `artifacts/demo`.
    pub data_set: PathBuf,
    /// The training whose labels and student count; none where there is none yet.
    pub method: Option<PathBuf>,
    /// Whether `evaluate` is there and is of that student.
    pub evaluated: bool,
}

impl Stages {
    /// Those of a data set, or of the data set around a stage with a student: as it was named, or under `artifacts`.
    ///
    /// # Errors
    /// No such data set; several students of which none is plainly meant, or the one that was evaluated last is gone.
    pub fn find(named: &Path, artifacts: &Path) -> Result<Self> {
        for folder in [named.to_owned(), artifacts.join(named)] {
            if has_images(&folder) {
                return Self::of(folder, None);
            }
            if let Some(data_set) = folder.parent().filter(|around| has_images(around))
                && is_student(&folder)
            {
                return Self::of(data_set.to_owned(), Some(folder.clone()));
            }
        }
        Err(Error::new("there is no data set").at(named).help(
            "name one that the pipeline has run on, as its folder under `artifacts` is called (demo), or one of its \
             stages with a student (demo/co-reg)",
        ))
    }

    fn of(data_set: PathBuf, named: Option<PathBuf>) -> Result<Self> {
        let students = Students::of(&data_set);
        let method = match named {
            None => students.meant()?,
            named => named,
        };
        let evaluated = students.evaluated(method.as_deref());
        Ok(Self { data_set, method, evaluated })
    }

    /// What the data set is called: its folder's name.
    pub fn name(&self) -> String {
        let real = fs::canonicalize(&self.data_set).ok();
        let name = self.data_set.file_name().or_else(|| real.as_deref()?.file_name());
        name.map_or_else(|| "images".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}

fn has_images(folder: &Path) -> bool {
    folder.join("download").join("images.parquet").is_file()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A view of a data set with these stages, each with a student.
    fn view(stages: &[&str]) -> tempfile::TempDir {
        let artifacts = tempfile::tempdir().unwrap();
        let put = |file: &str| {
            let path = artifacts.path().join("demo").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        put("download/images.parquet");
        put("label/labels.parquet");
        stages.iter().for_each(|stage| put(&format!("{stage}/student.json")));
        artifacts
    }

    fn method(stages: &[&str], named: &str) -> Result<Option<String>, String> {
        let artifacts = view(stages);
        let found = Stages::find(Path::new(named), artifacts.path()).map_err(|error| error.to_string())?;
        assert!(found.data_set.ends_with("demo") && found.name() == "demo" && !found.evaluated);
        Ok(found.method.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()))
    }

    #[test]
    fn the_student_that_is_meant_is_named_or_co_regs_or_the_only_one() {
        let some = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(method(&["co-reg", "distill", "warm-up"], "demo"), some("co-reg"));
        assert_eq!(method(&["co-reg", "distill"], "demo/distill"), some("distill"));
        assert_eq!(method(&["rc", "warm-up"], "demo"), some("rc"));
        assert_eq!(method(&["warm-up"], "demo"), Ok(None));
        assert_eq!(method(&[], "demo"), Ok(None));
        let several = method(&["rc", "cc"], "demo").unwrap_err();
        assert!(several.contains("several students") && several.contains("demo/rc"), "{several}");
        for nothing in ["circles", "demo/label", "demo/rc"] {
            let error = method(&["co-reg"], nothing).unwrap_err();
            assert!(error.contains("there is no data set") && error.contains(nothing), "{error}");
        }
    }
}
