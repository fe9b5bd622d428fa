//! The stages that a program knows, by name: what a process needs that runs a stage which another one planned.
//!
//! It knows nothing of graphs and stores.

use std::any::TypeId;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, OrFail, Result};
use crate::node::Node;
use crate::stage::Stage;

/// Stages by name.
#[derive(Default)]
pub struct Registry {
    stages: BTreeMap<&'static str, KnownStage>,
}

struct KnownStage {
    stage: TypeId,
    version: u32,
    read: fn(Value) -> serde_json::Result<Box<dyn Node>>,
}

impl Registry {
    /// Adds a stage.
    ///
    /// # Errors
    /// Another stage of the same name: a name has to say which one is meant.
    pub fn register<S: Stage>(&mut self) -> Result<()> {
        let read =
            |settings| serde_json::from_value::<S>(settings).map(|stage| Box::new(stage) as Box<dyn Node>);
        let entry = KnownStage { stage: TypeId::of::<S>(), version: S::VERSION, read };
        match self.stages.insert(S::NAME, entry) {
            Some(other) if other.stage != TypeId::of::<S>() => {
                Err(Error::new(format!("two stages are called `{}`", S::NAME))
                    .help("give one of them another name"))
            }
            _ => Ok(()),
        }
    }

    /// The stage of this name and version, from what [`Node::settings`] gave.
    ///
    /// # Errors
    /// A stage or a version that this program does not have; settings that do not read back as they were written:
    /// a stage that forgot one of them would make something else under the same key.
    pub fn rebuild(&self, stage: &str, version: u32, settings: &Value) -> Result<Box<dyn Node>> {
        let same = "use the program that planned it";
        let Some(entry) = self.stages.get(stage) else {
            let known: Vec<_> = self.stages.keys().copied().collect();
            return Err(Error::new(format!("this program has no stage `{stage}`"))
                .help(format!("{same}; this one has: {}", known.join(", "))));
        };
        if entry.version != version {
            return Err(Error::new(format!(
                "this program has version {} of stage `{stage}`, not version {version}",
                entry.version
            ))
            .help(same));
        }
        let cannot = || Error::new(format!("cannot read the settings of stage `{stage}`")).help(same);
        let node = (entry.read)(settings.clone()).or_fail(cannot)?;
        if node.settings()? != *settings {
            return Err(cannot().because("they are not the same once they are read"));
        }
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::artifact::Artifact;
    use crate::stage::Context;

    struct Empty;
    impl Artifact for Empty {
        fn save(&self, _: &Path) -> Result<()> {
            Ok(())
        }
        fn load(_: &Path) -> Result<Self> {
            Ok(Self)
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Scale<const TWIN: bool> {
        factor: f32,
    }
    impl<const TWIN: bool> Stage for Scale<TWIN> {
        type Inputs = ();
        type Output = Empty;
        const NAME: &'static str = "scale";
        const VERSION: u32 = 2;
        fn run(&self, (): (), _: &Context) -> Result<Empty> {
            Ok(Empty)
        }
    }

    #[test]
    fn a_stage_is_rebuilt_from_its_settings_and_from_nothing_else() {
        let mut registry = Registry::default();
        registry.register::<Scale<false>>().unwrap();
        registry.register::<Scale<false>>().unwrap();
        let stage = Scale::<false> { factor: 0.1 };
        let settings = Node::settings(&stage).unwrap();
        let rebuilt = registry.rebuild("scale", 2, &settings).unwrap();
        assert_eq!(rebuilt.settings().unwrap(), settings);
        assert_eq!(rebuilt.key().unwrap(), Stage::key(&stage).unwrap());

        let refused =
            |stage, version, settings| registry.rebuild(stage, version, &settings).err().unwrap().to_string();
        assert!(refused("shrink", 2, settings.clone()).contains("no stage `shrink`"));
        assert!(refused("scale", 1, settings).contains("version 2 of stage `scale`, not version 1"));
        assert!(refused("scale", 2, json!({})).contains("missing field `factor`"));
        assert!(refused("scale", 2, json!({"factor": 0.5, "forgotten": 1})).contains("not the same"));
        assert!(registry.register::<Scale<true>>().is_err());
    }
}
