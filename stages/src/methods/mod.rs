//! The learning methods, one room or file each, and their registry.
//!
//! A new method is a file with its constants and its [`Method`], a line in [`METHODS`], and a file in `data/profiles/quick`
//! with the constants that short trainings have in place of the paper's.

pub mod alim;
pub mod cc;
pub mod co_reg;
pub mod cr_dpll;
pub mod distill;
pub mod divide_mix;
pub mod ensemble_contrast;
#[cfg(test)]
mod golden_tests;
pub mod ir_net;
pub mod lw;
pub mod pico;
pub mod pico_plus;
mod pico_state;
pub mod rc;
pub mod warm_up;
mod wire;

use pipeline::error::Result;
use pipeline::graph::Handle;
use pipeline::registry::Registry;
use pipeline::stage::Inputs;
use toml::{Table, Value};

use crate::artifacts::training::Trained;
use crate::dataset::catalog::Schedule;
use crate::learn::method::Method;
use crate::learn::train::Train;
use crate::runtime::suggest::unknown;
pub use wire::{FirstTemplate, MethodSettings, SharedSettings, TrainingNode, Voters, Wire};

/// Every method, by the name that the command line and the settings have for it.
pub const METHODS: &[Entry] = &[
    Entry::of::<co_reg::CoReg>(),
    Entry::of::<alim::Alim>(),
    Entry::of::<ir_net::IrNet>(),
    Entry::of::<pico_plus::PicoPlus>(),
    Entry::of::<pico::Pico>(),
    Entry::of::<cr_dpll::CrDpll>(),
    Entry::of::<lw::Lw>(),
    Entry::of::<rc::Rc>(),
    Entry::of::<cc::Cc>(),
    Entry::of::<divide_mix::DivideMix>(),
    Entry::of::<ensemble_contrast::EnsembleContrast>(),
    Entry::of::<distill::Distill>(),
    Entry::of::<warm_up::WarmUp>(),
];

/// A method as a part of the graph.
pub trait Wired: Method {
    /// Whether it learns the annotators' votes, which synthetic labels do not have.
    const LEARNS_VOTES: bool = false;

    /// The constants that short trainings have in place of the paper's (profile `quick`): a TOML file.
    const QUICK: &'static str;
    /// Epochs of the authors' own schedule, where it is another than the data set's.
    const OWN_EPOCHS: Option<usize> = None;
    /// Its variants, each a name and a TOML file of settings, its own or others, which `NAME.variant=…` sets at once.
    const VARIANTS: &'static [(&'static str, &'static str)] = &[];

    /// Its settings that follow from the paper's schedule for a data set (method §9).
    fn scheduled(schedule: &Schedule) -> Table {
        epochs(schedule.total)
    }

    /// Its settings that follow from the epochs that a budget pays for.
    fn in_budget(schedule: &Schedule) -> Table {
        Self::scheduled(schedule)
    }

    /// The nodes it learns from; adds those that it needs beside images and labels.
    ///
    /// # Errors
    /// What it learns from is not there.
    fn inputs(&self, wire: &mut Wire) -> Result<<Self::Inputs as Inputs>::Handles>;
}

/// `epochs` as a table of settings.
pub(crate) fn epochs(count: usize) -> Table {
    counts(&[("epochs", count)])
}

/// Settings that are counts.
pub(crate) fn counts(counts: &[(&str, usize)]) -> Table {
    let number = |value: usize| Value::Integer(value.min(i64::MAX as usize) as i64);
    counts.iter().map(|&(name, value)| (name.to_owned(), number(value))).collect()
}

/// A method of the registry.
pub struct Entry {
    /// Its name on the command line and in settings.
    pub name: &'static str,
    /// Its name in tables for people.
    pub title: &'static str,
    /// Whether it learns the annotators' votes, which synthetic labels do not have.
    pub learns_votes: bool,
    /// The constants that short trainings have in place of the paper's: TOML.
    pub quick: &'static str,
    /// Epochs of the authors' own schedule, where it is another than the data set's.
    pub own_epochs: Option<usize>,
    /// Its variants: names and settings, as TOML.
    pub variants: &'static [(&'static str, &'static str)],
    defaults: fn() -> Result<Table, toml::ser::Error>,
    check: fn(Table) -> Result<(), toml::de::Error>,
    scheduled: fn(&Schedule) -> Table,
    in_budget: fn(&Schedule) -> Table,
    train: fn(&mut Wire) -> Result<Handle<Trained>>,
    register: fn(&mut Registry) -> Result<()>,
}

impl Entry {
    const fn of<M: Wired>() -> Self {
        Self {
            name: M::NAME,
            title: M::TITLE,
            learns_votes: M::LEARNS_VOTES,
            quick: M::QUICK,
            own_epochs: M::OWN_EPOCHS,
            variants: M::VARIANTS,
            defaults: || Table::try_from(M::default()),
            check: |table| table.try_into::<M>().map(drop),
            scheduled: M::scheduled,
            in_budget: M::in_budget,
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

    /// Its settings that follow from the paper's schedule for a data set (method §9).
    pub fn scheduled(&self, schedule: &Schedule) -> Table {
        (self.scheduled)(schedule)
    }

    /// Its settings that follow from the epochs that a budget pays for.
    pub fn in_budget(&self, schedule: &Schedule) -> Table {
        (self.in_budget)(schedule)
    }
}

/// Makes every method's stage known, so that it can be rebuilt from its serialised form.
///
/// # Errors
/// Two stages of one name.
pub fn register(registry: &mut Registry) -> Result<()> {
    METHODS.iter().try_for_each(|method| (method.register)(registry))
}
