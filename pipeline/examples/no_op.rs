//! How long a run takes that has nothing to do: ten nodes in a chain, opening the store included.
//! `cargo run --release -p pipeline --example no_op`
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use pipeline::event::Event;
use pipeline::graph::Graph;
use pipeline::schedule::Scheduler;
use pipeline::stage::{Cancel, Context, Stage};
use pipeline::store::Store;

struct Bytes(Vec<u8>);

impl Artifact for Bytes {
    fn save(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("bytes"), &self.0).or_fail(|| Error::new("cannot write").at(folder))
    }

    fn load(folder: &Path) -> Result<Self> {
        fs::read(folder.join("bytes")).map(Self).or_fail(|| Error::new("cannot read").at(folder))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct First;

impl Stage for First {
    type Inputs = ();
    type Output = Bytes;
    const NAME: &'static str = "first";
    const VERSION: u32 = 1;

    fn run(&self, (): (), _: &Context) -> Result<Bytes> {
        Ok(Bytes(vec![0; 10 << 20]))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Next {
    add: u8,
}

impl Stage for Next {
    type Inputs = (Bytes,);
    type Output = Bytes;
    const NAME: &'static str = "next";
    const VERSION: u32 = 1;

    fn run(&self, (bytes,): (Arc<Bytes>,), _: &Context) -> Result<Bytes> {
        Ok(Bytes(bytes.0.iter().map(|byte| byte.wrapping_add(self.add)).collect()))
    }
}

fn main() -> Result<()> {
    let folder = tempfile::tempdir().or_fail(|| Error::new("no room for the store"))?;
    let mut graph = Graph::new("chain")?;
    let mut last = graph.add("n0", First, ())?;
    for n in 1..10 {
        last = graph.add(format!("n{n}"), Next { add: n }, (last,))?;
    }
    let mut times = Vec::new();
    for _ in 0..51 {
        let begun = Instant::now();
        let store = Store::open(folder.path().join("store"))?;
        let scheduler = Scheduler::new(Arc::new(|_: &Event| {}), Cancel::default());
        scheduler.run(&graph, &store, Some(folder.path()), None)?.into_result()?;
        times.push(begun.elapsed());
    }
    let first = times.remove(0);
    times.sort_unstable();
    println!("first run {first:?}; then {:?} (median of 50), {:?} at worst", times[25], times[49]);
    Ok(())
}
