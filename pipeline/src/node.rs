//! A stage without its types: what a graph holds, and what another process rebuilds.

use std::any::TypeId;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::artifact::Artifact;
use crate::error::Result;
use crate::key::key_without;
use crate::machine::Machine;
use crate::stage::{Context, Inputs, Reads, Resources, Stage};

/// A stage without its types. Every [`Stage`] is one.
pub trait Node: Send + Sync {
    /// [`Stage::NAME`].
    fn name(&self) -> &'static str;

    /// [`Stage::VERSION`].
    fn version(&self) -> u32;

    /// The type of the artifact that it makes.
    fn makes(&self) -> TypeId;

    /// The whole stage as JSON: what [`Registry::rebuild`](crate::registry::Registry::rebuild) takes.
    ///
    /// # Errors
    /// A stage that cannot be written as JSON.
    fn settings(&self) -> Result<Value>;

    /// [`Stage::key`].
    ///
    /// # Errors
    /// A stage that cannot be written as JSON.
    fn key(&self) -> Result<Value>;

    /// [`Stage::files`].
    fn files(&self) -> Vec<Reads>;

    /// [`Stage::resources`].
    fn resources(&self, machine: &Machine) -> Resources;

    /// [`Stage::check`].
    ///
    /// # Errors
    /// What keeps the stage from running on this machine.
    fn check(&self, machine: &Machine) -> Result<()>;

    /// Loads the inputs from their folders, in order, runs, and saves the output in the folder `to`, which is empty.
    ///
    /// # Errors
    /// An input that cannot be read, an output that cannot be written, and whatever keeps the stage from its output.
    fn run(&self, inputs: &[PathBuf], context: &Context, to: &Path) -> Result<()>;
}

impl<S: Stage> Node for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn makes(&self) -> TypeId {
        TypeId::of::<S::Output>()
    }

    fn settings(&self) -> Result<Value> {
        key_without(self, &[])
    }

    fn key(&self) -> Result<Value> {
        Stage::key(self)
    }

    fn files(&self) -> Vec<Reads> {
        Stage::files(self)
    }

    fn resources(&self, machine: &Machine) -> Resources {
        Stage::resources(self, machine)
    }

    fn check(&self, machine: &Machine) -> Result<()> {
        Stage::check(self, machine)
    }

    fn run(&self, inputs: &[PathBuf], context: &Context, to: &Path) -> Result<()> {
        let inputs = S::Inputs::load(inputs)?;
        context.safe_point()?;
        Stage::run(self, inputs, context)?.save(to)
    }
}
