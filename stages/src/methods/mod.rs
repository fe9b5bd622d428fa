//! The learning methods, one room or file each, and their registry.
//!
//! A new method is a file with its constants and its [`Method`], a line in [`METHODS`], and, where a short profile wants
//! other constants than the paper's, a table in `data/profiles`.

pub mod cc;
pub mod co_reg;
pub mod distill;
#[cfg(test)]
mod golden_tests;
pub mod rc;
pub mod warm_up;
mod wire;

use pipeline::error::Result;
use pipeline::graph::Handle;
use pipeline::registry::Registry;
use pipeline::stage::Inputs;
use toml::Table;

use crate::artifacts::training::Trained;
use crate::dataset::catalog::Schedule;
use crate::learn::method::Method;
use crate::learn::train::Train;
use crate::runtime::suggest::unknown;
pub use wire::{MethodSettings, SharedSettings, TrainingNode, Wire};

/// Every method, by the name that the command line and the settings have for it.
pub const METHODS: &[Entry] = &[
    Entry::of::<co_reg::CoReg>(),
    Entry::of::<rc::Rc>(),
    Entry::of::<cc::Cc>(),
    Entry::of::<distill::Distill>(),
    Entry::of::<warm_up::WarmUp>(),
];

/// A method as a part of the graph.
pub trait Wired: Method {
    /// Whether it learns the annotators' votes, which synthetic labels do not have.
    const LEARNS_VOTES: bool = false;

    /// How long it trains by the paper's schedule for a data set (method §9).
    fn scheduled(schedule: &Schedule) -> usize {
        schedule.total
    }

    /// The nodes it learns from; adds those that it needs beside images and labels.
    ///
    /// # Errors
    /// What it learns from is not there.
    fn inputs(&self, wire: &mut Wire) -> Result<<Self::Inputs as Inputs>::Handles>;
}

/// A method of the registry.
pub struct Entry {
    /// Its name on the command line and in settings.
    pub name: &'static str,
    /// Its name in tables for people.
    pub title: &'static str,
    /// Whether it learns the annotators' votes, which synthetic labels do not have.
    pub learns_votes: bool,
    defaults: fn() -> Result<Table, toml::ser::Error>,
    check: fn(Table) -> Result<(), toml::de::Error>,
    scheduled: fn(&Schedule) -> usize,
    train: fn(&mut Wire) -> Result<Handle<Trained>>,
    register: fn(&mut Registry) -> Result<()>,
}

impl Entry {
    const fn of<M: Wired>() -> Self {
        Self {
            name: M::NAME,
            title: M::TITLE,
            learns_votes: M::LEARNS_VOTES,
            defaults: || Table::try_from(M::default()),
            check: |table| table.try_into::<M>().map(drop),
            scheduled: M::scheduled,
            train: |wire| wire.train::<M>(),
            register: |registry| registry.register::<Train<M>>(),
        }
    }

    /// The method called `name`.
    ///
    /// # Errors
    /// There is none: its nearest name.
    pub fn find(name: &str) -> Result<&'static Self> {
        let names = || METHODS.iter().map(|method| method.name.to_owned());
        METHODS.iter().find(|method| method.name == name).ok_or_else(|| unknown("method", name, names()))
    }

    /// Adds the method's training to a graph, with what it needs.
    ///
    /// # Errors
    /// What it learns from is not there.
    pub fn train(&self, wire: &mut Wire) -> Result<Handle<Trained>> {
        (self.train)(wire)
    }

    /// How long it trains by the paper's schedule for a data set (method §9).
    pub fn scheduled(&self, schedule: &Schedule) -> usize {
        (self.scheduled)(schedule)
    }
}

/// Makes every method's stage known, so that it can be rebuilt from its serialised form.
///
/// # Errors
/// Two stages of one name.
pub fn register(registry: &mut Registry) -> Result<()> {
    METHODS.iter().try_for_each(|method| (method.register)(registry))
}
