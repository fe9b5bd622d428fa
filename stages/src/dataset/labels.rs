//! Labels as tables write them: numbers, text or flags; and which class each of them means.
//!
//! A null, an empty text, a NaN and, as in the `datasets` library, the number −1 mean that a label is not known. It
//! knows nothing of images or files.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use pipeline::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::catalog::Classes;
use super::names::{Found, NameIndex, canonical};

/// The number that stands for an unknown label.
const UNKNOWN: i64 = -1;

/// The column that labels are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelColumn {
    /// Its name.
    pub name: String,
    /// The number that the first class has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What a table says of one row's class.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Written {
    /// Nothing.
    Unknown,
    /// A number.
    Number(i64),
    /// A number that is no whole one.
    Fraction(f64),
    /// Words, without blanks around them.
    Name(String),
}

/// Whether a column of this type can hold labels.
pub(crate) fn is_label(kind: &DataType) -> bool {
    let kind = if let DataType::Dictionary(_, values) = kind { values } else { kind };
    kind.is_integer() || kind.is_floating() || is_text(kind) || *kind == DataType::Boolean
}

/// Whether a column of this type holds text.
pub(crate) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// What a column says, row by row.
pub(crate) fn written(column: &ArrayRef) -> Result<Vec<Written>, ArrowError> {
    let column = match column.data_type() {
        DataType::Dictionary(_, values) => &cast(column, values)?,
        _ => column,
    };
    let or_unknown = |written: Option<Written>| written.unwrap_or(Written::Unknown);
    Ok(match column.data_type() {
        kind if kind.is_integer() => {
            let numbers = cast(column, &DataType::Int64)?;
            numbers
                .as_primitive::<Int64Type>()
                .iter()
                .map(|number| or_unknown(number.map(Written::Number)))
                .collect()
        }
        DataType::Boolean => {
            let flags = column.as_boolean().iter();
            flags.map(|flag| or_unknown(flag.map(|flag| Written::Number(i64::from(flag))))).collect()
        }
        kind if kind.is_floating() => {
            let numbers = cast(column, &DataType::Float64)?;
            let number = |number: f64| match number {
                number if number.is_nan() => Written::Unknown,
                number if number.fract() == 0.0 && number.abs() < 1e15 => Written::Number(number as i64),
                number => Written::Fraction(number),
            };
            numbers.as_primitive::<Float64Type>().iter().map(|value| or_unknown(value.map(number))).collect()
        }
        _ => {
            let texts = cast(column, &DataType::Utf8)?;
            texts.as_string::<i32>().iter().map(|text| or_unknown(text.map(Written::of_text))).collect()
        }
    })
}

impl Written {
    /// What a text says.
    pub(crate) fn of_text(text: &str) -> Self {
        let name = canonical(text);
        if name.is_empty() { Self::Unknown } else { Self::Name(name) }
    }
}

/// Whether a text stands for no label, where no class is called so.
pub(crate) fn is_gap(name: &str) -> bool {
    matches!(
        name.to_lowercase().as_str(),
        "nan" | "n/a" | "na" | "null" | "none" | "unknown" | "?" | "-" | "<na>"
    )
}

/// How a source's label numbers stand to the classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelOrder {
    /// The source names no classes; its numbers are taken as they are.
    Unnamed,
    /// The source names the same classes in the same order.
    Same,
    /// The source names the same classes in another order: ours for each of its numbers.
    Mapped(Vec<i32>),
    /// The source has as many classes, with other names: these; its numbers are taken as they are.
    OtherNames(Vec<String>),
}

/// Which class a label means.
pub(crate) struct LabelReader {
    names: NameIndex,
    classes: Classes,
    /// Whether a class is called by a numeral; then numerals in text are no numbers of classes.
    numbered: bool,
    /// Where all classes are called by numerals, the class of each number: it is meant by its name, not by its place.
    by_value: Option<HashMap<i64, i32>>,
    order: LabelOrder,
    first: i64,
}

