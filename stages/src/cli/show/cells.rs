//! Values of a table as people read them: names in the place of the numbers of classes, long lists cut short.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;

/// Columns that hold numbers of classes, one a row or a list.
const OF_CLASSES: [&str; 7] =
    ["label", "single", "candidates", "votes", "prediction", "pseudo_label", "class"];
/// Columns with a probability for each class.
const OF_PROBABILITIES: [&str; 2] = ["probs", "mean_probs"];
/// A list of more values than this is cut short.
const LONG: usize = 8;
/// So many values of it are shown.
const SHOWN: usize = 3;

/// Whether values of this type are one text or number each.
pub(super) fn is_plain(kind: &DataType) -> bool {
    kind.is_integer() || matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The column `name` as people read it; as it is where it needs no names.
pub(super) fn readable(name: &str, column: &ArrayRef, classes: &[String]) -> Result<ArrayRef, ArrowError> {
    let of_classes = OF_CLASSES.contains(&name) && !classes.is_empty();
    let shown: StringArray = match column.data_type() {
        kind if kind.is_integer() && of_classes => {
            numbers(column)?.into_iter().map(|number| number.map(|number| named(number, classes))).collect()
        }
        DataType::List(element) if element.data_type().is_integer() && of_classes => {
            each_list(column, |list| Ok(list_of_names(name, &numbers(list)?, classes)))?
        }
        DataType::List(element) if element.data_type().is_floating() => {
            let probabilities = OF_PROBABILITIES.contains(&name);
            each_list(column, |list| {
                let values = cast(list, &DataType::Float64)?;
                let values: Vec<f64> = values
                    .as_primitive::<Float64Type>()
                    .iter()
                    .map(|value| value.unwrap_or(f64::NAN))
                    .collect();
                Ok(match probabilities && values.len() == classes.len() {
                    true => largest(&values, classes),
                    false => list_of_numbers(&values),
                })
            })?
        }
        _ => return Ok(column.clone()),
    };
    Ok(Arc::new(shown))
}

fn each_list(
    column: &ArrayRef,
    show: impl Fn(&ArrayRef) -> Result<String, ArrowError>,
) -> Result<StringArray, ArrowError> {
    column.as_list::<i32>().iter().map(|list| list.as_ref().map(&show).transpose()).collect()
}

fn numbers(column: &ArrayRef) -> Result<Vec<Option<i64>>, ArrowError> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect())
}

/// A class's name; its number where no class has that.
fn named(number: i64, classes: &[String]) -> String {
    let name = usize::try_from(number).ok().and_then(|number| classes.get(number));
    name.cloned().unwrap_or_else(|| number.to_string())
}

/// `[forest, –, river]`. Of long lists of votes, how many each class has; of others the first few.
fn list_of_names(name: &str, numbers: &[Option<i64>], classes: &[String]) -> String {
    let of = |number: &Option<i64>| number.map_or_else(|| "–".to_owned(), |number| named(number, classes));
    if numbers.len() <= LONG {
        return bracketed(numbers.iter().map(of), None);
    }
    if name != "votes" {
        return bracketed(numbers.iter().take(SHOWN).map(of), Some(numbers.len()));
    }
    let mut counts: BTreeMap<&Option<i64>, usize> = BTreeMap::new();
    numbers.iter().for_each(|number| *counts.entry(number).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    bracketed(counts.into_iter().map(|(number, count)| format!("{count} {}", of(number))), None)
}

/// `[0.93 forest, 0.04 river, 0.01 lake, …]`: the largest, of equals the first.
fn largest(values: &[f64], classes: &[String]) -> String {
    let mut places: Vec<usize> = (0..values.len()).collect();
    places.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let shown = places.iter().take(SHOWN).map(|&place| format!("{:.2} {}", values[place], classes[place]));
    let shown: Vec<String> = shown.collect();
    let more = if shown.len() < values.len() { ", …" } else { "" };
    format!("[{}{more}]", shown.join(", "))
}

/// `[0.93, 0.07]`, or `[… 512 numbers]`.
fn list_of_numbers(values: &[f64]) -> String {
    match values.len() {
        count if count > LONG => format!("[… {count} numbers]"),
        _ => bracketed(values.iter().map(|value| format!("{value:.2}")), None),
    }
}

/// Texts of a list; `of` says how many there are where not all are shown.
fn bracketed(texts: impl Iterator<Item = String>, of: Option<usize>) -> String {
    let more = of.map_or_else(String::new, |count| format!(", … {count} in all"));
    format!("[{}{more}]", texts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use arrow::array::{Array, Float32Array, Int32Array, ListArray, UInt16Array};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;

    use super::*;

    fn classes() -> Vec<String> {
        ["forest", "river", "lake", "desert"].map(str::to_owned).into()
    }

    fn texts(name: &str, column: ArrayRef) -> Vec<Option<String>> {
        let shown = readable(name, &column, &classes()).unwrap();
        shown.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    /// One list with these values.
    fn list(values: ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new("element", values.data_type().clone(), true));
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None))
    }

    fn of_list(name: &str, values: ArrayRef) -> String {
        texts(name, list(values)).remove(0).unwrap()
    }

    #[test]
    fn a_number_of_a_class_is_its_name_and_any_other_number_stays() {
        let labels: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(0), Some(-1), Some(4)]));
        let expected = [Some("river"), None, Some("forest"), Some("-1"), Some("4")];
        assert_eq!(texts("label", labels.clone()), expected.map(|text| text.map(str::to_owned)));
        for (name, classes) in [("epoch", classes()), ("label", Vec::new())] {
            assert_eq!(&readable(name, &labels, &classes).unwrap(), &labels);
        }
    }

    #[test]
    fn lists_of_classes_are_named_and_long_ones_counted_or_cut_short() {
        let votes = |votes: Vec<Option<u16>>| of_list("votes", Arc::new(UInt16Array::from(votes)));
        assert_eq!(votes(vec![Some(2), None, Some(0)]), "[lake, –, forest]");
        let many = [vec![Some(0); 3], vec![Some(3); 5], vec![None]].concat();
        assert_eq!(votes(many.clone()), "[5 desert, 3 forest, 1 –]");
        let candidates = of_list("candidates", Arc::new(UInt16Array::from(many)));
        assert_eq!(candidates, "[forest, forest, forest, … 9 in all]");
    }

    #[test]
    fn of_probabilities_the_largest_are_named_and_of_long_lists_the_length_is_said() {
        let floats = |values: &[f32]| -> ArrayRef { Arc::new(Float32Array::from(values.to_vec())) };
        assert_eq!(
            of_list("probs", floats(&[0.04, 0.93, 0.02, 0.02])),
            "[0.93 river, 0.04 forest, 0.02 lake, …]"
        );
        assert_eq!(of_list("weights", floats(&[0.25, 0.75])), "[0.25, 0.75]");
        assert_eq!(of_list("embedding", floats(&[0.5; 512])), "[… 512 numbers]");
        // As many numbers as there are no classes: names would be wrong.
        assert_eq!(of_list("probs", floats(&[1.0, 0.0])), "[1.00, 0.00]");
    }
}
