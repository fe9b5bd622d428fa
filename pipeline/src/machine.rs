//! What the process that runs stages offers them: an accelerator, a cache folder, whatever they may ask for.
//!
//! The engine hands it on and never hears what the values are. Its labels are words for people and for records: on
//! what kind of machine a result was made.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// What is said of a machine, by name: `device`, `cpu`.
pub type MachineLabels = BTreeMap<String, String>;

/// Values by their type, and labels by their name. Cheap to clone.
///
/// ```
/// # use pipeline::machine::Machine;
/// struct Cores(usize);
/// let machine = Machine::default().with(Cores(8)).label("cores", "many");
/// assert_eq!(machine.get::<Cores>().map(|cores| cores.0), Some(8));
/// assert_eq!(machine.labels()["cores"], "many");
/// ```
#[derive(Clone, Default)]
pub struct Machine {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    labels: MachineLabels,
}

impl Machine {
    /// The machine, offering `value` in place of any other of its type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// The value of this type, if there is one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The machine with one more label. Results of machines with different labels may differ in their bytes under one
    /// key (see `STORE.md`).
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// All labels.
    pub fn labels(&self) -> &MachineLabels {
        &self.labels
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("labels", &self.labels).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_type_and_the_last_one_counts() {
        let machine = Machine::default().with(1_u8).with("a word").with(2_u8);
        assert_eq!((machine.get::<u8>(), machine.get::<&str>()), (Some(&2), Some(&"a word")));
        assert_eq!(machine.get::<u16>(), None);
    }
}
