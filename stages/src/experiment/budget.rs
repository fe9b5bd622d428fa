//! How long a student trains, as images that each of its networks sees; everything that is counted in epochs follows.
//!
//! An epoch is 5,000 images, however many there are. What a longer training gets is more epochs, not longer ones: labels
//! are made anew once an epoch, and a network that sees much between two times learns wrong ones by heart
//! (docs/experiments/README.md). Warm-up does not grow beyond ten epochs, since candidates are all that it has.

use pipeline::error::Result;
use toml::{Table, Value};

use super::settings::nested;
use crate::dataset::catalog::Schedule;
use crate::methods::METHODS;
use crate::runtime::suggest::unknown;

/// Words for budgets: images that a network sees where there are up to ten classes, and whether all training images take
/// part, however many the profile takes.
const WORDS: [(&str, usize, bool); 3] =
    [("small", 75_000, false), ("medium", 150_000, false), ("large", 600_000, true)];

/// Classes up to which a word stands for its number; with more of them there is more to see.
const CLASSES: usize = 10;
/// Images of an epoch.
const EPOCH: usize = 5_000;
/// Most epochs of warm-up, and the part of all epochs that it is in short trainings.
const WARM_UP: usize = 10;
const PART: usize = 3;

/// A budget, a word or a number of images, as a layer of settings.
///
/// # Errors
/// Neither a word that is known nor a number above zero.
pub(super) fn layer(budget: &str, classes: usize) -> Result<Table> {
    if let Some(count) = budget.replace('_', "").parse().ok().filter(|&count| count > 0) {
        return Ok(schedule(count));
    }
    let Some((_, count, all)) = WORDS.into_iter().find(|(word, ..)| *word == budget) else {
        let words = WORDS.iter().map(|(word, ..)| (*word).to_owned());
        let number = "a number of images, such as 150000".to_owned();
        return Err(unknown("budget", budget, words.chain([number])));
    };
    let mut layer = schedule(count * classes.max(CLASSES) / CLASSES);
    if all {
        layer.extend(nested("download.limit_train", Value::Integer(0)));
    }
    Ok(layer)
}

/// The epochs of every method for so many images.
fn schedule(images: usize) -> Table {
    let total = images.div_ceil(EPOCH).max(PART);
    let schedule = Schedule { warm_up: (total / PART).min(WARM_UP), total };
    let number = |value: usize| Value::Integer(value.min(i64::MAX as usize) as i64);
    let optimizer = [("budget", images), ("horizon", total)].map(|(name, n)| (name.to_owned(), number(n)));
    let mut layer = Table::from_iter([("optimizer".to_owned(), Table::from_iter(optimizer).into())]);
    let of_methods =
        METHODS.iter().map(|method| (method.name.to_owned(), method.in_budget(&schedule).into()));
    layer.extend(of_methods);
    layer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(layer: &Table, table: &str, name: &str) -> i64 {
        layer[table][name].as_integer().unwrap()
    }

    #[test]
    fn a_budget_is_a_word_or_a_number() {
        let seen = |budget: &str, classes| number(&layer(budget, classes).unwrap(), "optimizer", "budget");
        assert_eq!([seen("small", 2), seen("medium", 10), seen("large", 10)], [75_000, 150_000, 600_000]);
        assert_eq!(seen("medium", 43), 645_000);
        assert_eq!(seen("1_000", 100), 1000);
        assert!(layer("huge", 10).unwrap_err().to_string().contains("150000"));
        assert!(layer("-1", 10).is_err() && layer("0", 10).is_err());
    }

    #[test]
    fn a_longer_training_has_more_epochs_and_no_longer_warm_up() {
        let epochs = |budget: &str| {
            let layer = layer(budget, 10).unwrap();
            let of = |table, name| number(&layer, table, name);
            assert_eq!(of("warm-up", "epochs") + of("co-reg", "epochs"), of("optimizer", "horizon"));
            assert_eq!(of("distill", "epochs"), of("optimizer", "horizon"));
            (of("warm-up", "epochs"), of("co-reg", "epochs"), of("co-reg", "regularise_after"))
        };
        assert_eq!(epochs("small"), (5, 10, 7));
        assert_eq!(epochs("medium"), (10, 20, 15));
        assert_eq!(epochs("large"), (10, 110, 82));
        assert_eq!(epochs("1"), (1, 2, 1));
        assert!(!layer("medium", 10).unwrap()["co-reg"].as_table().unwrap().contains_key("mixup"));
        assert_eq!(layer("large", 10).unwrap()["co-reg"]["mixup"].as_float(), Some(4.0));
    }

    #[test]
    fn a_large_budget_takes_all_images() {
        assert_eq!(layer("large", 10).unwrap()["download"]["limit_train"].as_integer(), Some(0));
        assert!(!layer("small", 10).unwrap().contains_key("download"));
    }
}
