//! An experiment: its settings and the only wiring of the graph.

mod annotators;
mod layers;
pub mod settings;
pub mod variants;
mod wiring;

use pipeline::error::{Error, Result};

use crate::annotation::statistics::{Summarise, SummariseLabels};
use crate::dataset::catalog::{DataSet, Source};
use crate::dataset::download::Download;
use crate::dataset::user_images::{ImportImages, UserDataSet};
use crate::experiment::settings::{LabelSource, Settings};
use crate::experiment::variants::Branch;
use crate::learn::learner::Optimizer;
use crate::learn::supervised;
use crate::methods::co_reg::CoReg;
use crate::methods::distill::Distill;
use crate::methods::warm_up::WarmUp;
use crate::network::Architecture;
use crate::results::evaluate::Evaluate;
use crate::runtime::device::Place;
use wiring::Wiring;
pub use wiring::{ClipNodes, Findings, Wired};

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
    pub own: Option<UserDataSet>,
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
        let settings = Settings::layered(layers::of(choice, &data_set)?)?;
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
        let mut wiring = Wiring::new(&self.data_set.name)?;
        let mut branched = Vec::new();
        for Branch { suffix, settings, .. } in branches {
            let branch = Self { settings: settings.clone(), ..self.clone() };
            branched.push(branch.wire(&mut wiring, suffix)?);
        }
        Ok(Wired { graph: wiring.into_graph(), branches: branched })
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
        let classes = crate::dataset::catalog::Classes { texts: Vec::new(), ..self.data_set.classes.clone() };
        Download {
            source: self.data_set.source.at(&limits.revision),
            classes,
            split: self.data_set.split,
            limit_train: limits.limit_train,
            limit_test: limits.limit_test,
            balanced: limits.balanced,
            seed: limits.seed,
            import: matches!(self.data_set.source, Source::UserImages(_))
                .then_some(ImportImages { skip_unreadable: limits.skip_unreadable, shrink: limits.shrink }),
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

#[cfg(test)]
mod tests;
