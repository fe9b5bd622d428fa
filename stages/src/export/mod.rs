//! What leaves coreg for other programs: students, and in [`labels`] the labels.
//!
//! A student becomes a folder that stands alone: an ONNX file that takes images of any size as they were decoded, the
//! weights as safetensors with a description after timm's manner and a PyTorch module that reads both, and a README that
//! says how to use them. Which student is meant [`which_student`] finds out.

mod folder;
pub mod labels;
mod onnx;
mod precision;
mod readme;
mod timm;
pub mod which_student;

use std::path::Path;

use pipeline::error::{Error, Result};

pub use self::precision::Precision;
use crate::artifacts::student::Student;
use crate::vision::{StrongViews, Views};

/// The ONNX file of an export.
const ONNX: &str = "student.onnx";
/// The weights of an export.
const WEIGHTS: &str = "model.safetensors";
/// What the weights are of.
const CONFIG: &str = "config.json";
/// What makes a PyTorch module of both.
const MODEL: &str = "model.py";
/// What says how an export is used.
const README: &str = "README.md";

/// Which files an export has beside its README.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// All.
    #[default]
    Folder,
    /// `student.onnx`.
    Onnx,
    /// `model.safetensors`, `config.json` and `model.py`.
    Safetensors,
}

/// An export that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The names of its files, with their lengths in bytes.
    pub files: Vec<(&'static str, u64)>,
    /// The names of files that are called as an export's are and that it did not replace.
    pub left: Vec<&'static str>,
}

/// What is exported of a student, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which files.
    pub contents: Contents,
    /// One network alone, from 1; otherwise all together.
    pub network: Option<usize>,
    /// In which type weights are stored.
    pub precision: Precision,
    /// The ONNX file makes images smaller first whose shorter side has more pixels than this, as predicting does; 0 for
    /// none.
    pub shrink: usize,
}

/// Writes a student, called `name` in its README, into `folder`. A folder that is not empty is refused unless it is an
/// earlier export all of whose files are replaced, or `force` is given; other files than those of this export stay then.
/// The same student always gives the same bytes.
///
/// # Errors
/// A student that is not whole, a network that it does not have, a folder that is refused, a disk that is full or not
/// writable: then the folder is as it was.
pub fn student(
    student: &Student,
    name: &str,
    options: Options,
    folder: &Path,
    force: bool,
) -> Result<Written> {
    let files = files(student, name, options)?;
    let left = folder::write(folder, force, &files)?;
    Ok(Written { files: files.iter().map(|(name, bytes)| (*name, bytes.len() as u64)).collect(), left })
}

/// The files of an export.
fn files(student: &Student, name: &str, options: Options) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let Options { contents, network, precision, shrink } = options;
    check(student)?;
    let student = &chosen(student, network)?;
    let mut files = Vec::new();
    if contents != Contents::Safetensors {
        files.push((ONNX, onnx::file(student, shrink, precision)?));
    }
    if contents != Contents::Onnx {
        files.push((WEIGHTS, timm::weights(student, precision)?));
        files.push((CONFIG, timm::config(student, shrink)?));
        files.push((MODEL, timm::MODULE.as_bytes().to_vec()));
    }
    files.push((README, readme::readme(student, name, options).into_bytes()));
    Ok(files)
}

/// Refuses a student whose description contradicts itself.
fn check(student: &Student) -> Result<()> {
    let (input, architecture) = (&student.input, &student.architecture);
    architecture.validate()?;
    // They know which normalisations are possible.
    Views::new(input.channels, &input.mean, &input.std, false, StrongViews::None)?;
    let described = (input.size, input.channels, student.classes.len());
    let built = (architecture.input_size, architecture.input_channels, architecture.classes);
    if described != built {
        return Err(Error::new(format!(
            "the student's description is of {described:?}, its network of {built:?} (size, channels, classes)"
        ))
        .help("student.json was changed or damaged: take it from the run again"));
    }
    Ok(())
}

/// The student with all of its networks, or with number `only` alone.
fn chosen(student: &Student, only: Option<usize>) -> Result<Student> {
    let mut chosen = student.clone();
    if let Some(number) = only {
        let count = student.networks.len();
        let network = number.checked_sub(1).and_then(|place| student.networks.get(place));
        let network = network.ok_or_else(|| {
            Error::new(format!("the student has no network {number}"))
                .help(format!("it has {count}, numbered from 1; without a number all predict together"))
        })?;
        chosen.networks = vec![network.clone()];
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
