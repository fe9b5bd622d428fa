//! Images of the user's without classes or labels, for a student to look at: read and imported as those are that it
//! learned from.

use std::path::PathBuf;

use pipeline::error::{Error, Result};
use pipeline::stage::Context;

use super::catalog::Classes;
use super::import::{Import, ImportImages};
use super::user_images::reading::{LabelsFrom, Reading};
use super::user_images::{UserDataSet, UserImages};

/// The images at one place.
pub struct ImagesAlone {
    source: UserImages,
    classes: Classes,
    /// What is assumed of them.
    pub notes: Vec<String>,
    import: ImportImages,
}

impl ImagesAlone {
    /// Those at `place`: an image, a folder, tables, IDX files, tar archives, or a pattern.
    ///
    /// # Errors
    /// Nothing there, or nothing that holds images.
    pub fn at(place: PathBuf, import: ImportImages) -> Result<Self> {
        let reading = Reading {
            labels: LabelsFrom::None,
            skip_unreadable: import.skip_unreadable,
            ..Reading::default()
        };
        let set = UserDataSet { images: place, reading, ..UserDataSet::default() };
        // Nothing is called after them; there must be two for the source to be described.
        let names = ["a", "b"].map(str::to_owned).to_vec();
        let classes = Classes { texts: names.clone(), names, renamed: Vec::new() };
        let (source, notes) = set.without_labels(&classes)?;
        Ok(Self { source, classes, notes, import })
    }

    /// Gives their ids and encoded bytes, a batch at a time; says how many images there are before the first.
    ///
    /// # Errors
    /// A source that cannot be read, images that cannot unless they are to be left out, a request to stop, and the
    /// taker's own.
    pub fn each(
        &self,
        context: &Context,
        mut take: impl FnMut(&[String], Vec<Vec<u8>>) -> Result<()>,
    ) -> Result<()> {
        let source = self.source.open(&self.classes)?;
        let ids = source.list(context)?.ids;
        if ids.is_empty() {
            return Err(Error::new("there is no image"));
        }
        let rows: Vec<usize> = (0..ids.len()).collect();
        context.progress().begin(ids.len() as u64, "images");
        let mut import = Import::new(Some(self.import), ids.len());
        source.read(&rows, context, &mut |images| {
            let count = images.len() as u64;
            let (names, bytes): (Vec<String>, Vec<Vec<u8>>) = import
                .good(images, &ids)
                .into_iter()
                .map(|(row, image)| (ids[row].clone(), image.bytes))
                .unzip();
            take(&names, bytes)?;
            context.progress().advance(count);
            Ok(())
        })?;
        import.finish(context)
    }
}
