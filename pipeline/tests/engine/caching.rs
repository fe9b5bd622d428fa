//! What runs again, and what does not.

use std::fs;

use crate::project::{Join1, JoinAll, Project, Tiny, files_below};
use pipeline::graph::Graph;
use pipeline::schedule::Outcome;
use pipeline::stage::Machine;

#[test]
fn a_second_run_runs_nothing() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    assert_eq!(project.made(&graph), ["images", "prompts", "labels", "report"]);
    assert_eq!(project.made(&graph), [""; 0]);
    assert_eq!(
        project.log(),
        [
            "run started",
            "cached images",
            "cached prompts",
            "cached labels",
            "cached report",
            "run finished true"
        ]
    );
    assert_eq!(project.shown("report"), "r(join(i,p))");
}

#[test]
fn a_changed_setting_runs_its_node_and_those_that_depend_on_it() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    assert_eq!(project.made(&project.diamond("i", "other", "r")), ["prompts", "labels", "report"]);
    assert_eq!(project.made(&project.diamond("i", "other", "new")), ["report"]);
    assert_eq!(project.shown("report"), "new(join(i,other))");
}

#[test]
fn any_number_of_inputs_of_one_type_may_be_taken_and_their_order_counts() {
    let project = Project::new();
    let graph = |order: &[&str]| {
        let mut graph = Graph::new("demo").unwrap();
        let sources: Vec<_> =
            order.iter().map(|says| project.source(&mut graph, project.tiny(says, says))).collect();
        graph.add("all", JoinAll(project.tiny("all", "all")), sources).unwrap();
        graph
    };
    assert_eq!(project.made(&graph(&["a", "b", "c"])), ["a", "b", "c", "all"]);
    assert_eq!(project.shown("all"), "all(a,b,c)");
    assert_eq!(project.made(&graph(&["a", "b", "c"])), [""; 0]);
    assert_eq!(project.made(&graph(&["c", "a", "b"])), ["all"]);
    assert_eq!(project.made(&graph(&["c", "a", "b", "d"])), ["d", "all"]);
    assert_eq!(project.shown("all"), "all(c,a,b,d)");
}

#[test]
fn switching_back_finds_the_old_results() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    project.made(&project.diamond("i", "other", "r"));
    assert_eq!(project.made(&project.diamond("i", "p", "r")), [""; 0]);
    assert_eq!(project.shown("report"), "r(join(i,p))");
}

#[test]
fn an_upstream_result_with_the_same_bytes_stops_the_change_there() {
    let project = Project::new();
    let file = project.folder.path().join("me");
    fs::write(&file, "me").unwrap();
    // "sa" and a file with "me" give the text that "same" gives alone.
    let graph = |says: &str, files: &[&std::path::PathBuf]| {
        let mut graph = Graph::new("demo").unwrap();
        let files = files.iter().map(|&path| path.clone()).collect();
        let a = project.source(&mut graph, Tiny { files, ..project.tiny("a", says) });
        let b = project.join(&mut graph, project.tiny("b", "b"), a);
        project.join(&mut graph, project.tiny("c", "c"), b);
        graph
    };
    assert_eq!(project.made(&graph("sa", &[&file])), ["a", "b", "c"]);
    assert_eq!(project.made(&graph("same", &[])), ["a"]);
}

#[test]
fn a_changed_outside_file_is_a_change() {
    let project = Project::new();
    let path = project.folder.path().join("prompts.txt");
    let graph = || {
        let mut graph = Graph::new("demo").unwrap();
        let a = project.source(&mut graph, Tiny { files: vec![path.clone()], ..project.tiny("a", "") });
        project.join(&mut graph, project.tiny("b", "b"), a);
        graph
    };
    fs::write(&path, "one").unwrap();
    assert_eq!(project.made(&graph()), ["a", "b"]);
    assert_eq!(project.made(&graph()), [""; 0]);
    fs::write(&path, "two").unwrap();
    assert_eq!(project.made(&graph()), ["a", "b"]);
    let why = format!("started a: file {} changed", path.display());
    assert!(project.log().contains(&why), "{:?}", project.log());
    assert_eq!(project.shown("b"), "b(two)");
}

#[test]
fn an_outside_file_that_changes_while_its_stage_runs_fails_the_stage() {
    let project = Project::new();
    let path = project.folder.path().join("prompts.txt");
    fs::write(&path, "one").unwrap();
    let mut graph = Graph::new("demo").unwrap();
    let written = path.clone();
    let hook = move |_: &pipeline::stage::Context| {
        fs::write(&written, "changed").unwrap();
        Ok(())
    };
    project.source(&mut graph, Tiny { files: vec![path], ..project.with_hook("a", hook) });
    let report = project.run(&graph);
    let error = report.errors().next().unwrap().to_string();
    assert!(error.contains("changed while it ran"), "{error}");
}

#[test]
fn a_missing_outside_file_is_an_error_that_names_the_node_and_the_file() {
    let project = Project::new();
    let path = project.folder.path().join("nowhere.txt");
    let mut graph = Graph::new("demo").unwrap();
    project.source(&mut graph, Tiny { files: vec![path.clone()], ..project.tiny("a", "") });
    let report = project.run(&graph);
    let error = report.errors().next().unwrap().to_string();
    assert!(error.starts_with("a: ") && error.contains(path.to_str().unwrap()), "{error}");
    assert!(error.contains("help: put the file there"), "{error}");
}

