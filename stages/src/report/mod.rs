//! The report: one page, opened from a folder, that shows what a run was asked, what it made and how good that is.
//!
//! The page stands alone: no script, no font and no picture comes from elsewhere, and its content policy forbids that
//! any does. What it says of methods, annotators and settings it is told as words.

pub mod compare;
mod facts;
pub mod page;
mod pictures;
mod plot;
mod sections;
pub mod time;

use std::collections::BTreeMap;
use std::path::Path;

use pipeline::artifact::{Artifact, PartOf};
use pipeline::error::Result;
use pipeline::stage::{Context, Inputs, Stage};
use serde::{Deserialize, Serialize};

use crate::artifacts::annotation::{Labels, Votes};
use crate::artifacts::evaluation::Evaluation;
use crate::artifacts::findings::Findings;
use crate::artifacts::history::History;
use crate::artifacts::images::Images;
use crate::artifacts::page::Page;
use crate::artifacts::statistics::Statistics;
use crate::artifacts::training::Trained;
use facts::{Facts, Training};
use pictures::Sprites;

/// What the report is told of the run in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The data set's name for people.
    pub title: String,
    /// Its name in commands and folders.
    pub name: String,
    /// What is to be known of the data set.
    pub note: String,
    /// The method's name for people.
    pub method: String,
    /// Who annotated: `CLIP openai/clip-vit-base-patch32`, `votes.csv`, `synthetic labels (q = 0.05, eta = 0.3)`.
    pub annotators: String,
    /// What was assumed of the user's input, a line each.
    pub assumed: Vec<String>,
    /// The settings that differ from the defaults, by `stage.key`.
    pub changed: BTreeMap<String, Change>,
}

/// A training as the report is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Its name for people.
    pub title: String,
    /// Whether it goes on from the training before it.
    pub goes_on: bool,
}

/// A setting that differs from its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Its value, as it is written behind SET.
    pub value: String,
    /// The default.
    pub default: String,
    /// Who changed it: `profile`, `data set`, `SET`, …
    pub by: String,
}

/// What a run has none or several of.
pub enum Beside {
    /// The annotators' votes.
    Votes(Votes),
    /// The epochs of a training other than the method's.
    History(History),
}

impl PartOf<Votes> for Beside {}
impl PartOf<Trained> for Beside {}

impl Artifact for Beside {
    fn save(&self, folder: &Path) -> Result<()> {
        match self {
            Self::Votes(votes) => votes.save(folder),
            Self::History(history) => history.save(folder),
        }
    }

    fn load(folder: &Path) -> Result<Self> {
        match History::is_in(folder) {
            true => History::load(folder).map(Self::History),
            false => Votes::load(folder).map(Self::Votes),
        }
    }
}

/// The stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What it is told of the run.
    pub about: About,
    /// The trainings: those that are beside the other inputs, in their order, and the method's.
    pub trainings: Vec<Named>,
}

impl Stage for Report {
    type Inputs = (Images, Labels, Statistics, Trained, Evaluation, Findings, Vec<Beside>);
    type Output = Page;
    const NAME: &'static str = "report";
    const VERSION: u32 = 2;

    fn run(&self, inputs: <Self::Inputs as Inputs>::Loaded, context: &Context) -> Result<Page> {
        let (images, labels, statistics, trained, evaluation, findings, beside) = inputs;
        let votes = beside.iter().find_map(|beside| match &**beside {
            Beside::Votes(votes) => Some(votes),
            Beside::History(_) => None,
        });
        let histories = beside.iter().filter_map(|beside| match &**beside {
            Beside::History(history) => Some(history),
            Beside::Votes(_) => None,
        });
        let histories = histories.chain([&trained.history]);
        let named = self.trainings.iter().zip(histories);
        let trainings = named
            .map(|(Named { title, goes_on }, history)| Training { title, goes_on: *goes_on, history })
            .collect();
        let facts = Facts::new(
            &self.about,
            (&images, &labels, votes),
            &statistics,
            trainings,
            &trained,
            &evaluation,
            &findings,
        );
        let chosen = sections::chosen(&facts);
        let sprites = Sprites::new(&images, &chosen, context)?;
        let sections = sections::all(&facts, &sprites);
        let (title, subtitle) =
            (&self.about.title, format!("{} · {}", self.about.method, self.about.annotators));
        Ok(Page(page::document(title, &subtitle, &sections, &sprites.css())))
    }
}
