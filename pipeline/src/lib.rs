//! A DAG of typed stages with a content-addressed artifact store.
//!
//! Run a graph a second time, and only what changed runs. Five types to know:
//!
//! - [`Stage`](stage::Stage): a serialisable settings struct that turns typed inputs into one typed
//!   output. It says what of it decides the result; what it may ask for comes through its
//!   [`Context`](stage::Context), and what it runs on through a [`Machine`](machine::Machine).
//! - [`Artifact`](artifact::Artifact): a value that saves itself to a folder, the same value always
//!   as the same bytes.
//! - [`Fingerprint`](fingerprint::Fingerprint): the hash of a [`Manifest`](fingerprint::Manifest),
//!   which lists all that a result depends on: stage, version, key, and the *contents* of inputs
//!   and outside files. Two manifests tell in words what changed.
//! - [`Graph`](graph::Graph) and [`Handle`](graph::Handle): stages and the artifacts between them. An
//!   edge of the wrong type does not compile, and a cycle cannot be written down.
//! - [`Store`](store::Store): results by fingerprint, files by digest, verified before every use. A
//!   kill at any moment leaves it whole, and several processes may share it.
//!
//! A [`Scheduler`](schedule::Scheduler) brings a graph up to date and tells what happens as
//! [`Event`](event::Event)s; [`plan`](schedule::plan) says what it would do, and why. A
//! [`Registry`](registry::Registry) rebuilds a stage from its serialised form in a process that never planned.
//!
//! ```
//! use std::{fs, path::Path, sync::Arc};
//! use pipeline::error::{Error, OrFail, Result};
//! use pipeline::schedule::{Outcome, Scheduler};
//! use pipeline::stage::{Cancel, Context, Stage};
//! use pipeline::{artifact::Artifact, event::Event, graph::Graph, store::Store};
//!
//! struct Number(u64);
//! impl Artifact for Number {
//!     fn save(&self, folder: &Path) -> Result<()> {
//!         fs::write(folder.join("n"), self.0.to_string()).or_fail(|| Error::new("cannot write").at(folder))
//!     }
//!     fn load(folder: &Path) -> Result<Self> {
//!         let text = fs::read_to_string(folder.join("n")).or_fail(|| Error::new("cannot read").at(folder))?;
//!         Ok(Self(text.parse().or_fail(|| Error::new("not a number").at(folder))?))
//!     }
//! }
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Give { number: u64 }
//! impl Stage for Give {
//!     type Inputs = ();
//!     type Output = Number;
//!     const NAME: &'static str = "give";
//!     const VERSION: u32 = 1;
//!     fn run(&self, (): (), _: &Context) -> Result<Number> { Ok(Number(self.number)) }
//! }
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Double;
//! impl Stage for Double {
//!     type Inputs = (Number,);
//!     type Output = Number;
//!     const NAME: &'static str = "double";
//!     const VERSION: u32 = 1;
//!     fn run(&self, (number,): (Arc<Number>,), _: &Context) -> Result<Number> { Ok(Number(2 * number.0)) }
//! }
//!
//! let folder = tempfile::tempdir().or_fail(|| Error::new("no room for an example"))?;
//! let store = Store::open(folder.path())?;
//! let scheduler = Scheduler::new(Arc::new(|_: &Event| {}), Cancel::default());
//! for expected in [Outcome::Made, Outcome::Cached] {
//!     let mut graph = Graph::new("example")?;
//!     let number = graph.add("number", Give { number: 21 }, ())?;
//!     graph.add("answer", Double, (number,))?;
//!     let mut report = scheduler.run(&graph, &store, None, None)?.into_result()?;
//!     let answer = report.nodes.remove(1);
//!     assert_eq!(answer.outcome, expected);
//!     assert_eq!(answer.result.map(|result| store.load::<Number>(&result)).transpose()?.map(|n| n.0), Some(42));
//! }
//! # Ok::<(), Error>(())
//! ```

pub mod artifact;
mod cancel;
pub mod error;
pub mod event;
pub mod fingerprint;
pub mod graph;
pub mod key;
pub mod machine;
pub mod node;
mod peak_memory;
pub mod pieces;
pub mod random;
mod reads;
pub mod registry;
pub mod schedule;
pub mod shared_graph;
pub mod stage;
pub mod store;
