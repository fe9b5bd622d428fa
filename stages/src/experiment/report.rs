//! What the report is told of an experiment: in words, what was asked and which settings differ from the defaults.

use std::collections::BTreeMap;

use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Handle;
use pipeline::shared_graph::SharedGraph;
use pipeline::stage::Stage;
use toml::{Table, Value};

use super::Experiment;
use super::settings::{LabelSource, Settings, leaves};
use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::findings::Findings;
use crate::artifacts::images::Images;
use crate::artifacts::page::Page;
use crate::artifacts::statistics::Statistics;
use crate::artifacts::training::Trained;
use crate::learn::method::Method;
use crate::methods::distill::Distill;
use crate::methods::{METHODS, TrainingNode};
use crate::report::{About, Change, Named, Report};

/// Who set each setting last, by its dotted name; settings that nobody set have their defaults.
pub(super) type Setters = BTreeMap<String, &'static str>;

/// Who sets what in a variant.
const VARIANT: &str = "variant";

/// Who sets what in these layers, of which a later one is laid over the earlier ones.
pub(super) fn setters(layers: &[(&'static str, Table)]) -> Setters {
    let of = |(name, layer): &(&'static str, Table)| {
        let name = *name;
        leaves("", layer.clone()).into_iter().map(move |(key, _)| (key, name))
    };
    layers.iter().flat_map(of).collect()
}

/// The settings by their dotted names.
fn by_name(settings: &Settings) -> Result<Vec<(String, Value)>> {
    let table = Table::try_from(settings).or_fail(|| Error::new("cannot list the settings"))?;
    Ok(leaves("", table))
}

/// Who sets what in a variant of an experiment.
pub(super) fn of_variant(base: &Experiment, settings: &Settings) -> Result<Setters> {
    let mut setters = base.setters.clone();
    for ((key, before), (_, now)) in by_name(&base.settings)?.into_iter().zip(by_name(settings)?) {
        if before != now {
            setters.insert(key, VARIANT);
        }
    }
    Ok(setters)
}

/// The settings that differ from the defaults.
fn changes(settings: &Settings, setters: &Setters) -> Result<BTreeMap<String, Change>> {
    // As they are written behind SET.
    let written = |value: &Value| match value {
        Value::String(text) => without_places(text),
        other => other.to_string(),
    };
    let all = by_name(settings)?.into_iter().zip(by_name(&Settings::defaults()?)?);
    let changed = all.filter(|((_, value), (_, default))| value != default);
    Ok(changed
        .map(|((key, value), (_, default))| {
            let by = setters.get(&key).copied().unwrap_or_default().to_owned();
            (key, Change { value: written(&value), default: written(&default), by })
        })
        .collect())
}

/// A text in which whole paths have their last part alone: where a file lies is no part of what was made of it, and
/// nobody's business to whom a report is sent.
fn without_places(text: &str) -> String {
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '`' | '\'' | '"' | ',' | '+' | '(' | ')' | ':' | ';');
    let short = |word: &str| {
        let bare = word.trim_end_matches(ends);
        match bare.strip_prefix('/').and_then(|path| path.trim_end_matches('/').rsplit('/').next()) {
            Some(last) if !last.is_empty() => format!("…/{last}{}", &word[bare.len()..]),
            _ => word.to_owned(),
        }
    };
    text.split_inclusive(ends).map(short).collect()
}

/// The handles of what a report is made of.
pub(super) struct Shown {
    pub(super) images: Handle<Images>,
    pub(super) labels: Handle<Labels>,
    pub(super) votes: Option<Handle<Votes>>,
    pub(super) statistics: Handle<Statistics>,
    pub(super) evaluation: Handle<Evaluation>,
    pub(super) findings: Handle<Findings>,
}

impl Experiment {
    /// Wires the report of one branch: of the `baselines`, and of `trainings`, each of which goes on from the one before
    /// and the last of which is the method's.
    pub(super) fn wire_report(
        &self,
        graph: &mut SharedGraph,
        suffix: &str,
        shown: &Shown,
        (baselines, trainings): (&[TrainingNode], &[TrainingNode]),
        trained: Handle<Trained>,
        notes: &[String],
    ) -> Result<Handle<Page>> {
        let votes = shown.votes.map(Handle::part);
        let others = baselines.iter().chain(trainings).filter(|training| training.trained != trained);
        let beside = votes.into_iter().chain(others.map(|training| training.trained.part())).collect();
        let named = |(training, goes_on): (&TrainingNode, bool)| {
            let title = match training.method {
                // As the summary calls it: what it learns is what makes it plain.
                Distill::NAME if training.trained != trained => "a plain student of that average",
                _ => training.title,
            };
            Named { title: title.to_owned(), goes_on }
        };
        let baselines = baselines.iter().filter(|training| training.trained != trained).map(|t| (t, false));
        let all = baselines.chain(trainings.iter().enumerate().map(|(at, training)| (training, at > 0)));
        let method = trainings.last().map_or("", |method| method.title).to_owned();
        let mut changed = changes(&self.settings, &self.setters)?;
        // Settings of methods that are not in the run would only be in the way.
        let is_of = |key: &str, name: &str| key.split('.').next() == Some(name);
        let used = |name: &str| all.clone().any(|(training, _)| training.method == name);
        changed.retain(|key, _| !METHODS.iter().any(|other| is_of(key, other.name) && !used(other.name)));
        let mut assumed = self.notes.clone();
        assumed.extend(notes.iter().cloned());
        let about = About {
            title: self.data_set.title.clone(),
            name: self.data_set.name.clone(),
            note: self.data_set.note.clone().unwrap_or_default().trim().to_owned(),
            method,
            annotators: without_places(&self.annotators()),
            assumed: assumed.iter().map(|note| without_places(note)).collect(),
            changed,
        };
        let stage = Report { about, trainings: all.map(named).collect() };
        let Shown { images, labels, statistics, evaluation, findings, .. } = *shown;
        let inputs = (images, labels, statistics, trained, evaluation, findings, beside);
        graph.add(Report::NAME, suffix, stage, inputs)
    }

    /// Who annotates, in words.
    fn annotators(&self) -> String {
        let Settings { labels, clip, votes, synthetic, .. } = &self.settings;
        match labels {
            LabelSource::Clip => format!("CLIP {}", clip.model),
            LabelSource::Votes => format!("votes of {}", votes.file),
            LabelSource::ClipAndVotes => format!("CLIP {} and votes of {}", clip.model, votes.file),
            LabelSource::Synthetic => {
                format!("synthetic labels (q = {}, eta = {})", synthetic.q, synthetic.eta)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::experiment::settings::overrides;

    #[test]
    fn of_a_whole_path_the_last_part_is_told() {
        for (text, told) in [
            ("photo27+/home/me/my prompts.txt", "photo27+…/my prompts.txt"),
            ("votes of /data/votes.csv", "votes of …/votes.csv"),
            ("`/tmp/a/b/` holds images, and (/c) others", "`…/b` holds images, and (…/c) others"),
            ("openai/clip-vit-base-patch32, and/or a / b", "openai/clip-vit-base-patch32, and/or a / b"),
        ] {
            assert_eq!(without_places(text), told);
        }
    }

    #[test]
    fn a_changed_setting_is_told_with_its_default_and_who_changed_it_last() {
        let layer = |text: &str| overrides(&[text.to_owned()]).unwrap();
        let layers =
            [("profile", layer("co-reg.epochs=5 seed=0 input.size=64")), ("SET", layer("co-reg.epochs=7"))];
        let settings = Settings::layered(layers.clone()).unwrap();
        let changed = changes(&settings, &setters(&layers)).unwrap();
        let told: Vec<(&str, &str, &str)> =
            changed.iter().map(|(key, c)| (key.as_str(), c.value.as_str(), c.by.as_str())).collect();
        // The seed was set to what it is anyway.
        assert_eq!(told, [("co-reg.epochs", "7", "SET"), ("input.size", "64", "profile")]);
        assert_eq!(changed["input.size"].default, "32");
    }
}
