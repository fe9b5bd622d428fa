//! The images themselves, read from their table a few at a time and written as files, byte for byte as they were
//! encoded.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use image::{ImageFormat, ImageReader};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;

use super::Chosen;
use super::destination::put;
use super::file_names::stems;
use crate::artifacts::images::Split;
use crate::runtime::panics::guarded;
use crate::vision::decode::decode;

/// Images that are in memory at a time. Photographs have megabytes.
const AT_ONCE: usize = 16;

/// Writes the chosen images into the folders that `folder` gives for their splits, which must be there. `look` is shown
/// each image's place in the set and its bytes. Gives the names of the files, by the images' places; where an image is
/// not written its name means nothing.
///
/// # Errors
/// Images that cannot be read, files that cannot be written, what `look` says, a request to stop.
pub(super) fn write(
    chosen: &Chosen,
    context: &Context,
    folder: impl Fn(Split) -> PathBuf,
    mut look: impl FnMut(usize, &[u8]) -> Result<()>,
) -> Result<Vec<String>> {
    let set = chosen.set;
    let mut names = stems(set.images.iter().map(|image| image.id.as_str()));
    let mut rows = chosen.rows.clone();
    rows.sort_unstable();
    context.progress().begin(rows.len() as u64, "images");
    each(&set.table, &rows, |row, bytes| {
        context.safe_point()?;
        let name = format!("{}.{}", names[row], ending(bytes));
        put(&folder(set.images[row].split).join(&name), |out| {
            out.write_all(bytes).or_fail(|| Error::new("cannot write an image"))
        })?;
        look(row, bytes).map_err(|error| error.at(&set.images[row].id))?;
        names[row] = name;
        context.progress().advance(1);
        Ok(())
    })?;
    Ok(names)
}

/// Gives the images at `rows` of the table, ascending, one after the other.
fn each(table: &Path, rows: &[usize], mut take: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
    let cannot = || Error::new("cannot read the images").at(table);
    let mut reader = guarded(|| open(table, rows)).or_fail(cannot)??;
    let mut rows = rows.iter();
    while let Some(batch) = guarded(|| reader.next()).or_fail(cannot)? {
        let batch = batch.or_fail(cannot)?;
        let bytes = (batch.column_by_name("image"))
            .and_then(|image| image.as_struct_opt())
            .and_then(|image| image.column_by_name("bytes"))
            .and_then(|bytes| bytes.as_binary_opt::<i32>());
        let bytes = bytes.ok_or_else(|| Error::new("column `image` is no struct<bytes, path>").at(table))?;
        for image in bytes.iter() {
            let (Some(&row), Some(image)) = (rows.next(), image) else {
                return Err(cannot().because("a row has no image"));
            };
            take(row, image)?;
        }
    }
    match rows.next() {
        None => Ok(()),
        Some(row) => Err(cannot().because(format!("row {row} is missing"))),
    }
}

fn open(table: &Path, rows: &[usize]) -> Result<ParquetRecordBatchReader> {
    let cannot = || Error::new("cannot read the images").at(table);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(File::open(table).or_fail(cannot)?).or_fail(cannot)?;
    let total = usize::try_from(builder.metadata().file_metadata().num_rows()).or_fail(cannot)?;
    let bytes = ProjectionMask::columns(builder.parquet_schema(), ["image.bytes"]);
    let selection = RowSelection::from_consecutive_ranges(rows.iter().map(|&row| row..row + 1), total);
    let builder = builder.with_projection(bytes).with_row_selection(selection).with_batch_size(AT_ONCE);
    builder.build().or_fail(cannot)
}

/// The ending for the name of an image's file, going by its first bytes.
fn ending(bytes: &[u8]) -> &'static str {
    match (image::guess_format(bytes).ok(), bytes.get(1)) {
        (Some(ImageFormat::Png), _) => "png",
        (Some(ImageFormat::Jpeg), _) => "jpg",
        (Some(ImageFormat::Gif), _) => "gif",
        (Some(ImageFormat::Bmp), _) => "bmp",
        (Some(ImageFormat::Tiff), _) => "tiff",
        (Some(ImageFormat::WebP), _) => "webp",
        (Some(ImageFormat::Pnm), Some(b'1' | b'4')) => "pbm",
        (Some(ImageFormat::Pnm), Some(b'2' | b'5')) => "pgm",
        (Some(ImageFormat::Pnm), Some(b'3' | b'6')) => "ppm",
        (Some(ImageFormat::Pnm), _) => "pam",
        _ => "img",
    }
}

/// Width and height in pixels, as the image is encoded.
///
/// # Errors
/// Bytes that are no image.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(u32, u32)> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok();
    match reader.and_then(|reader| reader.into_dimensions().ok()) {
        Some(dimensions) => Ok(dimensions),
        // Of a few rare variants the header alone is not understood.
        None => decode(bytes).map(|image| image.dimensions()),
    }
}

/// Makes the folder `name` in `root`.
///
/// # Errors
/// It cannot be made.
pub(super) fn make_folder(root: &Path, name: &str) -> Result<PathBuf> {
    let folder = root.join(name);
    fs::create_dir(&folder).or_fail(|| Error::new("cannot make the folder").at(&folder))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pipeline::artifact::Artifact;

    use super::*;
    use crate::artifacts::images::{Images, Index};

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(5, 3).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn an_image_is_known_by_its_first_bytes_with_its_size() {
        for (format, name) in [
            (ImageFormat::Png, "png"),
            (ImageFormat::Jpeg, "jpg"),
            (ImageFormat::Gif, "gif"),
            (ImageFormat::Bmp, "bmp"),
            (ImageFormat::Tiff, "tiff"),
            (ImageFormat::WebP, "webp"),
            // Which of its kinds the encoder writes: PAM.
            (ImageFormat::Pnm, "pam"),
        ] {
            let bytes = encoded(format);
            assert_eq!((ending(&bytes), dimensions(&bytes).unwrap()), (name, (5, 3)));
        }
        let without_type = b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nENDHDR\n\0\0\0\0\0\0";
        assert_eq!((ending(without_type), dimensions(without_type).unwrap()), ("pam", (2, 1)));
        assert_eq!(ending(b"no image"), "img");
        assert!(dimensions(b"no image").is_err());
    }

    #[test]
    fn chosen_rows_are_read_across_batches_and_a_missing_one_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let count = 5 * AT_ONCE;
        let index = Index {
            ids: (0..count).map(|row| row.to_string()).collect(),
            splits: vec![Split::Train; count],
            labels: vec![None; count],
            classes: vec!["a".to_owned(), "b".to_owned()],
        };
        let images = (0..count).map(|row| vec![row as u8; row % 3]).collect();
        Images::new(index, images, vec![None; count]).save(folder.path()).unwrap();
        let table = folder.path().join("images.parquet");
        let read = |rows: &[usize]| {
            let mut seen = Vec::new();
            each(&table, rows, |row, bytes| {
                assert_eq!(bytes, vec![row as u8; row % 3]);
                seen.push(row);
                Ok(())
            })
            .map(|()| seen)
        };
        for rows in [(0..count).collect::<Vec<usize>>(), vec![3, 4, AT_ONCE, count - 1], Vec::new()] {
            assert_eq!(read(&rows).unwrap(), rows);
        }
        assert!(read(&[count]).is_err());
    }
}
