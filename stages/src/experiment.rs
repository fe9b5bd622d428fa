//! An experiment: its settings and the only wiring of the graph.

mod annotators;

use std::any::Any;

use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::{Graph, Handle};
use pipeline::stage::{Inputs, Stage};
use toml::{Table, Value};

use crate::co_reg::CoReg;
use crate::device::Place;
use crate::distill::Distill;
use crate::download::catalog::{DataSet, Source};
use crate::download::images::Download;
use crate::download::own::{Import, Own};
use crate::evaluate::Evaluate;
use crate::learner::Optimizer;
use crate::network::Architecture;
use crate::settings::{LabelSource, Settings, overrides, unknown};
use crate::statistics::{Summarise, SummariseLabels};
use crate::supervised;
use crate::variants::Branch;
use crate::warm_up::WarmUp;

const PROFILES: [(&str, &str); 2] = [
    ("quick", include_str!("../../data/profiles/quick.toml")),
    ("paper", include_str!("../../data/profiles/paper.toml")),
];

/// A data set and all settings.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The data set.
    pub data_set: DataSet,
    /// All settings.
    pub settings: Settings,
    /// Where it is computed.
    pub place: Place,
}

/// What the user chose.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// A data set of the catalog, or a TOML file like those.
    pub data_set: String,
    /// Images of one's own, in place of a data set.
    pub own: Option<Own>,
    /// `quick` or `paper`.
    pub profile: String,
    /// A CLIP other than the default: repository or folder.
    pub clip: Option<String>,
    /// Votes from elsewhere: a Parquet file.
    pub votes: Option<String>,
    /// Where the candidates come from: `clip`, `votes`, `clip+votes`, or `synthetic q=… eta=…`.
    pub labels: Option<String>,
    /// `key=value` pairs.
    pub set: Vec<String>,
}

impl Experiment {
    /// The experiment that the user chose.
    ///
    /// # Errors
    /// An unknown data set, profile or setting, by its nearest known name.
    pub fn new(choice: &Choice, place: Place) -> Result<Self> {
        let data_set = match &choice.own {
            Some(own) => own.describe()?,
            None => DataSet::find(&choice.data_set)?,
        };
        let profile = profile(&choice.profile)?.parse::<Table>();
        let profile = profile.or_fail(|| Error::new("the profile is no TOML"))?;
        // A misspelt name would silently be left out.
        data_set.profile.keys().try_for_each(|name| self::profile(name).map(drop))?;
        let own = data_set.profile.get(&choice.profile).cloned();
        let own = own.map(|own| ("the data set's part of the profile", own));
        let clip = choice.clip.iter().map(|clip| {
            let model = Table::from_iter([("model".to_owned(), Value::String(clip.clone()))]);
            ("CLIP", Table::from_iter([("clip".to_owned(), Value::Table(model))]))
        });
        let layers = [("data set", of_data_set(&data_set)), ("profile", profile)];
        let labels = choice.labels.as_deref().map(labels_layer).transpose()?.map(|layer| ("LABELS", layer));
        let votes = choice.votes.iter().map(|file| ("VOTES", votes_layer(file)));
        let chosen = clip.chain(votes).chain(labels).chain([("SET", overrides(&choice.set)?)]);
        let settings = Settings::layered(layers.into_iter().chain(own).chain(chosen))?;
        let revision = &settings.download.revision;
        if !(revision.is_empty() || matches!(data_set.source, Source::Hub(_))) {
            let name = &data_set.name;
            return Err(Error::new(format!(
                "download.revision = {revision}, but `{name}` does not come from a hub"
            ))
            .help("leave it out"));
        }
        Ok(Self { data_set, settings, place })
    }

    /// The graph: the chain of stages once for every branch, where branches share the stages whose settings
    /// and inputs are the same. A branch's own nodes carry its suffix.
    ///
    /// # Errors
    /// Prompts that cannot be read, or a suffix that is used twice.
    pub fn graph(&self, branches: &[Branch]) -> Result<Wired> {
        let mut wiring = Wiring { graph: Graph::new(self.data_set.name.clone())?, made: Vec::new() };
        let mut branched = Vec::new();
        for Branch { suffix, settings, .. } in branches {
            let branch = Self { settings: settings.clone(), ..self.clone() };
            branched.push(branch.wire(&mut wiring, suffix)?);
        }
        Ok(Wired { graph: wiring.graph, branches: branched })
    }