impl LabelReader {
    /// For a source that names its classes, or not, and gives the first of them the number `first`. Where `whole`, the
    /// source must name all classes; else some of them do.
    ///
    /// # Errors
    /// Class names of the source that contradict `classes`.
    pub(crate) fn new(
        classes: &Classes,
        source: Option<Vec<String>>,
        first: i64,
        whole: bool,
    ) -> Result<Self> {
        let names = NameIndex::new(&classes.names);
        let mut reader = Self {
            numbered: classes.names.iter().any(|name| name.trim().parse::<i64>().is_ok()),
            by_value: values(&classes.names).filter(|_| source.is_none() && first == 0),
            names,
            classes: classes.clone(),
            order: LabelOrder::Unnamed,
            first,
        };
        if let Some(source) = source {
            reader.order = reader.order_of(source, whole)?;
            reader.first = 0;
        }
        Ok(reader)
    }

    /// How the source's numbers stand to the classes.
    pub(crate) fn order(&self) -> &LabelOrder {
        &self.order
    }

    /// The class, if the label is known; or what is wrong with it.
    pub(crate) fn class(&self, written: &Written) -> Result<Option<i32>, String> {
        match written {
            Written::Unknown => Ok(None),
            Written::Number(number) => self.of_number(*number),
            Written::Fraction(number) => Err(format!("has label {number}, which is no whole number")),
            Written::Name(name) => match self.meant(name) {
                Found::One(class) => Ok(Some(class as i32)),
                Found::Several(classes) => Err(format!(
                    "has label `{name}`, which may be any of {}",
                    listed(
                        &classes.iter().map(|class| self.classes.names[*class].clone()).collect::<Vec<_>>()
                    )
                )),
                Found::Nothing => match name.parse::<i64>() {
                    Ok(number) if !self.numbered => self.of_number(number),
                    _ if is_gap(name) => Ok(None),
                    _ => Err(format!(
                        "has label `{name}`, and the classes are {}",
                        listed(&self.classes.names)
                    )),
                },
            },
        }
    }

    fn of_number(&self, number: i64) -> Result<Option<i32>, String> {
        if number == UNKNOWN && self.first != UNKNOWN {
            return Ok(None);
        }
        if let Some(classes) = &self.by_value {
            let class = classes.get(&number).copied();
            return class.map(Some).ok_or_else(|| {
                format!("has label {number}, and the classes are {}", listed(&self.classes.names))
            });
        }
        let count = self.classes.names.len();
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let outside = || format!("has label {number}, and there are {count} classes, from {}", self.first);
        let place = place.filter(|place| *place < count).ok_or_else(outside)?;
        Ok(Some(match &self.order {
            LabelOrder::Mapped(ours) => *ours.get(place).ok_or_else(outside)?,
            _ => place as i32,
        }))
    }

    /// The class that a source means by a name.
    fn meant(&self, name: &str) -> Found {
        let renamed = self.classes.renamed.iter().find(|renamed| renamed.from == name);
        self.names.find(renamed.map_or(name, |renamed| &renamed.to))
    }

    /// Compares the source's class names with ours. Their order is a trap: copies of one data set exist with their
    /// labels in different orders.
    fn order_of(&self, source: Vec<String>, whole: bool) -> Result<LabelOrder> {
        let ours = &self.classes.names;
        let found: Vec<Option<usize>> = source.iter().map(|name| self.meant(name).one()).collect();
        let known: Vec<usize> = found.iter().copied().flatten().collect();
        let once: BTreeSet<usize> = known.iter().copied().collect();
        let all_once = known.len() == source.len() && once.len() == source.len();
        if !whole && all_once && source.len() < ours.len() {
            return Ok(LabelOrder::Mapped(known.into_iter().map(|class| class as i32).collect()));
        }
        let in_place = found.iter().enumerate().all(|(at, class)| class.is_none_or(|class| class == at));
        if source.len() != ours.len() || !(all_once || in_place) {
            return Err(Error::new(format!(
                "a table of images has the classes {}, which are not those expected: {}",
                listed(&source),
                listed(ours)
            )));
        }
        Ok(match (all_once, in_place) {
            (true, true) => LabelOrder::Same,
            (true, false) => LabelOrder::Mapped(known.into_iter().map(|class| class as i32).collect()),
            _ => LabelOrder::OtherNames(source),
        })
    }
}

/// The class of each number, where all classes are called by numerals and each by another number.
pub(crate) fn values(names: &[String]) -> Option<HashMap<i64, i32>> {
    let numbers: Option<HashMap<i64, i32>> =
        (0..).zip(names).map(|(class, name)| Some((name.trim().parse().ok()?, class))).collect();
    numbers.filter(|numbers| numbers.len() == names.len())
}

