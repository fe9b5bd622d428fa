//! Opening a store, and folders that cannot be one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use pipeline::store::Store;

use crate::child::{as_nobody, command};
use crate::project::{Project, files_below};

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_path_and_help() {
    let project = Project::new();
    fs::set_permissions(project.folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = command("open", project.folder.path());
    // Nothing is read-only for root: then somebody else opens it.
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        let copy = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        command = as_nobody(&command, copy.path());
        check(&project, &mut command);
        return;
    }
    check(&project, &mut command);
    fs::set_permissions(project.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

fn check(project: &Project, command: &mut std::process::Command) {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("cannot make the store's folder"), "{told}");
    assert!(told.contains(project.root().to_str().unwrap()), "{told}");
    assert!(told.contains("help: this user may not write there"), "{told}");
}

#[test]
fn a_file_in_the_place_of_the_store_is_an_error_with_help() {
    let project = Project::new();
    fs::write(project.root(), "").unwrap();
    let error = Store::open(project.root()).unwrap_err().to_string();
    assert!(error.contains("help: a file is where a folder is needed"), "{error}");
}

#[test]
fn a_store_of_another_format_is_left_alone() {
    let project = Project::new();
    drop(project.store());
    fs::write(project.root().join("FORMAT"), "pipeline store 99\n").unwrap();
    let before = files_below(&project.root());
    let error = Store::open(project.root()).unwrap_err().to_string();
    assert!(error.contains("pipeline store 99") && error.contains("name another folder"), "{error}");
    assert_eq!(files_below(&project.root()), before);
}

#[test]
fn a_folder_with_other_things_in_it_is_not_made_a_store() {
    let project = Project::new();
    fs::create_dir(project.root()).unwrap();
    fs::write(project.root().join("thesis.tex"), "").unwrap();
    let error = Store::open(project.root()).unwrap_err().to_string();
    assert!(error.contains("not empty and not a store"), "{error}");
    assert_eq!(files_below(&project.root()).len(), 1);
}

#[test]
fn a_store_may_be_open_more_than_once() {
    let project = Project::new();
    let (one, two) = (project.store(), project.store());
    assert_eq!(one.root(), two.root());
    drop((one, two));
    assert_eq!(fs::read_dir(project.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_dead_processes_left_half_written_is_removed() {
    let project = Project::new();
    drop(project.store());
    let left = project.root().join("tmp/4194304-0");
    fs::create_dir_all(left.join("0/more")).unwrap();
    fs::write(left.join("0/more/half"), "ha").unwrap();
    fs::write(project.root().join("tmp/4194305-0.lock"), "process 4194305 on elsewhere").unwrap();
    drop(project.store());
    assert_eq!(fs::read_dir(project.root().join("tmp")).unwrap().count(), 0);
}

#[test]
fn every_test_that_store_md_names_is_there() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(here.join("STORE.md")).unwrap();
    let folders = ["src", "tests", "../stages/src/annotation", "../stages/tests", "../tests/suite"];
    let sources: String = folders
        .iter()
        .flat_map(|folder| files_below(&here.join(folder)).into_values())
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect();
    let named: Vec<_> = text.split("[`").skip(1).filter_map(|rest| rest.split("`]").next()).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "{name}");
    }
}

#[test]
fn a_new_store_opens_for_all_who_come_at_once() {
    for _ in 0..60 {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let start = std::sync::Barrier::new(8);
        let open = || {
            start.wait();
            Store::open(&root).map(drop)
        };
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            opened.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
    }
}
