//! A stage: settings and typed inputs in, one typed output out.
//!
//! A stage is not told of caching, of the graph or of other stages. What it may ask of the outside comes
//! through [`Context`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::artifact::Artifact;
pub use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::graph::{Handle, Link};
pub use crate::key::key_without;
pub use crate::machine::Machine;
use crate::random::{self, ChaCha8Rng};
pub use crate::reads::Reads;
use crate::store::EarlierResults;

/// One step of a pipeline. Its serialised form is all that another process needs to run it on the same inputs;
/// [`key`](Stage::key), [`NAME`](Stage::NAME) and [`VERSION`](Stage::VERSION) are part of what its output is kept under.
pub trait Stage: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// A tuple of artifact types, `()`, `(A,)`, `(A, B)`, up to six; `Vec<A>` for any number of one type; or six and a
    /// `Vec` of a seventh.
    type Inputs: Inputs;
    /// What the stage makes.
    type Output: Artifact;
    /// The stage's name, in kebab case; no other stage has it.
    const NAME: &'static str;
    /// Raised whenever the same key and inputs would give other bytes than before.
    const VERSION: u32;

    /// What of the stage decides its result: all of it, unless a stage leaves out (with [`key_without`]) what is only
    /// needed to run, such as the places of files.
    ///
    /// # Errors
    /// A stage that cannot be written as JSON.
    fn key(&self) -> Result<Value> {
        key_without(self, &[])
    }

    /// What the stage needs while it runs on this machine.
    fn resources(&self, _machine: &Machine) -> Resources {
        Resources::default()
    }

    /// What the stage reads outside the store: its content becomes part of the key, its place does
    /// not. Files that are not touched are not read for it again.
    fn files(&self) -> Vec<Reads> {
        Vec::new()
    }

    /// Everything that can be known to be wrong before the first stage runs on this machine.
    ///
    /// # Errors
    /// A setting, file or device that this stage could not work with.
    fn check(&self, _machine: &Machine) -> Result<()> {
        Ok(())
    }

    /// Does the work. Inputs come as `Arc`s in the order of [`Inputs`](Stage::Inputs).
    ///
    /// # Errors
    /// Whatever keeps the stage from its output; nothing is kept then but its checkpoint.
    fn run(&self, inputs: <Self::Inputs as Inputs>::Loaded, context: &Context) -> Result<Self::Output>;
}

/// What a stage needs while it runs; the scheduler hands out no more than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Threads kept busy; [`Resources::ALL_THREADS`] for as many as there are.
    pub threads: usize,
    /// Whether the accelerator is used; one stage at a time has it.
    pub device: bool,
}

impl Resources {
    /// Stands for every thread the scheduler has.
    pub const ALL_THREADS: usize = usize::MAX;
}

impl Default for Resources {
    fn default() -> Self {
        Self { threads: 1, device: false }
    }
}

/// What a running stage may ask of the outside: progress, cancellation, random streams, the machine, a checkpoint
/// folder, and [`pieces`](Self::pieces) of its output that need not be made again.
pub struct Context {
    pub(crate) machine: Machine,
    pub(crate) progress: Progress,
    pub(crate) cancel: Cancel,
    pub(crate) checkpoint: PathBuf,
    pub(crate) earlier: Option<EarlierResults>,
    pub(crate) taken_over: AtomicU64,
}

impl Context {
    /// A context for running one stage by hand, without a graph or a store: progress goes nowhere,
    /// nobody asks to stop, checkpoints go to `checkpoint`, and the machine offers nothing.
    pub fn for_test(checkpoint: impl Into<PathBuf>) -> Self {
        Self::for_test_on(Machine::default(), checkpoint)
    }

    /// As [`for_test`](Self::for_test), on a machine.
    pub fn for_test_on(machine: Machine, checkpoint: impl Into<PathBuf>) -> Self {
        Self::new(machine, Progress::silent(), Cancel::default(), checkpoint)
    }

    /// A context made of its parts.
    pub fn new(machine: Machine, progress: Progress, cancel: Cancel, checkpoint: impl Into<PathBuf>) -> Self {
        let (checkpoint, taken_over) = (checkpoint.into(), AtomicU64::new(0));
        Self { machine, progress, cancel, checkpoint, earlier: None, taken_over }
    }

