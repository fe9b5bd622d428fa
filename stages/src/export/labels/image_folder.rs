//! A folder of images as the `datasets` library's `imagefolder` and `coreg run --images` read it: `train/` and `test/`,
//! each with its images and a table of their labels.
//!
//! The table is `metadata.csv`; where CSV, which has no types, would turn a class or an id into a number or a gap, it is
//! `metadata.jsonl`. `classes.json` lists all classes in their order, those of no image too.

use pipeline::error::Result;
use pipeline::stage::Context;

use super::Chosen;
use super::destination::{Destination, put, write_json};
use super::pictures::{self, make_folder};
use super::sheet::{Column, Sheet};
use crate::artifacts::images::Split;

/// The file with the names of all classes.
pub const CLASSES: &str = "classes.json";

const COLUMNS: [Column; 6] =
    [Column::FileName, Column::Label, Column::Confidence, Column::Source, Column::Id, Column::Candidates];

/// Writes a folder with the images as they were encoded.
///
/// # Errors
/// A folder that is there already, images that cannot be read, a disk that is full, a request to stop. Nothing is left
/// behind.
pub fn write_image_folder(chosen: &Chosen, to: &Destination, context: &Context) -> Result<()> {
    let set = chosen.set;
    to.folder(|root| {
        let of = |split: Split| -> Vec<usize> {
            chosen.rows.iter().copied().filter(|&row| set.images[row].split == split).collect()
        };
        let mut parts: Vec<(Split, Vec<usize>)> = Split::ALL.map(|split| (split, of(split))).into();
        parts.retain(|(_, rows)| !rows.is_empty());
        for (split, _) in &parts {
            make_folder(root, split.name())?;
        }
        let files = pictures::write(chosen, context, |split| root.join(split.name()), |_, _| Ok(()))?;
        let mut columns = COLUMNS.to_vec();
        // A column that is empty in one part has no type there, and `datasets` wants one type in all parts.
        if chosen.images().all(|image| image.truth.is_some()) {
            columns.push(Column::Truth);
        }
        let sheet = |rows| Sheet { set, columns: &columns, rows, files: &files };
        let csv = sheet(&chosen.rows).is_safe_as_csv();
        for (split, rows) in &parts {
            let name = if csv { "metadata.csv" } else { "metadata.jsonl" };
            let sheet = sheet(rows);
            put(&root.join(split.name()).join(name), |out| match csv {
                true => sheet.csv(out, context),
                false => sheet.json_lines(out, context),
            })?;
        }
        put(&root.join(CLASSES), |out| write_json(out, &set.classes))
    })
}
