//! Damage is found before use, set aside and made good.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, OrFail};
use pipeline::graph::Graph;

use crate::project::{Project, Text, Tiny, files_below};

/// Overwrites a read-only file of the store.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn object_file(project: &Project, node: &str, file: &str) -> PathBuf {
    fs::canonicalize(project.view().join("demo").join(node)).unwrap().join(file)
}

/// A project that has run, and a graph whose last node has to run again and reads `labels`.
fn ran() -> (Project, Graph) {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let again = project.diamond("i", "p", "new");
    (project, again)
}

fn set_aside(project: &Project) -> Vec<String> {
    files_below(&project.root().join("damaged")).into_keys().collect()
}

#[test]
fn a_flipped_byte_is_found_before_use_set_aside_and_made_again() {
    let (project, again) = ran();
    overwrite(&object_file(&project, "labels", "text.txt"), b"join(i,q)");
    assert_eq!(project.made(&again), ["labels", "report"]);
    let log = project.log();
    assert!(log.contains(&"damaged labels: file text.txt does not have the bytes it had".into()), "{log:?}");
    assert_eq!(project.shown("report"), "new(join(i,p))");
    let aside = set_aside(&project);
    assert!(aside.iter().any(|name| name.ends_with("/object/text.txt")), "{aside:?}");
    assert!(aside.iter().any(|name| name.ends_with("/result.json")), "{aside:?}");
}

/// `fetch` writes a file outside the store, which `use` reads; `more` is the setting of `use`.
fn refers_to_a_file(project: &Project, more: &str) -> Graph {
    let file = project.folder.path().join("fetched");
    let mut graph = Graph::new("demo").unwrap();
    let path = file.clone();
    let fetch =
        project.with_hook("fetch", move |_| fs::write(&path, "").or_fail(|| Error::new("cannot write")));
    let fetched = project.source(&mut graph, fetch);
    let uses = project.with_hook("use", move |_| match file.exists() {
        true => Ok(()),
        false => Err(Error::new("the file is gone").input_is_gone::<Text>()),
    });
    project.join(&mut graph, Tiny { says: more.to_owned(), ..uses }, fetched);
    graph
}

#[test]
fn a_result_that_refers_to_something_gone_is_made_again_when_it_is_needed() {
    let project = Project::new();
    assert_eq!(project.made(&refers_to_a_file(&project, "one")), ["fetch", "use"]);
    fs::remove_file(project.folder.path().join("fetched")).unwrap();
    assert_eq!(project.made(&refers_to_a_file(&project, "one")), [] as [&str; 0], "nobody needs the file");
    assert_eq!(project.made(&refers_to_a_file(&project, "two")), ["fetch", "use"]);
    assert!(project.log().contains(&"damaged fetch: the file is gone".into()), "{:?}", project.log());
    assert_eq!(project.made(&refers_to_a_file(&project, "two")), [] as [&str; 0]);
}

#[test]
fn a_result_that_never_holds_fails_in_the_end() {
    let project = Project::new();
    let mut graph = Graph::new("demo").unwrap();
    let fetched = project.source(&mut graph, project.tiny("fetch", "fetch"));
    let never = project.with_hook("use", |_| Err(Error::new("the file is gone").input_is_gone::<Text>()));
    project.join(&mut graph, never, fetched);
    let report = project.run(&graph);
    let errors: Vec<_> = report.errors().map(ToString::to_string).collect();
    assert!(errors.iter().any(|error| error.contains("fetch: ") && error.contains("again")), "{errors:?}");
    assert_eq!(project.runs.of("fetch"), 3);
}

#[test]
fn damage_at_the_root_of_a_chain_is_made_good_from_there() {
    let (project, _) = ran();
    overwrite(&object_file(&project, "images", "text.txt"), b"x");
    overwrite(&object_file(&project, "labels", "text.txt"), b"join(i,q)");
    assert_eq!(project.made(&project.diamond("i", "p", "new")), ["images", "labels", "report"]);
    assert_eq!(project.shown("report"), "new(join(i,p))");
}

#[test]
fn a_cut_file_is_found_by_its_size_even_if_nobody_reads_it() {
    let (project, _) = ran();
    overwrite(&object_file(&project, "report", "text.txt"), b"r(join");
    let same = project.diamond("i", "p", "r");
    assert_eq!(project.made(&same), ["report"]);
    assert!(project.log().contains(&"damaged report: file text.txt has 6 bytes instead of 12".into()));
}

#[test]
fn a_removed_file_is_found() {
    let (project, _) = ran();
    fs::remove_file(object_file(&project, "report", "more/length.txt")).unwrap();
    assert_eq!(project.made(&project.diamond("i", "p", "r")), ["report"]);
    assert!(project.log().contains(&"damaged report: file more/length.txt is missing".into()));
}

#[test]
fn a_removed_object_is_found() {
    let (project, _) = ran();
    fs::remove_dir_all(object_file(&project, "report", "")).unwrap();
    assert_eq!(project.made(&project.diamond("i", "p", "r")), ["report"]);
    assert_eq!(project.shown("report"), "r(join(i,p))");
}

