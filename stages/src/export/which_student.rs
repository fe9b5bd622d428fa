//! Which of a data set's students is meant where none is named: the one that the newest evaluation judged. Predicting and
//! exporting, of students and of labels, all ask here.
//!
//! It sees folders of the view, and the records of the store that their links lead to.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};
use pipeline::fingerprint::{Digest, Named};
use pipeline::store::Store;

/// Part of the training of Co-Reg, whose students nobody means while another is there.
const FIRST_HALF: &str = "warm-up";

/// What the newest evaluation judged.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judged {
    /// Nobody can tell: there is no evaluation, or the store does not know it.
    Unknown,
    /// The student in this folder.
    Student(PathBuf),
    /// An earlier student of this folder, where another one is now.
    Earlier(PathBuf),
    /// A student that was in this folder, and is gone.
    Gone(PathBuf),
}

/// The students of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Students {
    data_set: PathBuf,
    /// Their folders, sorted.
    pub folders: Vec<PathBuf>,
    judged: Judged,
}

/// Whether a folder holds a student.
pub fn is_student(folder: &Path) -> bool {
    folder.join("student.json").is_file()
}

impl Students {
    /// Those in a data set's folder of the view, which need not be there.
    pub fn of(data_set: &Path) -> Self {
        let entries = fs::read_dir(data_set).into_iter().flatten();
        let mut folders: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_student(path)).collect();
        folders.sort();
        let judged = judged(data_set, &folders);
        Self { data_set: data_set.to_owned(), folders, judged }
    }

    /// The student that is meant: the one that the newest evaluation judged; where nobody can tell, Co-Reg's, or the only
    /// one beside warm-up's. None where there is none but warm-up's.
    ///
    /// # Errors
    /// The one that was judged is gone; several of which none is plainly meant.
    pub fn meant(&self) -> Result<Option<PathBuf>> {
        match &self.judged {
            Judged::Student(folder) | Judged::Earlier(folder) => return Ok(Some(folder.clone())),
            Judged::Gone(folder) => {
                return Err(Error::new("the student that was evaluated last is gone").at(folder).help(
                    format!(
                        "run the pipeline again, which makes it anew{}",
                        self.others().map(|others| format!("; or name {others}")).unwrap_or_default()
                    ),
                ));
            }
            Judged::Unknown => {}
        }
        if let Some(student) = self.folders.iter().find(|path| path.ends_with("co-reg")) {
            return Ok(Some(student.clone()));
        }
        let whole: Vec<&PathBuf> = self.folders.iter().filter(|path| !path.ends_with(FIRST_HALF)).collect();
        match whole[..] {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            _ => Err(Error::new("several students are there")
                .at(&self.data_set)
                .help(format!("name {}", self.others().unwrap_or_default()))),
        }
    }

    /// Whether the newest evaluation is of the student in this folder, as far as can be told.
    pub fn evaluated(&self, student: Option<&Path>) -> bool {
        let may_be = match &self.judged {
            Judged::Unknown => true,
            Judged::Student(judged) => student == Some(judged.as_path()),
            Judged::Earlier(_) | Judged::Gone(_) => false,
        };
        may_be && self.data_set.join("evaluate").is_dir()
    }

    /// The students that can be named, in words; none where there is none.
    pub fn others(&self) -> Option<String> {
        let names: Vec<String> = self.folders.iter().map(|path| path.display().to_string()).collect();
        match &names[..] {
            [] => None,
            [only] => Some(only.clone()),
            several => Some(format!("one of {}", several.join(", "))),
        }
    }
}

/// What the newest `evaluate` judged, as far as the store that the view leads to tells. Beside it there may be students of
/// earlier runs and of baselines.
fn judged(data_set: &Path, folders: &[PathBuf]) -> Judged {
    let Some(inputs) = inputs_of_evaluate(data_set) else { return Judged::Unknown };
    if let Some(student) =
        folders.iter().find(|folder| inputs.iter().any(|input| holds(folder, &input.digest)))
    {
        return Judged::Student(student.clone());
    }
    // It takes images and a student, in this order.
    let [_, .., student] = &inputs[..] else { return Judged::Unknown };
    let folder = data_set.join(&student.name);
    if is_student(&folder) { Judged::Earlier(folder) } else { Judged::Gone(folder) }
}

