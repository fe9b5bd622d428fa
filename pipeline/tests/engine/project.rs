//! The project builder: a store in a temporary folder, tiny stages that count their runs, a log.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use pipeline::event::Event;
use pipeline::graph::{Graph, Handle};
use pipeline::schedule::{RunReport, Scheduler, Status, plan};
use pipeline::stage::{Cancel, Context, Inputs, Machine, Reads, Resources, Stage, key_without};
use pipeline::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The one kind of artifact: a text, kept in two files.
#[derive(Debug, PartialEq)]
pub struct Text(pub String);

impl Artifact for Text {
    fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir(folder.join("more")).or_fail(|| Error::new("cannot make the folder").at(folder))?;
        for (name, text) in [("text.txt", self.0.clone()), ("more/length.txt", self.0.len().to_string())] {
            let path = folder.join(name);
            fs::write(&path, text).or_fail(|| Error::new("cannot write the text").at(&path))?;
        }
        Ok(())
    }

    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("text.txt");
        Ok(Self(fs::read_to_string(&path).or_fail(|| Error::new("cannot read the text").at(&path))?))
    }
}

/// What a stage does when it runs, besides its work.
type Hook = Arc<dyn Fn(&Context) -> Result<()> + Send + Sync>;

/// How many times the node of each name ran.
#[derive(Clone, Default)]
pub struct Runs(Arc<Mutex<BTreeMap<String, usize>>>);

impl Runs {
    pub fn of(&self, node: &str) -> usize {
        self.0.lock().unwrap().get(node).copied().unwrap_or(0)
    }
}

/// Settings and behaviour shared by all test stages. Only `says` decides a result, and the content of `files`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Tiny {
    pub says: String,
    #[serde(skip)]
    pub node: String,
    #[serde(skip)]
    pub runs: Runs,
    #[serde(skip)]
    pub hook: Option<Hook>,
    #[serde(skip)]
    pub check: Option<String>,
    pub files: Vec<PathBuf>,
    #[serde(skip)]
    pub resources: Resources,
}

impl Tiny {
    fn work(&self, inputs: &[&str], context: &Context) -> Result<Text> {
        *self.runs.0.lock().unwrap().entry(self.node.clone()).or_default() += 1;
        if let Some(hook) = &self.hook {
            hook(context)?;
        }
        let mut text = self.says.clone();
        for path in &self.files {
            text += &fs::read_to_string(path).or_fail(|| Error::new("cannot read").at(path))?;
        }
        if !inputs.is_empty() {
            text = format!("{text}({})", inputs.join(","));
        }
        Ok(Text(text))
    }
}

macro_rules! tiny_stage {
    ($name:ident, $kebab:literal, ($($input:ident)*)) => {
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Tiny);

        impl Stage for $name {
            type Inputs = ($(tiny_stage!(@text $input),)*);
            type Output = Text;
            const NAME: &'static str = $kebab;
            const VERSION: u32 = 1;

            fn key(&self) -> Result<Value> {
                key_without(self, &["/files"])
            }

            fn resources(&self, _: &Machine) -> Resources {
                self.0.resources
            }

            fn files(&self) -> Vec<Reads> {
                self.0.files.iter().cloned().map(Reads::All).collect()
            }

            fn check(&self, _: &Machine) -> Result<()> {
                self.0.check.as_ref().map_or(Ok(()), |wrong| Err(Error::new(wrong)))
            }

            fn run(&self, inputs: <Self::Inputs as Inputs>::Loaded, context: &Context) -> Result<Text> {
                let ($($input,)*) = inputs;
                self.0.work(&[$(&$input.0),*], context)
            }
        }
    };
    (@text $input:ident) => { Text };
}

tiny_stage!(Source, "source", ());
tiny_stage!(Join1, "join-one", (a));
tiny_stage!(Join2, "join-two", (a b));

/// A stage with any number of inputs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JoinAll(pub Tiny);

impl Stage for JoinAll {
    type Inputs = Vec<Text>;
    type Output = Text;
    const NAME: &'static str = "join-all";
    const VERSION: u32 = 1;

    fn key(&self) -> Result<Value> {
        key_without(self, &["/files"])
    }

    fn run(&self, inputs: Vec<Arc<Text>>, context: &Context) -> Result<Text> {
        let texts: Vec<&str> = inputs.iter().map(|text| text.0.as_str()).collect();
        self.0.work(&texts, context)
    }
}

/// A store in a temporary folder and all that is needed to run graphs on it.
pub struct Project {
    pub folder: tempfile::TempDir,
    pub runs: Runs,
    pub cancel: Cancel,
    pub machine: Machine,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub threads: usize,
}