    /// Wires the chain of one branch; gives the nodes that say how it went.
    fn wire(&self, wiring: &mut Wiring, suffix: &str) -> Result<Findings> {
        let Self { settings: s, place, .. } = self;
        let place = *place;
        let (mut distilled, mut clips) = (None, Vec::new());
        let images = wiring.add(suffix, self.download(), ())?;
        let (labels, statistics) = match s.labels {
            LabelSource::Clip | LabelSource::Votes | LabelSource::ClipAndVotes => {
                let votes = self.wire_annotators(wiring, suffix, images, &mut clips)?;
                let labels = wiring.add(suffix, s.label.clone(), (images, votes))?;
                if s.distill.epochs > 0 {
                    distilled = Some(wiring.add(suffix, self.distill(), (images, votes, labels))?);
                }
                (labels, wiring.add(suffix, Summarise {}, (votes, labels))?)
            }
            LabelSource::Synthetic => {
                let labels = wiring.add(suffix, s.synthetic.clone(), (images,))?;
                (labels, wiring.add(suffix, SummariseLabels {}, (labels,))?)
            }
        };
        let warm = wiring.add(suffix, self.warm_up(), (images, labels))?;
        let trained = wiring.add(suffix, self.co_reg(), (images, labels, warm))?;
        let evaluate = Evaluate { input: s.input.clone(), place };
        let evaluate = wiring.add(suffix, evaluate, (images, labels, warm, trained))?;
        Ok(Findings {
            clips,
            statistics: wiring.name_of(statistics)?,
            distilled: distilled.map(|handle| wiring.name_of(handle)).transpose()?,
            evaluation: wiring.name_of(evaluate)?,
        })
    }

    fn download(&self) -> Download {
        let limits = &self.settings.download;
        // Class texts change what CLIP reads, not which images there are.
        let classes =
            crate::download::catalog::Classes { texts: Vec::new(), ..self.data_set.classes.clone() };
        Download {
            source: self.data_set.source.at(&limits.revision),
            classes,
            split: self.data_set.split,
            limit_train: limits.limit_train,
            limit_test: limits.limit_test,
            balanced: limits.balanced,
            seed: limits.seed,
            import: matches!(self.data_set.source, Source::Own(_))
                .then_some(Import { skip_unreadable: limits.skip_unreadable, shrink: limits.shrink }),
        }
    }

    fn architecture(&self) -> Architecture {
        let Settings { input, network, .. } = &self.settings;
        Architecture {
            input_channels: input.channels,
            input_size: input.size,
            width: network.width,
            blocks: network.blocks,
            first_stride: network.first_stride,
            classes: self.data_set.classes.names.len(),
            embedding: network.embedding,
        }
    }

    fn distill(&self) -> Distill {
        let Settings { seed, input, optimizer, warm_up, distill, .. } = &self.settings;
        Distill(supervised::Settings {
            epochs: distill.epochs,
            batch: warm_up.batch,
            seed: *seed,
            optimizer: Optimizer { horizon: distill.epochs, ..optimizer.clone() },
            input: input.clone(),
            architecture: self.architecture(),
            place: self.place,
        })
    }

    fn warm_up(&self) -> WarmUp {
        let Settings { seed, input, optimizer, warm_up, .. } = &self.settings;
        WarmUp(supervised::Settings {
            epochs: warm_up.epochs,
            batch: warm_up.batch,
            seed: *seed,
            optimizer: optimizer.clone(),
            input: input.clone(),
            architecture: self.architecture(),
            place: self.place,
        })
    }

