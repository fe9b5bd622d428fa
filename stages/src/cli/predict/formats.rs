//! Predictions as tables for programs, and as lines for people.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::Float32Array;
use clap::ValueEnum;
use pipeline::error::{Error, OrFail, Result};
use serde_json::json;

use crate::artifacts::table::Table;

/// What is known of an image.
pub(super) struct Prediction {
    /// What it is called.
    pub(super) id: String,
    /// The most probable class.
    pub(super) class: usize,
    /// The probability of each class.
    pub(super) probs: Vec<f32>,
}

impl Prediction {
    fn confidence(&self) -> f32 {
        self.probs[self.class]
    }
}

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table with a row an image.
    Csv,
    /// A JSON object a line and image.
    Jsonl,
    /// A table for programs, with the probabilities of an image in one list.
    Parquet,
}

impl Format {
    /// The one that the ending of a name says.
    ///
    /// # Errors
    /// It says none.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(Error::new("the ending of the output's name says no format")
                .at(path)
                .help("end it in .csv, .jsonl or .parquet, or say which with --format")),
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(self, predictions: &[Prediction], classes: &[String], path: &Path) -> Result<()> {
        let cannot = || Error::new("cannot write the predictions").at(path);
        if self == Self::Parquet {
            let probs = predictions.iter().flat_map(|of| of.probs.iter().copied()).collect::<Vec<f32>>();
            return Table::new()
                .strings("id", predictions.iter().map(|of| &of.id))
                .strings("prediction", predictions.iter().map(|of| &classes[of.class]))
                .f32("confidence", predictions.iter().map(Prediction::confidence))
                .rows("probs", Arc::new(Float32Array::from(probs)), classes.len())
                .metadata("classes", serde_json::to_string(classes).or_fail(cannot)?)
                .write(path);
        }
        let mut file = BufWriter::new(File::create(path).or_fail(cannot)?);
        self.write_text(predictions, classes, &mut file).map_err(|error| error.at(path))?;
        file.flush().or_fail(cannot)
    }

    /// Writes to standard output. A reader that has seen enough is no error.
    ///
    /// # Errors
    /// It cannot be written, or the format is none of text.
    pub(super) fn print(self, predictions: &[Prediction], classes: &[String]) -> Result<()> {
        let mut out = BufWriter::new(Patient(io::stdout().lock()));
        self.write_text(predictions, classes, &mut out)?;
        out.flush().or_fail(|| Error::new("cannot write the predictions"))
    }

    fn write_text(self, predictions: &[Prediction], classes: &[String], out: &mut dyn Write) -> Result<()> {
        let cannot = || Error::new("cannot write the predictions");
        match self {
            Self::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                let probabilities = classes.iter().map(|class| format!("p({class})"));
                let first = ["id", "prediction", "confidence"].map(str::to_owned);
                csv.write_record(first.into_iter().chain(probabilities)).or_fail(cannot)?;
                for of in predictions {
                    let first = [of.id.clone(), classes[of.class].clone(), of.confidence().to_string()];
                    csv.write_record(first.into_iter().chain(of.probs.iter().map(f32::to_string)))
                        .or_fail(cannot)?;
                }
                csv.flush().or_fail(cannot)
            }
            Self::Jsonl => {
                for of in predictions {
                    let probs: serde_json::Map<String, serde_json::Value> =
                        classes.iter().zip(&of.probs).map(|(class, p)| (class.clone(), json!(p))).collect();
                    let (class, confidence) = (&classes[of.class], of.confidence());
                    let line =
                        json!({ "id": of.id, "prediction": class, "confidence": confidence, "probs": probs });
                    writeln!(out, "{line}").or_fail(cannot)?;
                }
                Ok(())
            }
            Self::Parquet => {
                Err(cannot().because("Parquet is no text").help("write csv or jsonl, or to a file"))
            }
        }
    }
}

/// A writer to whom it is no error that nobody reads any more.
struct Patient<W>(W);

impl<W: Write> Patient<W> {
    fn or_nobody_reads<T>(outcome: io::Result<T>, otherwise: T) -> io::Result<T> {
        match outcome {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(otherwise),
            outcome => outcome,
        }
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::or_nobody_reads(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::or_nobody_reads(self.0.flush(), ())
    }
}

/// A line an image: the class, how sure, and the next best.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(predictions: &[Prediction], classes: &[String]) -> Result<()> {
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let id = width(&mut predictions.iter().map(|of| of.id.chars().count())).min(60);
    let class = width(&mut classes.iter().map(|class| class.chars().count()));
    for of in predictions {
        let second = (0..classes.len())
            .filter(|&other| other != of.class)
            .max_by(|&a, &b| of.probs[a].total_cmp(&of.probs[b]).then(b.cmp(&a)));
        let second = second.map(|other| format!("  ({} {:.1} %)", classes[other], 100.0 * of.probs[other]));
        out!(
            "{:<id$}  {:<class$}  {:>5.1} %{}",
            of.id,
            classes[of.class],
            100.0 * of.confidence(),
            second.unwrap_or_default()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(format: Format) -> String {
        let predictions = [
            Prediction { id: "a,b.png".to_owned(), class: 1, probs: vec![0.25, 0.75] },
            Prediction { id: "c\n\"d\".png".to_owned(), class: 0, probs: vec![1.0, 0.0] },
        ];
        let mut out = Vec::new();
        format.write_text(&predictions, &["cat".to_owned(), "dog".to_owned()], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_ending_says_the_format_whatever_its_case() {
        let of = |name: &str| Format::of(Path::new(name)).ok();
        assert_eq!(
            [of("x.CSV"), of("x.ndjson"), of("x.Parquet")].map(Option::unwrap),
            [Format::Csv, Format::Jsonl, Format::Parquet]
        );
        assert_eq!([of("x.xls"), of("csv"), of(".csv")], [None; 3]);
    }

    #[test]
    fn names_with_commas_quotes_and_breaks_are_one_cell_and_one_line() {
        assert_eq!(
            text(Format::Csv),
            "id,prediction,confidence,p(cat),p(dog)\n\"a,b.png\",dog,0.75,0.25,0.75\n\"c\n\"\"d\"\".png\",cat,1,1,0\n"
        );
        let lines = text(Format::Jsonl);
        assert_eq!(lines.lines().count(), 2);
        let second: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert_eq!((&second["id"], &second["probs"]["cat"]), (&json!("c\n\"d\".png"), &json!(1.0)));
    }

    #[test]
    fn nobody_reading_any_more_is_no_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(ErrorKind::BrokenPipe.into())
            }
        }
        let mut out = BufWriter::new(Patient(Closed));
        out.write_all(&[0; 100_000]).and_then(|()| out.flush()).unwrap();
    }
}