    /// What the process that runs the stage offers.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The random stream called `name` under `seed`: that of [`random::stream`].
    pub fn stream(&self, seed: u64, name: &str) -> ChaCha8Rng {
        random::stream(seed, name)
    }

    /// Where the stage reports how far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// A safe point: call it where stopping loses nothing.
    ///
    /// # Errors
    /// [`Error::cancelled`] once the user asked to stop.
    pub fn safe_point(&self) -> Result<()> {
        if self.cancel.is_requested() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// A folder that belongs to this stage, these settings and these inputs alone, and outlives a
    /// killed process. It may not exist yet: the stage makes it (`create_dir_all`) if it needs it; it is removed once the output is kept.
    pub fn checkpoint(&self) -> &Path {
        &self.checkpoint
    }

    /// So many pieces of the output are not made in this run.
    pub(crate) fn set_taken_over(&self, pieces: u64) {
        self.taken_over.store(pieces, Ordering::Relaxed);
    }
}

/// The artifact types that a stage takes.
pub trait Inputs {
    /// The same, loaded: `(Arc<A>, Arc<B>)`.
    type Loaded;
    /// The same, as handles in a graph: `(Handle<A>, Handle<B>)`.
    type Handles: Clone + PartialEq + 'static;

    /// The nodes that the handles stand for, in order.
    #[doc(hidden)]
    fn links(handles: Self::Handles) -> Vec<Link>;

    /// Loads all, each artifact from its folder.
    ///
    /// # Errors
    /// A folder too few, or an artifact that cannot be read.
    #[doc(hidden)]
    fn load(folders: &[PathBuf]) -> Result<Self::Loaded>;
}

macro_rules! inputs {
    ($($artifact:ident)*) => {
        #[allow(non_snake_case, unused_variables, unused_mut, clippy::unused_unit)]
        impl<$($artifact: Artifact),*> Inputs for ($($artifact,)*) {
            type Loaded = ($(Arc<$artifact>,)*);
            type Handles = ($(Handle<$artifact>,)*);

            fn links(handles: Self::Handles) -> Vec<Link> {
                let ($($artifact,)*) = handles;
                vec![$($artifact.link()),*]
            }

            fn load(folders: &[PathBuf]) -> Result<Self::Loaded> {
                let mut folders = folders.iter();
                $(
                    let folder = folders.next().ok_or_else(|| Error::new("an input is missing"))?;
                    let $artifact = Arc::new($artifact::load(folder)?);
                )*
                Ok(($($artifact,)*))
            }
        }
    };
}

impl<A: Artifact> Inputs for Vec<A> {
    type Loaded = Vec<Arc<A>>;
    type Handles = Vec<Handle<A>>;

    fn links(handles: Self::Handles) -> Vec<Link> {
        handles.into_iter().map(Handle::link).collect()
    }

    fn load(folders: &[PathBuf]) -> Result<Self::Loaded> {
        folders.iter().map(|folder| Ok(Arc::new(A::load(folder)?))).collect()
    }
}

/// Six, and any number of a seventh.
#[allow(non_snake_case)]
impl<A: Artifact, B: Artifact, C: Artifact, D: Artifact, E: Artifact, F: Artifact, More: Artifact> Inputs
    for (A, B, C, D, E, F, Vec<More>)
{
    type Loaded = (Arc<A>, Arc<B>, Arc<C>, Arc<D>, Arc<E>, Arc<F>, Vec<Arc<More>>);
    type Handles = (Handle<A>, Handle<B>, Handle<C>, Handle<D>, Handle<E>, Handle<F>, Vec<Handle<More>>);

    fn links((a, b, c, d, e, f, more): Self::Handles) -> Vec<Link> {
        let six = <(A, B, C, D, E, F)>::links((a, b, c, d, e, f));
        six.into_iter().chain(Vec::<More>::links(more)).collect()
    }

    fn load(folders: &[PathBuf]) -> Result<Self::Loaded> {
        let (a, b, c, d, e, f) = <(A, B, C, D, E, F)>::load(folders)?;
        Ok((a, b, c, d, e, f, Vec::<More>::load(&folders[folders.len().min(6)..])?))
    }
}

inputs!();
inputs!(A);
inputs!(A B);
inputs!(A B C);
inputs!(A B C D);
inputs!(A B C D E);
inputs!(A B C D E F);