    fn co_reg(&self) -> CoReg {
        let Settings { seed, input, optimizer, warm_up, co_reg, .. } = &self.settings;
        CoReg {
            method: co_reg.clone(),
            warm_up_epochs: warm_up.epochs,
            seed: *seed,
            optimizer: optimizer.clone(),
            input: input.clone(),
            place: self.place,
        }
    }
}

/// A graph, and what says how its branches went, in their order.
pub struct Wired {
    /// The graph.
    pub graph: Graph,
    /// Of each branch, the nodes to ask.
    pub branches: Vec<Findings>,
}

/// Names of the nodes that say how a branch went.
pub struct Findings {
    /// The CLIPs that voted.
    pub clips: Vec<ClipNodes>,
    /// How good the labels are.
    pub statistics: String,
    /// The plain student, if there is one.
    pub distilled: Option<String>,
    /// How good the student is.
    pub evaluation: String,
}

/// A CLIP that voted, and the nodes that know it.
pub struct ClipNodes {
    /// What the setting `clip.model` calls it.
    pub model: String,
    /// Which files it is made of.
    pub fetched: String,
    /// What it saw.
    pub embedded: String,
}

/// A graph under construction, and what was added to it.
struct Wiring {
    graph: Graph,
    made: Vec<Box<dyn Any>>,
}

impl Wiring {
    /// As [`add_as`](Self::add_as), under the stage's own name.
    fn add<S: Stage + PartialEq + Clone>(
        &mut self,
        suffix: &str,
        stage: S,
        inputs: <S::Inputs as Inputs>::Handles,
    ) -> Result<Handle<S::Output>>
    where
        <S::Inputs as Inputs>::Handles: 'static,
    {
        self.add_as(S::NAME, suffix, stage, inputs)
    }

    /// The node that runs `stage` on `inputs`: the one that is there already, or a new one of this name, which
    /// carries the suffix if the name is taken.
    fn add_as<S: Stage + PartialEq + Clone>(
        &mut self,
        name: &str,
        suffix: &str,
        stage: S,
        inputs: <S::Inputs as Inputs>::Handles,
    ) -> Result<Handle<S::Output>>
    where
        <S::Inputs as Inputs>::Handles: 'static,
    {
        type Made<S> = (S, <<S as Stage>::Inputs as Inputs>::Handles, Handle<<S as Stage>::Output>);
        let same = self.made.iter().filter_map(|made| made.downcast_ref::<Made<S>>());
        if let Some((.., handle)) = same.into_iter().find(|(s, i, _)| *s == stage && *i == inputs) {
            return Ok(*handle);
        }
        let taken = self.graph.nodes().any(|node| node.node == name);
        let name = if taken { format!("{name}{suffix}") } else { name.to_owned() };
        let handle = self.graph.add(name, stage.clone(), inputs.clone())?;
        self.made.push(Box::new((stage, inputs, handle)));
        Ok(handle)
    }

    fn name_of<T>(&self, handle: Handle<T>) -> Result<String> {
        let name = self.graph.name_of(handle).map(str::to_owned);
        name.ok_or_else(|| Error::new("a node is not in its own graph"))
    }
}

