//! The other process: this same test binary, told by its environment what to do.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pipeline::event::Event;
use pipeline::graph::Graph;
use pipeline::schedule::Scheduler;
use pipeline::stage::Cancel;
use pipeline::store::Store;

use crate::project::{Project, Source};

const WHAT: &str = "ENGINE_TEST_CHILD";
const FOLDER: &str = "ENGINE_TEST_FOLDER";
/// The name of the store in the folder, if it is not `store`.
pub const STORE: &str = "ENGINE_TEST_STORE";

/// Starts this binary as another process that does `what` in `folder`.
pub fn command(what: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["child::the_other_process", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(WHAT, what)
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

pub fn spawn(what: &str, folder: &Path) -> Child {
    command(what, folder).spawn().unwrap()
}

/// The same command for a user who is not root, for whom permissions count. `copy` is a folder that this
/// user may enter.
pub fn as_nobody(command: &Command, copy: &Path) -> Command {
    let program = copy.join("engine");
    if !program.exists() {
        std::fs::copy(command.get_program(), &program).unwrap();
    }
    let mut other = Command::new(program);
    other
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .uid(NOBODY)
        .gid(NOBODY);
    other
}

/// The user whom every system has.
pub const NOBODY: u32 = 65_534;

/// Waits until a file is there.
pub fn await_file(path: &Path) {
    while !path.exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
#[ignore = "other tests run it in a process of its own"]
fn the_other_process() {
    let what = std::env::var(WHAT).expect("run by other tests only");
    let folder = std::path::PathBuf::from(std::env::var(FOLDER).unwrap());
    match what.as_str() {
        "run a task" => crate::rebuilding::run_task(&folder),
        "work-for-ever" => work_for_ever(&folder),
        "share a" | "share b" => share(what.strip_prefix("share ").unwrap(), &folder),
        "hold" => run(&held(&Project::new(), &folder), &folder.join("store")),
        "share or say why not" => {
            let told = std::panic::catch_unwind(|| share("a", &folder));
            std::process::exit(if told.is_ok() { 0 } else { 3 });
        }
        "open" => match Store::open(folder.join("store")) {
            Ok(_) => {}
            Err(error) => {
                std::io::stderr().write_all(format!("<<{error}>>").as_bytes()).unwrap();
                std::process::exit(3);
            }
        },
        other => panic!("cannot {other}"),
    }
}

fn run(graph: &Graph, store: &Path) {
    let listener = Arc::new(|_: &Event| {});
    let store = Store::open(store).unwrap();
    Scheduler::new(listener, Cancel::default())
        .run(graph, &store, None, None)
        .unwrap()
        .into_result()
        .unwrap();
}

/// One node that says that it started, then waits for leave to go on.
pub fn held(project: &Project, folder: &Path) -> Graph {
    let folder = folder.to_owned();
    let hook = move |_: &pipeline::stage::Context| {
        std::fs::write(folder.join("started"), "").unwrap();
        await_file(&folder.join("go"));
        Ok(())
    };
    let mut graph = Graph::new("demo").unwrap();
    graph.add("held", Source(project.with_hook("held", hook)), ()).unwrap();
    graph
}

/// The graph of round `round`: large enough for a kill to hit any step of a commit.
pub fn round(project: &Project, round: usize) -> Graph {
    project.diamond(&format!("{round}:{}", "i".repeat(100_000)), "p", &"r".repeat(50_000))
}

fn work_for_ever(folder: &Path) {
    let project = Project::new();
    for n in 0.. {
        run(&round(&project, n), &folder.join("store"));
        std::fs::write(folder.join("rounds"), n.to_string()).unwrap();
    }
}

/// How many graphs each process that shares runs.
pub const SHARED: usize = 8;

/// Runs graphs that others run as well, but for their last node, and notes each stage that comes to its end.
fn share(who: &str, folder: &Path) {
    let store = std::env::var(STORE).unwrap_or_else(|_| "store".to_owned());
    for n in 0..SHARED {
        run(&shared(n, who, Some(folder)), &folder.join(&store));
    }
}

/// Each stage takes a moment and, with `folder`, adds a line to `worked` once it is through.
pub fn shared(n: usize, who: &str, folder: Option<&Path>) -> Graph {
    let project = Project::new();
    let mut graph = Graph::new("demo").unwrap();
    let tiny = |node: &str, says: String| {
        let folder = folder.map(Path::to_owned);
        let line = format!("{node} {says}\n");
        let hook = move |_: &pipeline::stage::Context| {
            std::thread::sleep(std::time::Duration::from_millis(15));
            if let Some(folder) = &folder {
                let mut log = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(folder.join("worked"))
                    .unwrap();
                log.write_all(line.as_bytes()).unwrap();
            }
            Ok(())
        };
        crate::project::Tiny { says, ..project.with_hook(node, hook) }
    };
    let a = project.source(&mut graph, tiny("images", format!("i{n}")));
    let b = project.join(&mut graph, tiny("labels", "l".to_owned()), a);
    project.join(&mut graph, tiny("report", format!("{who}{}", "r".repeat(20_000))), b);
    graph
}