/// What the newest `evaluate` was made of.
fn inputs_of_evaluate(data_set: &Path) -> Option<Vec<Named>> {
    let evaluated = data_set.join("evaluate");
    // store/objects/DIGEST
    let object = fs::canonicalize(&evaluated).ok()?;
    let root = object.parent()?.parent()?;
    let store = Store::is_at(root).then(|| Store::look(root).ok())??;
    // The folder may have been named as `.`, or through a link.
    let data_set = fs::canonicalize(data_set).ok()?;
    let fingerprint = store.head(data_set.file_name()?.to_str()?, "evaluate").ok()??;
    let record = store.record(&fingerprint).ok()??;
    holds(&evaluated, &record.digest).then_some(record.manifest.inputs)
}

/// Whether a link of the view leads to the object of this digest.
fn holds(link: &Path, digest: &Digest) -> bool {
    fs::canonicalize(link).is_ok_and(|real| real.file_name() == Some(OsStr::new(&digest.to_string())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The students of these stages, and what the newest evaluation is said to have judged.
    fn students(stages: &[&str], judged: Judged) -> Students {
        let data_set = PathBuf::from("artifacts/demo");
        let folders = stages.iter().map(|stage| data_set.join(stage)).collect();
        Students { data_set, folders, judged }
    }

    fn meant(stages: &[&str], judged: Judged) -> Result<Option<String>, String> {
        let meant = students(stages, judged).meant().map_err(|error| error.to_string())?;
        Ok(meant.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()))
    }

    fn folder(stage: &str) -> PathBuf {
        Path::new("artifacts/demo").join(stage)
    }

    #[test]
    fn the_student_that_was_evaluated_last_is_meant() {
        let some = |name: &str| Ok(Some(name.to_owned()));
        for stage in ["rc", "warm-up", "distill"] {
            let all = ["co-reg", "distill", "rc", "warm-up"];
            assert_eq!(meant(&all, Judged::Student(folder(stage))), some(stage));
            assert_eq!(meant(&all, Judged::Earlier(folder(stage))), some(stage));
        }
    }

    #[test]
    fn in_the_place_of_a_student_that_is_gone_no_other_is_taken() {
        let error = meant(&["distill", "warm-up"], Judged::Gone(folder("co-reg"))).unwrap_err();
        for word in ["is gone", "artifacts/demo/co-reg", "run the pipeline again", "artifacts/demo/distill"] {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
        let error = meant(&[], Judged::Gone(folder("rc"))).unwrap_err();
        assert!(error.ends_with("makes it anew"), "{error}");
    }

    #[test]
    fn where_nobody_can_tell_co_regs_or_the_only_student_is_meant() {
        let some = |name: &str| Ok(Some(name.to_owned()));
        let unknown = |stages: &[&str]| meant(stages, Judged::Unknown);
        assert_eq!(unknown(&["co-reg", "distill", "warm-up"]), some("co-reg"));
        assert_eq!(unknown(&["rc", "warm-up"]), some("rc"));
        assert_eq!(unknown(&["warm-up"]), Ok(None));
        assert_eq!(unknown(&[]), Ok(None));
        let several = unknown(&["cc", "rc"]).unwrap_err();
        assert!(several.contains("several students") && several.contains("demo/rc"), "{several}");
    }

    #[test]
    fn an_evaluation_is_of_the_student_that_it_judged() {
        let view = tempfile::tempdir().unwrap();
        fs::create_dir(view.path().join("evaluate")).unwrap();
        let [rc, cc] = ["rc", "cc"].map(|stage| view.path().join(stage));
        let of = |judged: Judged| {
            let students = Students { data_set: view.path().to_owned(), folders: Vec::new(), judged };
            [&rc, &cc].map(|folder| students.evaluated(Some(folder)))
        };
        assert_eq!(of(Judged::Unknown), [true, true]);
        assert_eq!(of(Judged::Student(rc.clone())), [true, false]);
        assert_eq!(of(Judged::Earlier(rc.clone())), [false, false]);
        assert_eq!(of(Judged::Gone(rc.clone())), [false, false]);
    }
}