#[test]
fn a_renamed_node_is_not_run_again() {
    let project = Project::new();
    let graph = |name: &str| {
        let mut graph = Graph::new("demo").unwrap();
        let a = project.source(&mut graph, project.tiny(name, "a"));
        project.join(&mut graph, project.tiny("b", "b"), a);
        graph
    };
    project.made(&graph("old-name"));
    assert_eq!(project.made(&graph("new-name")), [""; 0]);
}

#[test]
fn the_same_work_under_two_names_is_done_once() {
    let project = Project::new();
    let mut graph = Graph::new("demo").unwrap();
    let a = project.source(&mut graph, project.tiny("a", "a"));
    for name in ["left", "right"] {
        project.join(&mut graph, Tiny { node: name.into(), ..project.tiny("", "same") }, a);
    }
    let report = project.run(&graph);
    assert!(report.is_ok());
    assert_eq!(project.runs.of("left") + project.runs.of("right"), 1);
    assert_eq!(report.node("left").unwrap().digest(), report.node("right").unwrap().digest());
}

#[test]
fn two_fresh_stores_hold_the_same_bytes() {
    let objects = || {
        let project = Project::new();
        project.made(&project.diamond("i", "p", "r"));
        files_below(&project.root().join("objects"))
    };
    let first = objects();
    assert_eq!(first.len(), 8);
    assert_eq!(first, objects());
}

#[test]
fn only_targets_and_what_they_depend_on_take_part() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    let report = project.run_targets(&graph, Some(&["labels"]));
    let names: Vec<_> = report.nodes.iter().map(|node| node.node.as_str()).collect();
    assert_eq!(names, ["images", "prompts", "labels"]);
    assert!(report.is_ok());
    assert_eq!(project.runs.of("report"), 0);
    assert_eq!(project.run(&graph).node("labels").unwrap().outcome, Outcome::Cached);
}

#[test]
fn an_unknown_target_is_an_error_that_names_the_nearest() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    let scheduler = project.scheduler();
    let error = scheduler.run(&graph, &project.store(), None, Some(&["lables"])).unwrap_err().to_string();
    assert!(error.contains("no node `lables`") && error.contains("did you mean `labels`?"), "{error}");
}

#[test]
fn a_name_that_is_taken_or_is_no_folders_name_is_refused() {
    let project = Project::new();
    let mut graph = Graph::new("demo").unwrap();
    let a = project.source(&mut graph, project.tiny("a", "a"));
    let again = graph.add("a", Join1(project.tiny("a", "a")), (a,)).unwrap_err();
    assert!(again.to_string().contains("two nodes called `a`"), "{again}");
    for name in ["", "../up", "a/b", ".hidden", "white space"] {
        assert!(graph.add(name, Join1(project.tiny("a", "a")), (a,)).is_err(), "{name}");
        assert!(Graph::new(name).is_err(), "{name}");
    }
}

#[test]
fn a_handle_of_another_graph_is_refused() {
    let project = Project::new();
    let (mut one, mut two) = (Graph::new("demo").unwrap(), Graph::new("demo").unwrap());
    let a = project.source(&mut one, project.tiny("a", "a"));
    project.source(&mut two, project.tiny("a", "a"));
    let error = two.add("b", Join1(project.tiny("b", "b")), (a,)).unwrap_err().to_string();
    assert!(error.contains("another graph"), "{error}");
}

#[test]
fn an_artifact_with_a_symbolic_link_is_refused() {
    let project = Project::new();
    let store = project.store();
    let manifest = pipeline::fingerprint::Manifest::new("s", 1, &1, Vec::new(), Vec::new()).unwrap();
    let lookup = store.lookup(&manifest, &project.cancel, &mut |_| {}).unwrap();
    let pipeline::store::Lookup::Miss(slot) = lookup else { panic!("the store is empty") };
    std::os::unix::fs::symlink("/etc/hostname", slot.folder().join("link")).unwrap();
    let error = slot.commit(pipeline::store::Spent::default(), &Machine::default()).unwrap_err().to_string();
    assert!(error.contains("plain files and folders only"), "{error}");
    assert!(files_below(&project.root().join("objects")).is_empty());
    assert!(files_below(&project.root().join("results")).is_empty());
}

#[test]
fn kept_files_are_read_only() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let file = project.view().join("demo/report/text.txt");
    assert!(fs::metadata(file).unwrap().permissions().readonly());
}

#[test]
fn the_view_holds_relative_links_and_survives_a_move_of_the_whole_folder() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let link = fs::read_link(project.view().join("demo/report")).unwrap();
    assert!(link.starts_with("../../store/objects"), "{}", link.display());
    let moved = tempfile::tempdir().unwrap();
    fs::rename(project.view(), moved.path().join("view")).unwrap();
    fs::rename(project.root(), moved.path().join("store")).unwrap();
    let text = fs::read_to_string(moved.path().join("view/demo/report/text.txt")).unwrap();
    assert_eq!(text, "r(join(i,p))");
}

#[test]
fn the_view_does_not_replace_what_it_did_not_make() {
    let project = Project::new();
    fs::create_dir_all(project.view().join("demo/images")).unwrap();
    let report = project.run(&project.diamond("i", "p", "r"));
    let error = report.node("images").unwrap().error.as_ref().unwrap().to_string();
    assert!(error.contains("something else is where a link"), "{error}");
}
