//! Random tables made from a known truth: they are read as that, or refused; never as anything else without a word.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int8Array, Int64Array,
    LargeStringArray, RecordBatch, StringArray, StructArray, UInt8Array,
};
use arrow::datatypes::{DataType, Field, Int16Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use pipeline::random::{self, ChaCha8Rng};
use pipeline::stage::Context;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::super::super::names::{canonical, normalised};
use super::*;

/// Names of which many are alike.
const NAMES: [&str; 16] = [
    "cat",
    "Cat",
    "dog",
    "10-1",
    "101",
    "\u{e9}t\u{e9}",
    "猫",
    "a",
    "A",
    "T-shirt",
    "t shirt",
    "tshirt",
    "0",
    "1",
    "train",
    "sea_lake",
];

/// How labels are written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Int8,
    Int64,
    Byte,
    Float32,
    Float64,
    Flag,
    Numeral,
    Text,
    LargeText,
    Dictionary,
}

/// Image sets in one table or two.
#[derive(Debug)]
struct Truth {
    names: Vec<String>,
    way: Way,
    first: i64,
    /// Of each table, its name and the class of each row.
    tables: Vec<(&'static str, Vec<Option<usize>>)>,
    /// Whether tables name their classes, and in which order.
    named: Option<Vec<usize>>,
    listed: bool,
}

fn truth(random: &mut ChaCha8Rng) -> Truth {
    let mut names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    names.shuffle(random);
    names.truncate(random.random_range(2..6));
    let ways = [
        Way::Int8,
        Way::Int64,
        Way::Byte,
        Way::Float32,
        Way::Float64,
        Way::Flag,
        Way::Numeral,
        Way::Text,
        Way::LargeText,
        Way::Dictionary,
    ];
    let mut way = ways[random.random_range(0..ways.len())];
    let numeral = names.iter().any(|name| name.parse::<i64>().is_ok());
    if way == Way::Flag && names.len() != 2 || way == Way::Numeral && numeral {
        way = Way::Int64;
    }
    let is_number = !matches!(way, Way::Text | Way::LargeText | Way::Dictionary);
    let first = if is_number && way != Way::Flag { random.random_range(0..2) } else { 0 };
    let mut rows = |count: usize| -> Vec<Option<usize>> {
        let row = |_| (random.random_range(0..6) > 0).then(|| random.random_range(0..names.len()));
        (0..count).map(row).collect()
    };
    let tables = match rows(1)[0] {
        Some(0) => vec![("data.parquet", rows(9))],
        _ => vec![("train.parquet", rows(9)), ("test.parquet", rows(4))],
    };
    let named = (is_number && first == 0 && random.random_range(0..2) == 0).then(|| {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.shuffle(random);
        order
    });
    // Without a list numerals in text are the names of the classes themselves.
    let listed = way == Way::Numeral || random.random_range(0..2) == 0;
    Truth { names, way, first, tables, named, listed }
}

impl Truth {
    fn column(&self, rows: &[Option<usize>]) -> ArrayRef {
        let place = |class: usize| {
            let place = self.named.as_ref().and_then(|order| order.iter().position(|one| *one == class));
            place.unwrap_or(class) as i64 + self.first
        };
        let number = || rows.iter().map(|row| row.map(place));
        let name = || rows.iter().map(|row| row.map_or(Some(""), |class| Some(self.names[class].as_str())));
        match self.way {
            Way::Int8 => Arc::new(number().map(|n| n.map(|n| n as i8)).collect::<Int8Array>()),
            Way::Int64 => Arc::new(number().map(|n| Some(n.unwrap_or(-1))).collect::<Int64Array>()),
            Way::Byte => Arc::new(number().map(|n| n.map(|n| n as u8)).collect::<UInt8Array>()),
            Way::Float32 => Arc::new(number().map(|n| n.map(|n| n as f32)).collect::<Float32Array>()),
            Way::Float64 => {
                Arc::new(number().map(|n| Some(n.map_or(f64::NAN, |n| n as f64))).collect::<Float64Array>())
            }
            Way::Flag => Arc::new(number().map(|n| n.map(|n| n == 1)).collect::<BooleanArray>()),
            Way::Numeral => Arc::new(number().map(|n| n.map(|n| format!(" {n}"))).collect::<StringArray>()),
            Way::Text => Arc::new(name().collect::<StringArray>()),
            Way::LargeText => Arc::new(name().collect::<LargeStringArray>()),
            Way::Dictionary => Arc::new(name().collect::<DictionaryArray<Int16Type>>()),
        }
    }

