//! Rows of images as CSV and as JSON lines.

use std::borrow::Cow;
use std::io::{self, Write};

use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use serde::{Serialize, Serializer};

use super::destination::write_json;
use super::said::{LabelSet, LabelledImage};

/// A column. Class names are written, never their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    FileName,
    Id,
    Split,
    Label,
    Confidence,
    Source,
    Candidates,
    Truth,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
enum Cell<'a> {
    Nothing,
    Text(&'a str),
    Share(f32),
    List(Vec<&'a str>),
}

/// Rows and columns.
pub(super) struct Sheet<'a> {
    pub(super) set: &'a LabelSet,
    pub(super) columns: &'a [Column],
    /// Places of the images, in the order in which they are written.
    pub(super) rows: &'a [usize],
    /// Names of the images' files, by their places in the set; none where no column names them.
    pub(super) files: &'a [String],
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::FileName => "file_name",
            Self::Id => "id",
            Self::Split => "split",
            Self::Label => "label",
            Self::Confidence => "confidence",
            Self::Source => "source",
            Self::Candidates => "candidates",
            Self::Truth => "truth",
        }
    }
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => to.serialize_none(),
            Self::Text(text) => to.serialize_str(text),
            Self::Share(share) => to.serialize_f32(*share),
            Self::List(texts) => to.collect_seq(texts),
        }
    }
}

impl<'a> Cell<'a> {
    /// As a field of CSV. A share always has a point, so that a column of nothing but ones is read as others are.
    fn field(&self) -> Cow<'a, str> {
        match *self {
            Self::Nothing => Cow::Borrowed(""),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Share(share) => Cow::Owned(format!("{share:?}")),
            Self::List(ref texts) => {
                Cow::Owned(texts.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("|"))
            }
        }
    }
}

/// A text of a list whose texts `|` separates: a backslash stands before each `|` and `\` of its own.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}

/// A row as a JSON object.
struct JsonRow<'s, 'a>(&'s Sheet<'a>, usize);

impl Serialize for JsonRow<'_, '_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(sheet, row) = self;
        to.collect_map(sheet.columns.iter().map(|column| (column.name(), sheet.cell(*column, *row))))
    }
}

impl<'a> Sheet<'a> {
    fn cell(&self, column: Column, row: usize) -> Cell<'a> {
        let (set, image): (&'a LabelSet, &'a LabelledImage) = (self.set, &self.set.images[row]);
        let class = |class: usize| set.classes.get(class).map(String::as_str);
        let or_nothing = |text: Option<&'a str>| text.map_or(Cell::Nothing, Cell::Text);
        match column {
            Column::FileName => or_nothing(self.files.get(row).map(String::as_str)),
            Column::Id => Cell::Text(&image.id),
            Column::Split => Cell::Text(image.split.name()),
            Column::Label => or_nothing(image.said.and_then(|said| class(said.class))),
            Column::Confidence => image.said.map_or(Cell::Nothing, |said| Cell::Share(said.confidence)),
            Column::Source => or_nothing(image.said.map(|said| set.source(said.source))),
            Column::Candidates => {
                let candidates = image.candidates.iter();
                Cell::List(candidates.filter_map(|candidate| class(usize::from(*candidate))).collect())
            }
            Column::Truth => or_nothing(image.truth.and_then(class)),
        }
    }

    /// Writes a line of names and a line a row.
    ///
    /// # Errors
    /// What cannot be written; a request to stop.
    pub(super) fn csv(&self, out: &mut dyn Write, context: &Context) -> Result<()> {
        let cannot = || Error::new("cannot write the table");
        let mut csv = csv::Writer::from_writer(out);
        let names = self.columns.iter().map(|column| column.name());
        csv.write_record(names).map_err(of_the_system).or_fail(cannot)?;
        for &row in self.rows {
            context.safe_point()?;
            let fields = self.columns.iter().map(|column| self.cell(*column, row).field());
            csv.write_record(fields.map(|field| field.into_owned()))
                .map_err(of_the_system)
                .or_fail(cannot)?;
        }
        csv.flush().or_fail(cannot)
    }

    /// Writes an object a row.
    ///
    /// # Errors
    /// As [`csv`](Self::csv).
    pub(super) fn json_lines(&self, out: &mut dyn Write, context: &Context) -> Result<()> {
        let cannot = || Error::new("cannot write the table");
        for &row in self.rows {
            context.safe_point()?;
            write_json(out, &JsonRow(self, row))?;
            out.write_all(b"\n").or_fail(cannot)?;
        }
        Ok(())
    }

    /// Whether whoever guesses types of CSV columns, as pandas and `datasets` do, reads ids and class names as the texts
    /// that they are. A class called `7` or `None` would be read as a number or as nothing.
    pub(super) fn is_safe_as_csv(&self) -> bool {
        let ids = self.rows.iter().map(|&row| &self.set.images[row].id);
        self.set.classes.iter().chain(ids).all(|text| is_read_as_text(text))
    }
}

/// The error of the system behind that of the CSV writer, which does not give it as its source.
fn of_the_system(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Whether a text can be taken for nothing else: it is no number, no flag, and no word that stands for a gap.
fn is_read_as_text(text: &str) -> bool {
    // What pandas takes for a gap, in lower case; what is also a number to Rust is left out.
    const OTHER: [&str; 14] = [
        "", "#n/a", "#n/a n/a", "#na", "-1.#ind", "-1.#qnan", "1.#ind", "1.#qnan", "<na>", "n/a", "na",
        "none", "null", "nil",
    ];
    const FLAGS: [&str; 2] = ["true", "false"];
    let text = text.trim().to_lowercase();
    text.parse::<f64>().is_err() && !OTHER.contains(&text.as_str()) && !FLAGS.contains(&text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_could_be_a_number_or_a_gap_is_no_plain_text() {
        for text in
            ["7", " 7 ", "-1.5", "1e5", "nan", "-NaN", "inf", "NA", "None", "null", "", "TRUE", "<NA>"]
        {
            assert!(!is_read_as_text(text), "{text}");
        }
        for text in ["cat", "7 up", "1_000", "nano", "none of these", "train/000001", "2026-01-01"] {
            assert!(is_read_as_text(text), "{text}");
        }
    }

    #[test]
    fn a_list_in_csv_tells_its_separator_from_the_same_sign_in_a_name() {
        assert_eq!(Cell::List(vec!["a|b", "c\\", "d"]).field(), "a\\|b|c\\\\|d");
        assert_eq!(Cell::Share(1.0).field(), "1.0");
        assert_eq!(Cell::Nothing.field(), "");
    }
}
