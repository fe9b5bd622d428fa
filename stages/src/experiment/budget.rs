//! How long a student trains, in a word: as images that each of its networks sees.

use pipeline::error::Result;
use toml::{Table, Value};

use super::settings::nested;
use crate::runtime::suggest::unknown;

/// Words for budgets: images that a network sees where there are up to ten classes, and whether all training images take
/// part, however many the profile takes.
const WORDS: [(&str, usize, bool); 3] =
    [("small", 75_000, false), ("medium", 150_000, false), ("large", 600_000, true)];

/// Classes up to which a word stands for its number; with more of them there is more to see.
const CLASSES: usize = 10;

/// A budget, a word or a number of images, as a layer of settings.
///
/// # Errors
/// Neither a word that is known nor a number.
pub(super) fn layer(budget: &str, classes: usize) -> Result<Table> {
    let images = |count: usize| nested("optimizer.budget", Value::Integer(count as i64));
    if let Ok(count) = budget.replace('_', "").parse::<usize>() {
        return Ok(images(count.min(i64::MAX as usize)));
    }
    let Some((_, count, all)) = WORDS.into_iter().find(|(word, ..)| *word == budget) else {
        let words = WORDS.iter().map(|(word, ..)| (*word).to_owned());
        let number = "a number of images, such as 150000".to_owned();
        return Err(unknown("budget", budget, words.chain([number])));
    };
    let mut layer = images(count * classes.max(CLASSES) / CLASSES);
    if all {
        layer.extend(nested("download.limit_train", Value::Integer(0)));
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seen(budget: &str, classes: usize) -> i64 {
        layer(budget, classes).unwrap()["optimizer"]["budget"].as_integer().unwrap()
    }

    #[test]
    fn a_budget_is_a_word_or_a_number() {
        assert_eq!([seen("small", 2), seen("medium", 10), seen("large", 10)], [75_000, 150_000, 600_000]);
        assert_eq!(seen("medium", 43), 645_000);
        assert_eq!([seen("0", 10), seen("1_000", 100)], [0, 1000]);
        assert!(layer("huge", 10).unwrap_err().to_string().contains("150000"));
        assert!(layer("-1", 10).is_err());
    }

    #[test]
    fn a_large_budget_takes_all_images() {
        assert_eq!(layer("large", 10).unwrap()["download"]["limit_train"].as_integer(), Some(0));
        assert!(!layer("small", 10).unwrap().contains_key("download"));
    }
}
