//! What happens on a node's own thread: get the slot, load the inputs, run, save, commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use petgraph::graph::NodeIndex;

use super::{Message, plan};
use crate::error::{Error, Result};
use crate::event::{Event, Listener, Progress};
use crate::fingerprint::Manifest;
use crate::graph::Graph;
use crate::machine::Machine;
use crate::peak_memory::PeakMemory;
use crate::stage::{Cancel, Context};
use crate::store::{DISK_FULL, Damage, Incident, Lookup, Record, Slot, Spent, Store};

/// All that a thread needs to make one node's result.
pub(super) struct Work<'a> {
    pub(super) node: NodeIndex,
    pub(super) name: &'a str,
    pub(super) graph: &'a Graph,
    pub(super) store: &'a Store,
    pub(super) manifest: Arc<Manifest>,
    pub(super) inputs: Vec<(NodeIndex, Record)>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) cancel: Cancel,
    pub(super) machine: Machine,
}

impl Work<'_> {
    /// Finds the result or makes it.
    pub(super) fn run(&self) -> Result<Message> {
        let mut damaged = None;
        let mut report = |incident| match incident {
            Incident::Waiting(holder) => {
                self.listener.on(&Event::Waiting { node: self.name.to_owned(), holder });
            }
            Incident::Damaged(damage) => {
                self.tell_damage(self.name, &damage);
                damaged = Some(damage.what);
            }
        };
        let slot = match self.store.lookup(&self.manifest, &self.cancel, &mut report)? {
            Lookup::Hit(record) => return Ok(Message::Kept(Box::new(record), None)),
            Lookup::Miss(slot) => slot,
        };
        let mut folders = Vec::new();
        for (input, record) in &self.inputs {
            if let Some(what) = self.store.damage_of(record) {
                // None if another node found it as well, and was faster.
                if let Some(damage) = self.store.set_result_aside(&record.fingerprint(), &what)? {
                    self.tell_damage(self.graph.node_name(*input), &damage);
                }
                return Ok(Message::InputLost(*input));
            }
            folders.push(self.store.object(&record.digest));
        }
        let why = match damaged {
            Some(what) => vec![format!("its kept result was damaged: {what}")],
            None => plan::why(self.store, self.graph.name(), self.name, &self.manifest)?,
        };
        let fingerprint = slot.fingerprint().to_string();
        self.listener.on(&Event::Started { node: self.name.to_owned(), fingerprint, why });
        let (begun, processor, memory) = (Instant::now(), processor_time(), PeakMemory::watch());
        let progress = Progress::new(self.name, Arc::clone(&self.listener));
        let mut context =
            Context::new(self.machine.clone(), progress, self.cancel.clone(), slot.checkpoint());
        context.earlier = Some(self.store.earlier_results(Arc::clone(&self.manifest)));
        match self.graph.node(self.node).run(&folders, &context, slot.folder()) {
            Ok(()) => {}
            Err(error) => {
                return match self.withdraw_input(&error)? {
                    Some(input) => Ok(Message::InputLost(input)),
                    None => Err(explain_full_disk(error)),
                };
            }
        }
        let (time, memory) = (begun.elapsed(), memory.end());
        let processor = processor_time().saturating_sub(processor);
        self.commit(slot, Spent { time, processor, memory, taken_over: context.taken_over.into_inner() })
    }

    fn commit(&self, slot: Slot<'_>, spent: Spent) -> Result<Message> {
        let files = self.graph.node(self.node).files();
        for (reads, file) in files.iter().zip(&self.manifest.files) {
            if self.store.digest_outside(reads)? != file.digest {
                return Err(Error::new("a file that the stage reads changed while it ran")
                    .at(reads.path())
                    .help("run again; nothing was kept under the old content"));
            }
        }
        let record = slot.commit(spent, &self.machine).map_err(explain_full_disk)?;
        Ok(Message::Kept(Box::new(record), Some(spent.time)))
    }

    /// Withdraws the input that, as the error says, no longer holds; none if it says no such thing.
    fn withdraw_input(&self, error: &Error) -> Result<Option<NodeIndex>> {
        let Some(gone) = error.gone_input() else { return Ok(None) };
        let of_the_type = |(input, _): &&(NodeIndex, Record)| self.graph.node(*input).makes() == gone;
        let Some((input, record)) = self.inputs.iter().find(of_the_type) else { return Ok(None) };
        if let Some(damage) = self.store.withdraw(record, error.what())? {
            self.tell_damage(self.graph.node_name(*input), &damage);
        }
        Ok(Some(*input))
    }

    fn tell_damage(&self, node: &str, damage: &Damage) {
        self.listener.on(&Event::Damaged {
            node: node.to_owned(),
            what: damage.what.clone(),
            moved_to: damage.moved_to.display().to_string(),
        });
    }
}

/// Processor time that the process has used so far, on all cores together.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}

fn explain_full_disk(error: Error) -> Error {
    if error.is_disk_full() { error.help_if_none(DISK_FULL) } else { error }
}

/// Turns a panic into an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a panic may leave half done is dropped with the closure: a slot leaves nothing behind.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(Error::new("the stage panicked")
            .because(text)
            .help("this is a defect of the stage: please report it with the lines above"))
    })
}
