//! Data sets of one's own that are called alike, in one store: each keeps its view and its newest results.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use tests::image_set::{self, CLASSES};
use tests::program::{Coreg, Output};
use tests::project::Project;

/// Images of a class a folder, in `place`; other images for another seed.
fn put_images(project: &Project, place: &str, seed: u64) {
    for (i, row) in image_set::rows(seed, 24).into_iter().enumerate() {
        let folder = project.path(place).join(CLASSES[i % CLASSES.len()]);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{i}.png")), row.bytes).unwrap();
    }
}

/// A project with `cats/images` and `dogs/images`.
fn two_folders() -> Project {
    let project = Project::new();
    put_images(&project, "cats/images", 1);
    put_images(&project, "dogs/images", 2);
    project
}

fn run(project: &Project, place: &str) -> Coreg {
    project.run_images(place).args(["--only", "embed"])
}

/// The lines on the user's input.
fn notes(output: &Output) -> Vec<&str> {
    output.stderr.lines().filter_map(|line| line.strip_prefix("input        ")).collect()
}

/// The folders of the view.
fn views(project: &Project) -> Vec<String> {
    let names = fs::read_dir(project.path("artifacts")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| !["store", "runs", "times", "compare"].contains(&name.as_str()));
    names.sort();
    names
}

#[test]
fn two_folders_of_one_name_have_each_a_view_and_results_that_clean_leaves() {
    let project = two_folders();
    assert!(!notes(&run(&project, "cats/images").ok()).iter().any(|note| note.contains("called")));
    let table =
        |name: &str| fs::read(project.path("artifacts").join(name).join("download/images.parquet")).unwrap();
    let cats = table("images");
    let told = |output: &Output| {
        let all = notes(output);
        let note = all.iter().find(|note| note.starts_with("called `dogs-images` and not `images`"));
        let note = note.unwrap_or_else(|| panic!("{all:?}"));
        assert!(note.contains("cats/images") && note.contains("NAME=name chooses another"), "{note}");
    };
    told(&run(&project, "dogs/images").ok());
    let record = project.record();
    assert!(record.iter().any(|line| {
        line["event"] == "note"
            && line["node"] == "input"
            && line["text"].as_str().unwrap().contains("dogs-images")
    }));
    assert_eq!(views(&project), ["dogs-images", "images"]);
    assert!(table("images") == cats && table("dogs-images") != cats);
    let cleaned = project.coreg().args(["clean"]).ok().stdout;
    assert!(cleaned.starts_with("freed 0 results"), "{cleaned}");
    for place in ["cats/images", "dogs/images"] {
        let again = run(&project, place).ok();
        assert_eq!(project.ran(), [] as [String; 0], "{place}");
        if place == "dogs/images" {
            told(&again);
        }
    }
}

#[test]
fn a_plan_says_which_name_a_run_would_get_and_takes_none() {
    let project = two_folders();
    run(&project, "cats/images").ok();
    let claims = || fs::read_dir(project.path("artifacts/store/claims")).unwrap().count();
    let before = claims();
    let dogs = project.path("dogs/images");
    let plan = || project.coreg().args(["plan", "--images", dogs.to_str().unwrap(), "--device", "cpu"]).ok();
    for _ in 0..2 {
        let plan = plan();
        assert!(notes(&plan).iter().any(|note| note.starts_with("called `dogs-images`")), "{}", plan.stderr);
        assert!(plan.stdout.contains("download     would run: never ran before"), "{}", plan.stdout);
    }
    assert_eq!(claims(), before);
    assert_eq!(views(&project), ["images"]);
}

#[test]
fn a_name_that_the_user_gives_is_taken_and_what_that_means_is_said() {
    let project = two_folders();
    run(&project, "cats/images").ok();
    let named = |place: &str| run(&project, place).args(["--name", "images"]).ok();
    let taken = named("dogs/images");
    let notes_of = notes(&taken);
    let note =
        notes_of.iter().find(|note| note.contains("until now")).unwrap_or_else(|| panic!("{notes_of:?}"));
    assert!(note.contains("cats/images") && note.contains("replaced") && note.contains("NAME="), "{note}");
    assert!(!notes(&named("dogs/images")).iter().any(|note| note.contains("until now")));
    assert_eq!(views(&project), ["images"]);
    assert!(
        notes(&run(&project, "cats/images").ok()).iter().any(|note| note.starts_with("called `cats-images`"))
    );
    assert_eq!(project.ran(), [] as [String; 0]);
    assert_eq!(views(&project), ["cats-images", "images"]);
}

