//! An experiment: its settings and the only wiring of the graph.

use std::any::Any;

use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::{Graph, Handle};
use pipeline::stage::{Inputs, Stage};
use serde::Deserialize;
use toml::{Table, Value};

use crate::annotate::{Annotate, templates};
use crate::co_reg::CoReg;
use crate::device::Place;
use crate::distill::Distill;
use crate::download::catalog::DataSet;
use crate::download::images::Download;
use crate::download::model::{FetchClip, Origin};
use crate::embed::Embed;
use crate::evaluate::Evaluate;
use crate::learner::Optimizer;
use crate::network::Architecture;
use crate::settings::{Settings, overrides, unknown};
use crate::statistics::Summarise;
use crate::supervised;
use crate::warm_up::WarmUp;

const PROFILES: [(&str, &str); 2] = [
    ("quick", include_str!("../../data/profiles/quick.toml")),
    ("paper", include_str!("../../data/profiles/paper.toml")),
];
const ABLATIONS: &str = include_str!("../../data/variants/ablations.toml");

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
    /// `quick` or `paper`.
    pub profile: String,
    /// A CLIP other than the default: repository or folder.
    pub clip: Option<String>,
    /// `key=value` pairs.
    pub set: Vec<String>,
}

impl Experiment {
    /// The experiment that the user chose.
    ///
    /// # Errors
    /// An unknown data set, profile or setting, by its nearest known name.
    pub fn new(choice: &Choice, place: Place) -> Result<Self> {
        let data_set = DataSet::find(&choice.data_set)?;
        let profile = PROFILES.iter().find(|(name, _)| *name == choice.profile);
        let (_, profile) = profile.ok_or_else(|| {
            unknown("profile", &choice.profile, PROFILES.iter().map(|(name, _)| (*name).to_owned()))
        })?;
        let profile = profile.parse::<Table>().or_fail(|| Error::new("the profile is no TOML"))?;
        let clip = choice.clip.iter().map(|clip| {
            let model = Table::from_iter([("model".to_owned(), Value::String(clip.clone()))]);
            ("CLIP", Table::from_iter([("clip".to_owned(), Value::Table(model))]))
        });
        let layers = [("data set", of_data_set(&data_set)), ("profile", profile)];
        let settings =
            Settings::layered(layers.into_iter().chain(clip).chain([("SET", overrides(&choice.set)?)]))?;
        Ok(Self { data_set, settings, place })
    }

    /// The graph: the chain of stages once for every branch, where branches share the stages whose settings
    /// and inputs are the same. A branch's own nodes carry its suffix.
    ///
    /// # Errors
    /// Prompts that cannot be read, or a suffix that is used twice.
    pub fn graph(&self, branches: &[Branch]) -> Result<Wired> {
        let mut wiring = Wiring { graph: Graph::new(self.data_set.name.clone())?, made: Vec::new() };
        let mut evaluations = Vec::new();
        for Branch { suffix, settings, .. } in branches {
            let branch = Self { settings: settings.clone(), ..self.clone() };
            evaluations.push(branch.wire(&mut wiring, suffix)?);
        }
        Ok(Wired { graph: wiring.graph, evaluations })
    }

    /// Wires the chain of one branch; gives the name of the node that evaluates it.
    fn wire(&self, wiring: &mut Wiring, suffix: &str) -> Result<String> {
        let Self { settings: s, place, .. } = self;
        let place = *place;
        let images = wiring.add(suffix, self.download(), ())?;
        let origin = Origin::new(&s.clip.model, &s.clip.revision);
        let clip = wiring.add(suffix, FetchClip { origin: origin.clone() }, ())?;
        let embeddings = wiring.add(suffix, Embed { clip: origin, place }, (images, clip))?;
        let votes = wiring.add(suffix, self.annotate()?, (images, embeddings, clip))?;
        let labels = wiring.add(suffix, s.label.clone(), (images, votes))?;
        wiring.add(suffix, Summarise {}, (votes, labels))?;
        let warm = wiring.add(suffix, self.warm_up(), (images, labels))?;
        let trained = wiring.add(suffix, self.co_reg(), (images, labels, warm))?;
        if s.distill.epochs > 0 {
            wiring.add(suffix, self.distill(), (images, votes, labels))?;
        }
        let evaluate = Evaluate { input: s.input.clone(), place };
        let evaluation = wiring.add(suffix, evaluate, (images, labels, warm, trained))?;
        let name = wiring.graph.name_of(evaluation).map(str::to_owned);
        name.ok_or_else(|| Error::new("the evaluation is not in the graph"))
    }

