//! A small data set as hubs publish image sets: four kinds of pictures, drawn by formulas from a seed.
//!
//! It knows nothing of coreg: rows, and Parquet files made of them.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::json;

/// The classes, in the order of their labels.
pub const CLASSES: [&str; 4] = ["stripes", "bars", "disc", "checks"];

/// Side of a picture in pixels.
pub const SIDE: u32 = 32;

/// One row of the source.
#[derive(Clone, Debug)]
pub struct Row {
    /// The image as a PNG file, or whatever a test puts in its place.
    pub bytes: Vec<u8>,
    /// The name of its file.
    pub path: String,
    /// The label; none where it is not known.
    pub label: Option<i64>,
}

/// `count` rows, the classes in turn; equal seeds give equal rows.
pub fn rows(seed: u64, count: usize) -> Vec<Row> {
    let row = |i: usize| {
        let class = i % CLASSES.len();
        let path = format!("{}-{i}.png", CLASSES[class]);
        Row { bytes: picture(class, seed * 1_000_000 + i as u64), path, label: Some(class as i64) }
    };
    (0..count).map(row).collect()
}

/// A picture of one class as a PNG file.
fn picture(class: usize, seed: u64) -> Vec<u8> {
    encode(&drawn(class, seed, [SIDE, SIDE]).into(), ImageFormat::Png)
}

/// An image file.
pub fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A picture of `[width, height]` pixels. Classes beyond the fourth repeat the kinds of pictures.
pub fn drawn(class: usize, seed: u64, [width, height]: [u32; 2]) -> RgbImage {
    let mut random = Random(seed);
    let mut colour = || [(); 3].map(|()| random.below(256) as u8);
    let (dark, light) = (colour().map(|v| v / 3), colour().map(|v| 255 - v / 3));
    let (period, phase) = (4 + random.below(4), random.below(8));
    let (x0, y0, radius) = (10 + random.below(12), 10 + random.below(12), 5 + random.below(5));
    let on = |x: u32, y: u32| match class % CLASSES.len() {
        0 => ((y + phase) / period).is_multiple_of(2),
        1 => ((x + phase) / period).is_multiple_of(2),
        2 => x.abs_diff(x0).pow(2) + y.abs_diff(y0).pow(2) <= radius * radius,
        _ => ((x + phase) / period + (y + phase) / period).is_multiple_of(2),
    };
    let mut noise = Random(seed + 1);
    RgbImage::from_fn(width, height, |x, y| {
        let base = if on(x, y) { light } else { dark };
        Rgb(base.map(|v| v.saturating_add(noise.below(24) as u8)))
    })
}

/// SplitMix64: a few numbers from a seed, the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(limit)) as u32
    }
}

/// What a table calls its columns and classes, and what else is in it.
pub struct Form<'a> {
    /// The column of images, struct<bytes, path>.
    pub image: &'a str,
    /// The column of labels, int64.
    pub label: &'a str,
    /// The names of the classes, in the metadata entry `huggingface`.
    pub classes: &'a [&'a str],
    /// Another column of labels, with its own classes, behind those.
    pub more_labels: Option<(&'a str, &'a [&'a str])>,
    /// A column of texts, at the end.
    pub texts: Option<&'a str>,
}

/// Writes rows as most image sets have them: `image`, `label` and the names of its classes.
pub fn write(path: &Path, rows: &[Row], classes: &[&str]) {
    let form = Form { image: "image", label: "label", classes, more_labels: None, texts: None };
    write_as(path, rows, &form);
}

/// Writes rows as the `datasets` library does.
pub fn write_as(path: &Path, rows: &[Row], form: &Form) {
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.bytes)));
    let paths: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.path)));
    let image = StructArray::from(vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), bytes),
        (Arc::new(Field::new("path", DataType::Utf8, true)), paths),
    ]);
    let labels = Int64Array::from_iter(rows.iter().map(|row| row.label));
    let mut columns: Vec<(&str, ArrayRef, bool)> =
        vec![(form.image, Arc::new(image), true), (form.label, Arc::new(labels), true)];
    let mut features = serde_json::Map::new();
    let classes = |names: &[&str]| json!({"names": names, "_type": "ClassLabel"});
    features.insert(form.image.to_owned(), json!({"_type": "Image"}));
    features.insert(form.label.to_owned(), classes(form.classes));
    if let Some((name, names)) = form.more_labels {
        let labels = Int64Array::from_iter_values((0..rows.len()).map(|row| (row % names.len()) as i64));
        columns.push((name, Arc::new(labels), true));
        features.insert(name.to_owned(), classes(names));
    }
    if let Some(name) = form.texts {
        let texts = StringArray::from_iter_values((0..rows.len()).map(|row| format!("{name} {row}")));
        columns.push((name, Arc::new(texts), true));
        features.insert(name.to_owned(), json!({"dtype": "string", "_type": "Value"}));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let json = json!({"info": {"features": features}}).to_string();
    let entry = KeyValue::new("huggingface".to_owned(), json);
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![entry])).build();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
