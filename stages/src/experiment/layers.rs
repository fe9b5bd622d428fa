//! What the user chose, as layers of settings.

use pipeline::error::{Error, OrFail, Result};
use toml::{Table, Value};

use super::settings::{nested, overrides, with_variants};
use super::{Choice, budget};
use crate::dataset::catalog::DataSet;
use crate::methods::METHODS;
use crate::runtime::suggest::unknown;

const QUICK: &str = "quick";
const PROFILES: [(&str, &str); 2] = [
    (QUICK, include_str!("../../../data/profiles/quick.toml")),
    ("paper", include_str!("../../../data/profiles/paper.toml")),
];

/// The layers over the defaults, the lowest first, each with a name for its errors: the data set, the profile, what the
/// data set wants laid over it, and what the user says.
///
/// # Errors
/// An unknown profile or variant of a method; words that set nothing.
pub(super) fn of(choice: &Choice, data_set: &DataSet) -> Result<Vec<(&'static str, Table)>> {
    let no_toml = || Error::new("the profile is no TOML");
    let mut profile = self::profile(&choice.profile)?.parse::<Table>().or_fail(no_toml)?;
    if choice.profile == QUICK {
        for method in METHODS {
            let own = method.quick.parse::<Table>().or_fail(no_toml)?;
            profile.insert(method.name.to_owned(), Value::Table(own));
        }
    }
    let of_profile = profile.remove("budget").and_then(|budget| Some(budget.as_str()?.to_owned()));
    let classes = data_set.classes.names.len();
    let budget = |budget: &String| budget::layer(budget, classes);
    // A misspelt name would silently be left out.
    data_set.profile.keys().try_for_each(|name| self::profile(name).map(drop))?;
    check_annotators(choice)?;
    let mut layers = vec![("data set", of_data_set(data_set)), ("profile", profile)];
    layers.extend(of_profile.as_ref().map(budget).transpose()?.map(|layer| ("the profile's budget", layer)));
    let own = data_set.profile.get(&choice.profile).cloned();
    layers.extend(own.map(|own| ("the data set's part of the profile", own)));
    layers
        .extend(choice.clip.iter().map(|model| ("CLIP", nested("clip.model", Value::String(model.clone())))));
    layers.extend(choice.votes.iter().map(|file| ("VOTES", votes_layer(file))));
    layers.extend(choice.labels.as_deref().map(labels_layer).transpose()?.map(|layer| ("LABELS", layer)));
    layers.extend(choice.shots.iter().map(|shots| {
        let shots = i64::try_from(*shots).unwrap_or(i64::MAX);
        ("SHOTS", nested("label.shots", Value::Integer(shots)))
    }));
    layers.extend(choice.truth.iter().map(|file| ("TRUTH", nested("label.truth", file.as_str().into()))));
    layers.extend(choice.method.iter().map(|name| ("METHOD", nested("method", name.as_str().into()))));
    layers.extend(choice.budget.as_ref().map(budget).transpose()?.map(|layer| ("BUDGET", layer)));
    layers.push(("SET", overrides(&choice.set)?));
    // Now, so that who sets the settings of a variant can be told.
    layers.into_iter().map(|(name, layer)| Ok((name, with_variants(name, layer)?))).collect()
}

/// VOTES must count where they are given, and where CLIP is given too, LABELS says whether it votes beside them.
fn check_annotators(Choice { clip, votes, labels, .. }: &Choice) -> Result<()> {
    let source = labels.as_deref().map(|labels| labels.split_whitespace().next().unwrap_or_default());
    let fault = match (clip, votes, source) {
        (Some(_), Some(_), None) => "CLIP and VOTES are both given, and VOTES alone would stand in for CLIP",
        (_, Some(_), Some("clip" | "synthetic")) => "VOTES is given, and LABELS names another source",
        _ => return Ok(()),
    };
    Err(Error::new(fault).help("LABELS=clip+votes takes both; leave out what is not to vote"))
}

/// `VOTES` as a layer: the file, and that its votes stand in the place of CLIP's.
fn votes_layer(file: &str) -> Table {
    let mut layer = nested("labels", "votes".into());
    layer.extend(nested("votes.file", file.into()));
    layer
}

/// `LABELS` as a layer: the source, and for synthetic labels their settings.
fn labels_layer(text: &str) -> Result<Table> {
    let (source, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    let mut layer = Table::from_iter([("labels".to_owned(), Value::String(source.to_owned()))]);
    let own = overrides(&[rest.to_owned()])?;
    if !own.is_empty() {
        layer.insert(source.to_owned(), Value::Table(own));
    }
    Ok(layer)
}

/// The text of a profile.
fn profile(name: &str) -> Result<&'static str> {
    let found = PROFILES.iter().find(|(known, _)| *known == name);
    let names = || PROFILES.iter().map(|(name, _)| (*name).to_owned());
    found.map(|(_, text)| *text).ok_or_else(|| unknown("profile", name, names()))
}

/// What a data set says of the settings (method §§3 and 9).
fn of_data_set(data_set: &DataSet) -> Table {
    let DataSet { image, augmentation, schedule, clip, .. } = data_set;
    let numbers = |values: &[f32]| -> Vec<Value> {
        // Through text, so that .4914 stays .4914 and does not become its f32 neighbour in f64.
        values.iter().map(|v| Value::Float(v.to_string().parse().unwrap_or(f64::from(*v)))).collect()
    };
    let table = |entries: Vec<(&str, Value)>| {
        Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let number = |n: usize| Value::Integer(n as i64);
    let input = vec![
        ("size", number(image.size)),
        ("channels", number(image.channels)),
        ("mean", Value::Array(numbers(&image.mean))),
        ("std", Value::Array(numbers(&image.std))),
        ("flip", Value::Boolean(augmentation.flip)),
        ("strong", augmentation.strong.name().into()),
    ];
    let clip = clip.iter().map(|model| ("clip".to_owned(), table(vec![("model", model.as_str().into())])));
    let mut settings = Table::from_iter([
        ("input".to_owned(), table(input)),
        ("network".to_owned(), table(vec![("first_stride", number(image.first_stride))])),
    ]);
    settings.extend(METHODS.iter().map(|method| (method.name.to_owned(), method.scheduled(schedule).into())));
    settings.extend(clip);
    settings
}
