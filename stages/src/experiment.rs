//! An experiment: its settings and the only wiring of the graph.

use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::{Graph, Handle};
use serde::Deserialize;
use toml::{Table, Value};

use crate::annotate::{Annotate, templates};
use crate::artifacts::training::WarmedUp;
use crate::co_reg::CoReg;
use crate::device::Place;
use crate::download::catalog::DataSet;
use crate::download::images::Download;
use crate::download::model::FetchClip;
use crate::embed::Embed;
use crate::evaluate::Evaluate;
use crate::network::Architecture;
use crate::settings::{Settings, overrides, unknown};
use crate::statistics::Summarise;
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

    /// The graph: one chain up to the labels, then a branch for each set of settings that differs in what
    /// follows. A branch's nodes carry its suffix.
    ///
    /// # Errors
    /// Prompts that cannot be read, or a suffix that is used twice.
    pub fn graph(&self, branches: &[Branch]) -> Result<Graph> {
        let Self { data_set, settings, place } = self;
        let place = *place;
        let mut graph = Graph::new(data_set.name.clone())?;
        let images = graph.add("download", self.download(), ())?;
        let clip = graph.add("clip", FetchClip::new(&settings.clip.model, &settings.clip.revision), ())?;
        let embeddings = graph.add("embed", Embed { place }, (images, clip))?;
        let votes = graph.add("annotate", self.annotate()?, (images, embeddings, clip))?;
        let labels = graph.add("label", settings.label.clone(), (images, votes))?;
        graph.add("statistics", Summarise {}, (votes, labels))?;
        let mut warmed: Vec<(WarmUp, Handle<WarmedUp>)> = Vec::new();
        for Branch { suffix, settings, .. } in branches {
            let branch = Self { settings: settings.clone(), ..self.clone() };
            let warm_up = branch.warm_up();
            let known = warmed.iter().find(|(stage, _)| *stage == warm_up).map(|&(_, handle)| handle);
            let warm = match known {
                Some(handle) => handle,
                None => graph.add(format!("warm-up{suffix}"), warm_up.clone(), (images, labels))?,
            };
            warmed.push((warm_up, warm));
            let trained = graph.add(format!("co-reg{suffix}"), branch.co_reg(), (images, labels, warm))?;
            let evaluate = Evaluate { input: settings.input.clone(), place };
            graph.add(format!("evaluate{suffix}"), evaluate, (images, labels, warm, trained))?;
        }
        Ok(graph)
    }

    /// The experiment itself, as its only branch.
    pub fn branch(&self) -> Branch {
        Branch {
            suffix: String::new(),
            variant: String::new(),
            seed: self.settings.seed,
            settings: self.settings.clone(),
        }
    }

    /// One branch a variant and seed. Without a file the variants are the paper's ablations.
    ///
    /// # Errors
    /// A file that cannot be read, is no list of variants, or names an unknown setting.
    pub fn variants(&self, file: Option<&std::path::Path>, seeds: u64) -> Result<Vec<Branch>> {
        let text = match file {
            None => ABLATIONS.to_owned(),
            Some(path) => {
                std::fs::read_to_string(path).or_fail(|| Error::new("cannot read the variants").at(path))?
            }
        };
        let at = file.map_or_else(|| "the built-in ablations".to_owned(), |path| path.display().to_string());
        let list: Variants = toml::from_str(&text).or_fail(|| {
            Error::new("cannot understand the variants")
                .at(&at)
                .help("write [[variant]] with name and set = \"stage.key=value …\"")
        })?;
        let own = Table::try_from(&self.settings).or_fail(|| Error::new("cannot list the settings"))?;
        let mut branches = Vec::new();
        for seed in self.settings.seed..self.settings.seed + seeds.max(1) {
            for variant in &list.variant {
                let layer = overrides(std::slice::from_ref(&variant.set))?;
                let mut settings =
                    Settings::layered([("settings", own.clone()), (variant.name.as_str(), layer)])?;
                settings.seed = seed;
                branches.push(Branch {
                    suffix: format!(".{}.seed{seed}", variant.name),
                    variant: variant.title.clone().unwrap_or_else(|| variant.name.clone()),
                    seed,
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
            place: self.place,
        })
    }

    fn warm_up(&self) -> WarmUp {
        let Settings { seed, input, network, optimizer, warm_up, .. } = &self.settings;
        WarmUp {
            epochs: warm_up.epochs,
            batch: warm_up.batch,
            seed: *seed,
            optimizer: optimizer.clone(),
            input: input.clone(),
            architecture: Architecture {
                input_channels: input.channels,
                input_size: input.size,
                width: network.width,
                blocks: network.blocks,
                first_stride: network.first_stride,
                classes: self.data_set.classes.names.len(),
                embedding: network.embedding,
            },
            place: self.place,
        }
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

/// One set of settings on a graph that others share.
#[derive(Clone, Debug)]
pub struct Branch {
    /// What its nodes' names end with.
    pub suffix: String,
    /// The variant's title.
    pub variant: String,
    /// The seed.
    pub seed: u64,
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

/// What a data set says of the settings (method §§3 and 9).
fn of_data_set(data_set: &DataSet) -> Table {
    let DataSet { image, augmentation, schedule, .. } = data_set;
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
    Table::from_iter([
        ("input".to_owned(), table(input)),
        ("network".to_owned(), table(vec![("first_stride", number(image.first_stride))])),
        ("warm-up".to_owned(), table(vec![("epochs", number(schedule.warm_up))])),
        ("co-reg".to_owned(), table(vec![("epochs", number(schedule.total - schedule.warm_up))])),
    ])
}