impl Project {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            runs: Runs::default(),
            cancel: Cancel::default(),
            machine: Machine::default(),
            events: Arc::default(),
            threads: 4,
        }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub fn view(&self) -> PathBuf {
        self.folder.path().join("view")
    }

    pub fn store(&self) -> Store {
        Store::open(self.root()).unwrap()
    }

    pub fn tiny(&self, node: &str, says: &str) -> Tiny {
        Tiny {
            says: says.into(),
            node: node.into(),
            runs: self.runs.clone(),
            hook: None,
            check: None,
            files: Vec::new(),
            resources: Resources::default(),
        }
    }

    /// A stage that calls `hook` when it runs.
    pub fn with_hook(
        &self,
        node: &str,
        hook: impl Fn(&Context) -> Result<()> + Send + Sync + 'static,
    ) -> Tiny {
        Tiny { hook: Some(Arc::new(hook)), ..self.tiny(node, node) }
    }

    /// images and prompts join in labels; report reads labels.
    pub fn diamond(&self, images: &str, prompts: &str, report: &str) -> Graph {
        let mut graph = Graph::new("demo").unwrap();
        let a = self.source(&mut graph, self.tiny("images", images));
        let b = self.source(&mut graph, self.tiny("prompts", prompts));
        let c = graph.add("labels", Join2(self.tiny("labels", "join")), (a, b)).unwrap();
        graph.add("report", Join1(self.tiny("report", report)), (c,)).unwrap();
        graph
    }

    pub fn source(&self, graph: &mut Graph, tiny: Tiny) -> Handle<Text> {
        graph.add(tiny.node.clone(), Source(tiny), ()).unwrap()
    }

    pub fn join(&self, graph: &mut Graph, tiny: Tiny, input: Handle<Text>) -> Handle<Text> {
        graph.add(tiny.node.clone(), Join1(tiny), (input,)).unwrap()
    }

    pub fn scheduler(&self) -> Scheduler {
        let events = Arc::clone(&self.events);
        self.scheduler_heard_by(move |event| events.lock().unwrap().push(event.clone()))
    }

    /// A scheduler whose events go to `listener` instead of the log.
    pub fn scheduler_heard_by(&self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Scheduler {
        let (threads, machine) = (self.threads, self.machine.clone());
        Scheduler { threads, machine, ..Scheduler::new(Arc::new(listener), self.cancel.clone()) }
    }

    pub fn run(&self, graph: &Graph) -> RunReport {
        self.run_targets(graph, None)
    }

    pub fn run_targets(&self, graph: &Graph, targets: Option<&[&str]>) -> RunReport {
        self.events.lock().unwrap().clear();
        self.scheduler().run(graph, &self.store(), Some(&self.view()), targets).unwrap()
    }

    /// The names of the nodes that ran, in the graph's order.
    pub fn made(&self, graph: &Graph) -> Vec<String> {
        let report = self.run(graph);
        let errors: Vec<_> = report.errors().map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
        let made = |node: &&pipeline::schedule::NodeReport| node.outcome == pipeline::schedule::Outcome::Made;
        report.nodes.iter().filter(made).map(|node| node.node.clone()).collect()
    }

    pub fn plan(&self, graph: &Graph) -> Vec<(String, Status)> {
        let planned = plan(graph, &self.store(), None).unwrap();
        planned.into_iter().map(|node| (node.node, node.status)).collect()
    }

    /// The text that the view shows for a node.
    pub fn shown(&self, node: &str) -> String {
        fs::read_to_string(self.view().join("demo").join(node).join("text.txt")).unwrap()
    }

    /// The events in short: `cached images`.
    pub fn log(&self) -> Vec<String> {
        let short = |event: &Event| match event {
            Event::RunStarted { .. } => "run started".to_owned(),
            Event::Waiting { node, .. } => format!("waiting {node}"),
            Event::Cached { node, .. } => format!("cached {node}"),
            Event::Started { node, why, .. } => format!("started {node}: {}", why.join("; ")),
            Event::Progress { node, done, .. } => format!("progress {node} {done}"),
            Event::Note { node, text } => format!("note {node}: {text}"),
            Event::Damaged { node, what, .. } => format!("damaged {node}: {what}"),
            Event::Finished { node, .. } => format!("finished {node}"),
            Event::Failed { node, error } => format!("failed {node}: {error}"),
            Event::Skipped { node, because_of } => format!("skipped {node}: {because_of}"),
            Event::Stopped { node } => format!("stopped {node}"),
            Event::RunFinished { ok, .. } => format!("run finished {ok}"),
        };
        self.events.lock().unwrap().iter().map(short).collect()
    }
}

/// All files below a folder with their bytes.
pub fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = files_below(&path).into_iter();
            found.extend(inner.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}
