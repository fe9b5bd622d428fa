//! Where a student is that was named on the command line.

use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};

use crate::artifacts::student::Student;
use crate::export::which_student::{Students, is_student};

/// The folder of a student: as it was named, or under `artifacts`. Of a data set it is the one that its newest evaluation
/// judged.
///
/// # Errors
/// No student there, several of which none is plainly meant, or the one that is meant is gone.
pub(super) fn find_student(named: &Path, artifacts: &Path) -> Result<PathBuf> {
    let mut halves = None;
    for folder in [named.to_owned(), artifacts.join(named)] {
        if is_student(&folder) {
            return Ok(folder);
        }
        let students = Students::of(&folder);
        if let Some(student) = students.meant()? {
            return Ok(student);
        }
        halves = halves.or(students.others());
    }
    let error = Error::new("there is no student").at(named);
    Err(match halves {
        Some(half) => error
            .because("the training has not come to its end")
            .help(format!("run the pipeline again, or name what is there of it: {half}")),
        None => error.help(
            "name a data set that a student was trained on (demo), one of its stages (demo/co-reg), or a folder with \
             student.json",
        ),
    })
}

/// Which student was found, in words; `network` is the number of one of its networks that is taken alone.
pub(super) fn in_words(folder: &Path, student: &Student, network: Option<usize>) -> String {
    let networks = match (network, student.networks.len()) {
        (Some(number), count) => format!("network {number} of {count}"),
        (None, 1) => "1 network".to_owned(),
        (None, count) => format!("{count} networks"),
    };
    format!("student {}: {}, {networks}", folder.display(), student.method)
}