#[test]
fn a_file_that_does_not_belong_is_found() {
    let (project, _) = ran();
    fs::write(object_file(&project, "report", "").join("extra"), "x").unwrap();
    assert_eq!(project.made(&project.diamond("i", "p", "r")), ["report"]);
    assert!(project.log().contains(&"damaged report: file extra does not belong to it".into()));
}

#[test]
fn a_file_replaced_by_a_link_to_its_copy_is_found() {
    let (project, _) = ran();
    let file = object_file(&project, "report", "text.txt");
    let copy = project.folder.path().join("copy");
    fs::rename(&file, &copy).unwrap();
    std::os::unix::fs::symlink(&copy, &file).unwrap();
    assert_eq!(project.made(&project.diamond("i", "p", "r")), ["report"]);
    assert!(fs::symlink_metadata(object_file(&project, "report", "text.txt")).unwrap().is_file());
}

#[test]
fn a_corrupt_record_is_set_aside_and_the_whole_object_is_used_again() {
    for corrupt in [&b""[..], b"{\"half\": ", b"\xff\xfe", b"{}"] {
        let (project, _) = ran();
        for entry in fs::read_dir(project.root().join("results")).unwrap() {
            overwrite(&entry.unwrap().path(), corrupt);
        }
        assert_eq!(project.made(&project.diamond("i", "p", "r")).len(), 4);
        assert_eq!(set_aside(&project).iter().filter(|name| name.ends_with("/object/text.txt")).count(), 0);
        assert_eq!(project.made(&project.diamond("i", "p", "r")), [""; 0]);
    }
}

#[test]
fn a_record_under_anothers_name_is_damage() {
    let (project, _) = ran();
    let names: Vec<_> =
        fs::read_dir(project.root().join("results")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let bytes = fs::read(&names[0]).unwrap();
    for name in &names {
        overwrite(name, &bytes);
    }
    assert_eq!(project.made(&project.diamond("i", "p", "r")).len(), 3);
    assert_eq!(project.shown("report"), "r(join(i,p))");
}

#[test]
fn verifying_the_store_finds_all_damage_and_a_whole_store_none() {
    let (project, _) = ran();
    let mut last = (0, 0);
    let found = project.store().verify(&project.cancel, &mut |done, total| last = (done, total)).unwrap();
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(last, (8, 8));
    overwrite(&object_file(&project, "labels", "text.txt"), b"join(i,q)");
    let found = project.store().verify(&project.cancel, &mut |_, _| {}).unwrap();
    assert!(!found.is_empty());
    assert_eq!(project.made(&project.diamond("i", "p", "r")), ["labels"]);
    assert!(!project.log().iter().any(|line| line.starts_with("damaged")), "{:?}", project.log());
}

#[test]
fn a_disk_that_damages_everything_ends_in_an_error() {
    let project = Project::new();
    let mut graph = Graph::new("demo").unwrap();
    let a = project.source(&mut graph, project.tiny("a", "a"));
    project.join(&mut graph, project.tiny("b", "b"), a);
    let root = project.root();
    // Damages what a kept as soon as it is kept, as often as it is kept.
    let corrupting = move |event: &pipeline::event::Event| {
        if let pipeline::event::Event::Finished { node, digest, .. } = event
            && node == "a"
        {
            overwrite(&root.join("objects").join(digest).join("text.txt"), b"z");
        }
    };
    let scheduler = project.scheduler_heard_by(corrupting);
    let report = scheduler.run(&graph, &project.store(), None, None).unwrap();
    let error = report.into_result().unwrap_err().to_string();
    assert!(error.contains("damaged again") && error.contains("check the disk"), "{error}");
}

#[test]
fn a_run_with_nothing_to_do_reads_names_and_sizes_and_no_contents() {
    let (project, _) = ran();
    overwrite(&object_file(&project, "labels", "text.txt"), b"join(i,q)");
    assert_eq!(project.made(&project.diamond("i", "p", "r")), [""; 0]);
}

#[test]
fn nodes_that_find_the_same_damage_at_once_have_it_made_good_once() {
    let project = Project { threads: 8, ..Project::new() };
    let graph = |says: &str| {
        let mut graph = Graph::new("demo").unwrap();
        let a = project.source(&mut graph, project.tiny("a", "a"));
        for n in 0..8 {
            project.join(&mut graph, project.tiny(&format!("n{n}"), &format!("{says} {n}")), a);
        }
        graph
    };
    project.made(&graph("old"));
    overwrite(&object_file(&project, "a", "text.txt"), b"b");
    assert_eq!(project.made(&graph("new")).len(), 9);
    let told = project.log().iter().filter(|line| line.starts_with("damaged a")).count();
    assert_eq!((told, project.runs.of("a")), (1, 2));
}

#[test]
fn loading_a_damaged_result_by_hand_is_an_error_with_help() {
    let project = Project::new();
    let report = project.run(&project.diamond("i", "p", "r"));
    let record = report.node("labels").unwrap().result.clone().unwrap();
    let load = || project.store().load::<crate::project::Text>(&record);
    assert_eq!(load().unwrap().0, "join(i,p)");
    overwrite(&object_file(&project, "labels", "text.txt"), b"join(i,q)");
    let error = load().unwrap_err().to_string();
    assert!(error.contains("a kept result is damaged") && error.contains("help: run again"), "{error}");
}