    /// The experiment itself, as its only branch.
    pub fn branch(&self) -> Branch {
        Branch { suffix: String::new(), variant: String::new(), settings: self.settings.clone() }
    }

    /// One branch a variant and seed. Without a file the variants are the paper's ablations.
    ///
    /// # Errors
    /// A file that cannot be read, is no list of variants, or names an unknown setting.
    pub fn variants(&self, file: Option<&std::path::Path>, seeds: u64) -> Result<Vec<Branch>> {
        let text = match file {
            None => ABLATIONS.to_owned(),
            Some(path) => std::fs::read_to_string(path).or_fail(|| {
                let help = "name a TOML file like data/variants/ablations.toml";
                Error::new("cannot read the variants").at(path).help(help)
            })?,
        };
        let at = file.map_or_else(|| "the built-in ablations".to_owned(), |path| path.display().to_string());
        let list: Variants = toml::from_str(&text).or_fail(|| {
            Error::new("cannot understand the variants")
                .at(&at)
                .help("write [[variant]] with name and set = \"stage.key=value …\"")
        })?;
        if list.variant.is_empty() {
            return Err(Error::new("there is no variant").at(&at).help("write at least one [[variant]]"));
        }
        let twice = |of: fn(&Variant) -> &str| {
            let names: Vec<&str> = list.variant.iter().map(of).collect();
            (1..names.len()).find(|&i| names[..i].contains(&names[i])).map(|i| names[i].to_owned())
        };
        if let Some(name) = twice(|v| &v.name).or_else(|| twice(Variant::title)) {
            return Err(Error::new(format!("two variants are called `{name}`"))
                .at(&at)
                .help("give each a name and a title of its own"));
        }
        let own = Table::try_from(&self.settings).or_fail(|| Error::new("cannot list the settings"))?;
        let mut branches = Vec::new();
        for seed in self.settings.seed..self.settings.seed + seeds.max(1) {
            for variant in &list.variant {
                let layer = overrides(std::slice::from_ref(&variant.set))?;
                let seeded = Table::from_iter([("seed".to_owned(), Value::Integer(seed as i64))]);
                let layers = [("settings", own.clone()), ("seed", seeded), (variant.name.as_str(), layer)];
                let settings = Settings::layered(layers)?;
                branches.push(Branch {
                    suffix: format!(".{}.seed{seed}", variant.name),
                    variant: variant.title().to_owned(),
                    settings,
                });
            }
        }
        Ok(branches)
    }

    fn download(&self) -> Download {
        let limits = &self.settings.download;
        // Class texts change what CLIP reads, not which images there are.
        let classes =
            crate::download::catalog::Classes { texts: Vec::new(), ..self.data_set.classes.clone() };
        Download {
            source: self.data_set.source.clone(),
            classes,
            split: self.data_set.split,
            limit_train: limits.limit_train,
            limit_test: limits.limit_test,
            seed: limits.seed,
        }
    }

    fn annotate(&self) -> Result<Annotate> {
        let settings = &self.settings.annotate;
        Ok(Annotate {
            templates: templates(&settings.prompts)?,
            class_texts: self.data_set.classes.texts.clone(),
            logit_scale: settings.logit_scale,
            clip: Origin::new(&self.settings.clip.model, &self.settings.clip.revision),
            place: self.place,
        })
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

/// A graph, and the nodes that evaluate its branches, in their order.
pub struct Wired {
    /// The graph.
    pub graph: Graph,
    /// Names of the evaluating nodes.
    pub evaluations: Vec<String>,
}

/// A graph under construction, and what was added to it.
struct Wiring {
    graph: Graph,
    made: Vec<Box<dyn Any>>,
}

impl Wiring {
    /// The node that runs `stage` on `inputs`: the one that is there already, or a new one, which carries
    /// the suffix if the stage's own name is taken.
    fn add<S: Stage + PartialEq + Clone>(
        &mut self,
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
        let taken = self.graph.nodes().any(|node| node.node == S::NAME);
        let name = if taken { format!("{}{suffix}", S::NAME) } else { S::NAME.to_owned() };
        let handle = self.graph.add(name, stage.clone(), inputs)?;
        self.made.push(Box::new((stage, inputs, handle)));
        Ok(handle)
    }
}

/// One set of settings on a graph that others share.
#[derive(Clone, Debug)]
pub struct Branch {
    /// What its nodes' names end with.
    pub suffix: String,
    /// The variant's title.
    pub variant: String,
    /// The settings.
    pub settings: Settings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variants {
    variant: Vec<Variant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    name: String,
    title: Option<String>,
    #[serde(default)]
    set: String,
}

impl Variant {
    fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
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