/// `VOTES` as a layer: the file, and that its votes stand in the place of CLIP's.
fn votes_layer(file: &str) -> Table {
    let own = Table::from_iter([("file".to_owned(), Value::String(file.to_owned()))]);
    let labels = ("labels".to_owned(), Value::String("votes".to_owned()));
    Table::from_iter([labels, ("votes".to_owned(), Value::Table(own))])
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
        ("strong", Value::Boolean(augmentation.strong)),
    ];
    let clip = clip.iter().map(|model| ("clip".to_owned(), table(vec![("model", model.as_str().into())])));
    let mut settings = Table::from_iter([
        ("input".to_owned(), table(input)),
        ("network".to_owned(), table(vec![("first_stride", number(image.first_stride))])),
        ("warm-up".to_owned(), table(vec![("epochs", number(schedule.warm_up))])),
        ("co-reg".to_owned(), table(vec![("epochs", number(schedule.total - schedule.warm_up))])),
    ]);
    settings.extend(clip);
    settings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings(profile: &str, labels: Option<&str>, set: &str) -> Result<Settings> {
        Ok(experiment(profile, labels, set)?.settings)
    }

    fn experiment(profile: &str, labels: Option<&str>, set: &str) -> Result<Experiment> {
        let choice = Choice {
            data_set: "demo".to_owned(),
            profile: profile.to_owned(),
            labels: labels.map(str::to_owned),
            set: vec![set.to_owned()],
            ..Choice::default()
        };
        Experiment::new(&choice, Place::Cpu)
    }

    #[test]
    fn a_data_sets_part_of_a_profile_lies_between_the_profile_and_the_users_settings() {
        let own = DataSet::find("demo").unwrap().profile["quick"].clone();
        let own = own["co-reg"]["epochs"].as_integer().unwrap() as usize;
        let quick = settings("quick", None, "seed=3").unwrap();
        assert_eq!((quick.co_reg.epochs, quick.warm_up.batch), (own, 64));
        assert_eq!(settings("quick", None, "co-reg.epochs=1").unwrap().co_reg.epochs, 1);
        assert_ne!(settings("paper", None, "").unwrap().co_reg.epochs, own);
    }

    #[test]
    fn labels_are_chosen_with_their_settings() {
        let labels = |text: &str| settings("quick", Some(text), "");
        assert_eq!(labels("clip").unwrap().labels, LabelSource::Clip);
        let synthetic = labels("synthetic q=0.03 eta=0.2").unwrap();
        assert_eq!(synthetic.labels, LabelSource::Synthetic);
        assert_eq!((synthetic.synthetic.q, synthetic.synthetic.eta), (0.03, 0.2));
        assert_eq!(labels("clip+votes").unwrap().labels, LabelSource::ClipAndVotes);
        let revision = settings("quick", None, "download.revision=main").unwrap_err().to_string();
        assert!(revision.contains("does not come from a hub"), "{revision}");
        for (wrong, said) in [("synthetic p=1", "synthetic.p"), ("people", "people"), ("clip q=1", "clip.q")]
        {
            let error = labels(wrong).unwrap_err().to_string();
            assert!(error.contains("LABELS") && error.contains(said), "{error}");
        }
    }

    fn nodes(set: &str, labels: &str) -> Vec<String> {
        let experiment = experiment("quick", Some(labels), set).unwrap();
        let graph = experiment.graph(&[experiment.branch()]).unwrap().graph;
        graph.nodes().map(|node| format!("{}({})", node.node, node.inputs.join(" "))).collect()
    }

    #[test]
    fn one_annotator_needs_no_names_and_several_are_joined() {
        let alone = nodes("distill.epochs=0", "clip");
        assert_eq!(
            alone[..4],
            ["download()", "clip()", "embed(download clip)", "annotate(download embed clip)"]
        );
        let people = nodes("votes.file=v.parquet distill.epochs=0", "votes");
        assert_eq!(people[..3], ["download()", "annotate(download)", "label(download annotate)"]);
        let both = nodes("clip.model=demo-clip,some/Large_CLIP@v2 votes.file=v.parquet", "clip+votes");
        assert_eq!(
            both[..9],
            [
                "download()",
                "clip.demo-clip()",
                "embed.demo-clip(download clip.demo-clip)",
                "annotate.demo-clip(download embed.demo-clip clip.demo-clip)",
                "clip.large-clip()",
                "embed.large-clip(download clip.large-clip)",
                "annotate.large-clip(download embed.large-clip clip.large-clip)",
                "annotate.votes(download)",
                "annotate(annotate.demo-clip annotate.large-clip annotate.votes)",
            ]
        );
    }

    #[test]
    fn annotators_that_cannot_be_told_apart_are_refused() {
        let refused = |set: &str, labels: &str| {
            let experiment = experiment("quick", Some(labels), set).unwrap();
            experiment.graph(&[experiment.branch()]).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(refused("clip.model=demo-clip,demo-clip", "clip").contains("demo-clip"));
        assert!(refused("clip.model=demo-clip,", "clip").contains("clip.model"));
        assert!(refused("", "votes").contains("VOTES"));
    }
}
