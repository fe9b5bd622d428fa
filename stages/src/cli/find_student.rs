//! Where a student is that was named on the command line.

use std::fs;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};

/// The folder of a student: as it was named, or under `artifacts`. Of a data set it is Co-Reg's, or else the one student
/// that is there beside warm-up's.
pub(super) fn find_student(named: &Path, artifacts: &Path) -> Result<PathBuf> {
    let is_student = |folder: &Path| folder.join("student.json").is_file();
    for folder in [named.to_owned(), artifacts.join(named)] {
        if is_student(&folder) {
            return Ok(folder);
        }
        // Of a data set: the stages that hold a student. Co-Reg's is what most mean, and warm-up's is a part of it.
        let entries =
            fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let mut students: Vec<PathBuf> = entries.filter(|path| is_student(path)).collect();
        students.sort();
        let of = |name: &str| students.iter().find(|path| path.ends_with(name)).cloned();
        if let Some(student) = of("co-reg") {
            return Ok(student);
        }
        students.retain(|path| !path.ends_with("warm-up"));
        match &students[..] {
            [] => {}
            [only] => return Ok(only.clone()),
            several => {
                let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
                return Err(Error::new("several students are there")
                    .at(folder)
                    .help(format!("name one of {}", names.join(", "))));
            }
        }
    }
    Err(Error::new("there is no student").at(named).help(
        "name a data set that a student was trained on (demo), one of its stages (demo/co-reg), or a folder with student.json",
    ))
}