/// The class names of a column in what the `datasets` library writes of a table.
pub(crate) fn class_names(features: &str, label: &str) -> Option<Vec<String>> {
    let json: serde_json::Value = serde_json::from_str(features).ok()?;
    let names = json.get("info")?.get("features")?.get(label)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The first of the names, and how many there are.
pub(crate) fn listed(names: &[String]) -> String {
    let more = if names.len() > 12 { format!(", … ({} in all)", names.len()) } else { String::new() };
    format!("{}{more}", names.iter().take(12).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{BooleanArray, DictionaryArray, Float32Array, StringArray, UInt8Array};
    use arrow::datatypes::Int8Type;

    use super::*;

    fn reader(names: &[&str], first: i64) -> LabelReader {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        LabelReader::new(&Classes { texts: names.clone(), names, renamed: Vec::new() }, None, first, true)
            .unwrap()
    }

    fn classes(column: ArrayRef, reader: &LabelReader) -> Vec<Result<Option<i32>, String>> {
        written(&column).unwrap().iter().map(|label| reader.class(label)).collect()
    }

    #[test]
    fn whole_floats_flags_and_dictionaries_are_labels_and_nan_is_unknown() {
        let reader = reader(&["cat", "dog"], 0);
        let floats = Float32Array::from(vec![Some(1.0), Some(f32::NAN), None, Some(-1.0)]);
        assert_eq!(classes(Arc::new(floats), &reader), [Ok(Some(1)), Ok(None), Ok(None), Ok(None)]);
        let flags = BooleanArray::from(vec![Some(true), Some(false), None]);
        assert_eq!(classes(Arc::new(flags), &reader), [Ok(Some(1)), Ok(Some(0)), Ok(None)]);
        let words: DictionaryArray<Int8Type> = ["dog", " CAT ", ""].into_iter().collect();
        assert_eq!(classes(Arc::new(words), &reader), [Ok(Some(1)), Ok(Some(0)), Ok(None)]);
        let half = classes(Arc::new(Float32Array::from(vec![0.5])), &reader).remove(0).unwrap_err();
        assert!(half.contains("label 0.5, which is no whole number"), "{half}");
    }

    #[test]
    fn numbers_may_begin_anywhere_and_may_be_written_as_text() {
        let from_one = reader(&["a", "b", "c"], 1);
        let numbers = || Arc::new(UInt8Array::from(vec![1, 3, 0]));
        let read = classes(numbers(), &from_one);
        assert_eq!(read[..2], [Ok(Some(0)), Ok(Some(2))]);
        assert!(read[2].as_ref().unwrap_err().contains("label 0, and there are 3 classes, from 1"));
        let texts = Arc::new(StringArray::from(vec!["1", "03", "b"]));
        assert_eq!(classes(texts.clone(), &from_one), [Ok(Some(0)), Ok(Some(2)), Ok(Some(1))]);
        // A class that is called by a numeral is meant by it.
        assert_eq!(classes(texts, &reader(&["0", "1", "b"], 0))[0], Ok(Some(1)));
    }

    #[test]
    fn a_number_means_the_class_of_that_name_where_all_are_called_by_numerals() {
        let numbers = || Arc::new(UInt8Array::from(vec![1, 9, 0]));
        assert_eq!(classes(numbers(), &reader(&["9", "0", "1"], 0)), [Ok(Some(2)), Ok(Some(0)), Ok(Some(1))]);
        assert_eq!(classes(numbers(), &reader(&["01", "09", "10"], 0))[..2], [Ok(Some(0)), Ok(Some(1))]);
        assert!(classes(numbers(), &reader(&["1", "2", "9"], 0))[2].is_err());
    }

    #[test]
    fn names_that_are_alike_are_told_apart_as_they_are_written() {
        let reader = reader(&["A", "a", "10-1", "101"], 0);
        let labels = Arc::new(StringArray::from(vec!["a", "A", "101", "10_1", "\u{ff41}"]));
        let read = classes(labels, &reader);
        assert_eq!(read[..4], [Ok(Some(1)), Ok(Some(0)), Ok(Some(3)), Ok(Some(2))]);
        assert!(read[4].as_ref().unwrap_err().contains("any of A, a"));
    }
}