    fn write(&self, folder: &Path, random: &mut ChaCha8Rng) {
        for (name, rows) in &self.tables {
            let encoded: BinaryArray = rows.iter().map(|_| Some(b"\x89PNG\r\n\x1a\n and so on")).collect();
            let fields = vec![Field::new("bytes", DataType::Binary, true)].into();
            let image = StructArray::try_new(fields, vec![Arc::new(encoded)], None).unwrap();
            let hash: BinaryArray = rows.iter().map(|_| Some([7u8; 16])).collect();
            let words: StringArray = rows.iter().map(|_| Some("a caption")).collect();
            let mut columns: Vec<(&str, ArrayRef)> = vec![
                ("photo", Arc::new(image)),
                ("label", self.column(rows)),
                ("md5", Arc::new(hash)),
                ("caption", Arc::new(words)),
            ];
            columns.shuffle(random);
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let file = std::fs::File::create(folder.join(name)).unwrap();
            let mut writer =
                ArrowWriter::try_new(file, Arc::new(Schema::new(batch.schema().fields().clone())), None)
                    .unwrap();
            if let Some(order) = &self.named {
                let names: Vec<&String> = order.iter().map(|class| &self.names[*class]).collect();
                let json = serde_json::json!({"info": {"features": {"label": {"_type": "ClassLabel", "names": names}}}});
                writer.append_key_value_metadata(KeyValue::new("huggingface".to_owned(), json.to_string()));
            }
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
    }

    /// Whether the tables are taken; they are as they were made then.
    fn check(&self, folder: &Path) -> bool {
        let files: Vec<String> = self.tables.iter().map(|(name, _)| (*name).to_owned()).collect();
        let list = self.listed.then(|| of_names(self.names.clone()));
        let Ok(described) = Tables::describe(folder, &files, (list, None), &Reading::default()) else {
            return false;
        };
        let classes = &described.classes;
        let Ok(listing) = described.source.open(classes).unwrap().list(&Context::for_test(folder)) else {
            return false;
        };
        if self.listed {
            assert_eq!(classes.names, self.names);
        }
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|(name, _)| *name == "test.parquet");
        let rows = tables.iter().flat_map(|(_, rows)| rows);
        for (id, (row, label)) in listing.ids.iter().zip(rows.zip(&listing.labels)) {
            let written = row.map(|class| canonical(&self.names[class]));
            let read = label.map(|class| canonical(&classes.names[class as usize]));
            let said = |word: &str| described.notes.iter().any(|note| note.contains(word));
            let alike = written.as_deref().map(normalised) == read.as_deref().map(normalised);
            let known = written == read
                || alike && said("one class")
                || self.first == 1 && said("download.first_label=1")
                || said("whatever its place");
            assert!(known, "{id} is {read:?}, not {written:?}: {:?} of {self:#?}", described.notes);
        }
        true
    }
}

#[test]
fn a_random_table_is_read_as_it_was_made_or_refused() {
    const TABLES: usize = 4000;
    let mut random = random::stream(11, "tables");
    let folder = tempfile::tempdir().unwrap();
    let mut taken = 0;
    for _ in 0..TABLES {
        let truth = truth(&mut random);
        truth.write(folder.path(), &mut random);
        taken += usize::from(truth.check(folder.path()));
    }
    assert!(2 * taken > TABLES, "only {taken} of {TABLES} are taken");
}
