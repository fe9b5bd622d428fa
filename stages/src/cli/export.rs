//! `coreg export`: a student as a folder that other programs use without coreg.

use std::path::{Component, Path, PathBuf};

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use pipeline::error::Result;
use pipeline::event::{Event, Listener};

use super::console::Console;
use super::find_student::{find_student, in_words};
use super::predict::{IMPORTED, refuse_kept_results};
use crate::artifacts::student::Student;
use crate::export::{Contents, Options, Precision, Written, student as export};
use crate::runtime::home;

#[derive(Args)]
pub(super) struct StudentArgs {
    /// The student: a data set of which one was trained (`demo`), a stage of it (`demo/co-reg`), or a folder with
    /// student.json and student.safetensors.
    student: PathBuf,
    /// The folder to write; without it `exports/NAME`, beside you.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// All files, or those of one kind alone; a README comes with each.
    #[arg(long, value_enum, default_value = "folder")]
    format: Format,
    /// One of the student's networks alone, from 1; it is half as large, and nearly as good.
    #[arg(long, value_name = "NUMBER")]
    network: Option<usize>,
    /// How weights are stored: f16 takes half the room. What is computed with them is f32.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Stored,
    /// Write into a folder that has something else in it: files that this export writes are replaced there, all else
    /// stays.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// All files.
    Folder,
    /// student.onnx, which takes images of any size.
    Onnx,
    /// model.safetensors, config.json, and model.py, which makes a PyTorch module of them.
    Safetensors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stored {
    F32,
    F16,
}

pub(super) fn student(args: StudentArgs, artifacts: &Path) -> Result<()> {
    let StudentArgs { student, output, format, network, precision, force } = args;
    let named = home::expand(&student)?;
    let found = find_student(&named, artifacts)?;
    let student = Student::load(&found)?;
    let console = Console::new();
    let say = |text: String| console.on(&Event::Note { node: "export".to_owned(), text });
    say(in_words(&found, &student, network));
    let name = name(&named, &found, artifacts);
    let folder = match output {
        Some(output) => home::expand(&output)?,
        None => Path::new("exports").join(&name),
    };
    refuse_kept_results(&folder, artifacts)?;
    let contents = match format {
        Format::Folder => Contents::Folder,
        Format::Onnx => Contents::Onnx,
        Format::Safetensors => Contents::Safetensors,
    };
    let precision = match precision {
        Stored::F32 => Precision::F32,
        Stored::F16 => Precision::F16,
    };
    // As predicting does.
    let options = Options { contents, network, precision, shrink: IMPORTED };
    let Written { files, left } = export(&student, &name, options, &folder, force)?;
    if !left.is_empty() {
        say(format!(
            "{} in {} stay as they are, and are not of this export",
            left.join(", "),
            folder.display()
        ));
    }
    for (name, bytes) in files {
        out!("{:>10}  {}", ByteSize(bytes).display().si().to_string(), folder.join(name).display());
    }
    Ok(())
}

/// What an export is called: as the student was named under `artifacts`, else as its folder is.
fn name(named: &Path, found: &Path, artifacts: &Path) -> String {
    let below = named.strip_prefix(artifacts).unwrap_or(named);
    let words = |path: &Path| -> Vec<String> {
        let names = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        });
        names.collect()
    };
    let own = if found.starts_with(artifacts) && below.is_relative() {
        words(below).join("-")
    } else {
        // `.` and `..` are names of other places.
        let whole = named.canonicalize().unwrap_or_else(|_| named.to_owned());
        words(&whole).pop().unwrap_or_default()
    };
    if own.is_empty() { "student".to_owned() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_called_as_its_student_was_named() {
        let called = |named: &str, found: &str, artifacts: &str| {
            name(Path::new(named), Path::new(found), Path::new(artifacts))
        };
        assert_eq!(called("demo", "artifacts/demo/co-reg", "artifacts"), "demo");
        assert_eq!(called("demo/co-reg", "artifacts/demo/co-reg", "artifacts"), "demo-co-reg");
        assert_eq!(called("artifacts/demo", "artifacts/demo/co-reg", "artifacts"), "demo");
        assert_eq!(called("/a/demo/rc", "/a/demo/rc", "/a"), "demo-rc");
        assert_eq!(called("/nowhere/mine", "/nowhere/mine", "artifacts"), "mine");
        assert_eq!(called("artifacts", "artifacts/co-reg", "artifacts"), "student");
    }
}