#[test]
fn runs_that_want_one_name_at_the_same_time_get_it_once_each_place() {
    let project = Project::new();
    let places = ["a/images", "b/images", "c/images"];
    places.iter().zip(1..).for_each(|(place, seed)| put_images(&project, place, seed));
    let only = |place: &str| project.run_images(place).args(["--only", "download"]);
    let running: Vec<_> = places.iter().chain(&places).map(|place| only(place).start()).collect();
    running.into_iter().for_each(|run| drop(run.end().succeeded()));
    let first = views(&project);
    assert_eq!(first.len(), 3, "{first:?}");
    assert!(first.contains(&"images".to_owned()), "{first:?}");
    places.iter().for_each(|place| drop(only(place).ok()));
    assert_eq!(views(&project), first);
}

#[test]
fn descriptions_of_one_name_are_kept_apart_by_their_files() {
    let project = Project::new();
    let run = |file: &str| {
        let file = project.path(file);
        let choice = ["run", "--only", "download", "--device", "cpu", "--dataset", file.to_str().unwrap()];
        project.coreg().args(choice).ok()
    };
    assert_eq!(notes(&run("shapes.toml")), [] as [&str; 0]);
    fs::create_dir(project.path("other")).unwrap();
    fs::copy(project.path("shapes.toml"), project.path("other/shapes.toml")).unwrap();
    let told = run("other/shapes.toml");
    assert!(notes(&told)[0].starts_with("called `other-shapes` and not `shapes`"), "{}", told.stderr);
    assert!(
        notes(&told)[0].contains("`name` in ") && notes(&told)[0].contains("other/shapes.toml"),
        "{}",
        told.stderr
    );
    assert_eq!(views(&project), ["other-shapes", "shapes"]);
}

#[test]
fn artifacts_that_were_moved_with_the_images_keep_the_name() {
    let project = Project::new();
    put_images(&project, "work/images", 1);
    let run = |folder: &str| {
        let images = project.path(folder).join("images");
        let run = project.coreg_into(&format!("{folder}/artifacts"));
        run.args(["run", "--device", "cpu", "--only", "download", "--images", images.to_str().unwrap()]).ok()
    };
    run("work");
    fs::rename(project.path("work"), project.path("moved")).unwrap();
    let told = run("moved");
    assert!(
        notes(&told).iter().any(|note| note.contains("moved together with the store")),
        "{}",
        told.stderr
    );
    assert!(told.stderr.contains("1 stages cached"), "{}", told.stderr);
    assert!(project.path("moved/artifacts/images/download/images.parquet").exists());
    assert!(!notes(&run("moved")).iter().any(|note| note.contains("moved")));
}

#[test]
fn a_data_set_of_the_catalog_has_its_name_and_says_whose_it_was() {
    let project = two_folders();
    let named = |name: &str| {
        let run = project.run_images("cats/images").args(["--only", "download", "--name", name]);
        run.ok()
    };
    let told = |output: &Output, words: [&str; 2]| {
        let all = notes(output);
        let note = all.iter().find(|note| words.iter().all(|word| note.contains(word)));
        assert!(note.is_some(), "{all:?}");
    };
    told(&named("demo"), ["`demo`", "is a data set of the catalog too"]);
    let plan = || project.coreg().args(["plan", "--device", "cpu"]).ok();
    told(&plan(), ["`demo` was the name of", "cats/images"]);
    let demo = || {
        let limits = "download.limit_train=10 download.limit_test=10";
        project.coreg().args(["run", "--device", "cpu", "--only", "download"]).set(limits).ok()
    };
    told(&demo(), ["`demo` was the name of", "cats/images"]);
    assert_eq!(notes(&demo()), [] as [&str; 0]);
    told(&named("demo"), ["`demo`", "is a data set of the catalog too"]);
}
