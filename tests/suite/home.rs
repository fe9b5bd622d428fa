//! `~` in paths: the home folder, wherever the user gives a path.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use tests::image_set::{self, CLASSES};
use tests::program::Coreg;
use tests::project::Project;

/// The program in a project whose folder is the home folder, with no argument yet.
fn at_home(project: &Project, log: &str) -> Coreg {
    Coreg::new(project.path(log)).env("HOME", project.path("")).env("HF_HUB_OFFLINE", "1")
}

#[test]
fn a_tilde_is_the_home_folder_in_every_path_that_the_user_gives() {
    let project = Project::new();
    for (i, row) in image_set::rows(1, 24).into_iter().enumerate() {
        project.put_image(&format!("{i}.png"), &row.bytes);
    }
    project.file("classes.txt", &CLASSES.join("\n"));
    project.file("words.txt", "stripes: lines\n");
    project.file("votes.parquet", "which nobody reads before a run");
    project.file("one.toml", "[[variant]]\nname = \"one\"\nset = \"annotate.prompts=~/prompts.txt\"\n");
    let choice =
        ["--artifacts", "~/results", "--device", "cpu", "--images", "~/images", "--classes", "~/classes.txt"];
    at_home(&project, "run").args(["run", "--only", "download"]).args(choice).ok();
    assert!(project.path("results/images/download/images.parquet").exists());
    at_home(&project, "show").args(["show", "~/results/images/download", "--artifacts", "~/results"]).ok();
    let explain = |log: &str, stage: &str, more: &[&str]| {
        at_home(&project, log).args(["explain", stage]).args(choice).args(more).ok().stdout
    };
    explain("prompts", "annotate", &["--set", "annotate.prompts=photo27+~/prompts.txt"]);
    explain("aliases", "annotate", &["--votes", "~/votes.parquet", "--set", "votes.aliases=~/words.txt"]);
    explain("description", "download", &[]);
    let described =
        at_home(&project, "dataset").args(["explain", "download", "--dataset", "~/shapes.toml"]).ok();
    assert!(described.stdout.contains("would run"), "{}", described.stdout);
    let clip = ["--clip", "~/hub/models/some/clip,~/hub/models/some/none"];
    let plan = at_home(&project, "clip").args(["plan"]).args(choice).args(clip).ok().stdout;
    assert!(plan.contains("clip.clip ") && plan.contains("clip.none "), "{plan}");
    // Variants and what they set; nothing runs, since there is no such CLIP.
    let variants = at_home(&project, "variants").args(["ablations", "--variants", "~/one.toml"]).args(choice);
    variants.args(["--clip", "some/clip"]).output().helpful_error(&["some/clip"]);
    assert!(!fs::exists("~").unwrap());
}

#[test]
fn somebodys_home_folder_is_asked_for_as_a_whole_path() {
    let project = Project::new();
    let refused = |log: &str, args: &[&str]| {
        let error = at_home(&project, log).args(args).output().helpful_error(&["~nobody-has-this-name"]);
        assert!(error.contains("whole path"), "{error}");
    };
    refused("images", &["plan", "--images", "~nobody-has-this-name/images"]);
    refused("artifacts", &["plan", "--artifacts", "~nobody-has-this-name"]);
    refused("set", &["plan", "--set", "annotate.prompts=~nobody-has-this-name/p.txt"]);
    let error = at_home(&project, "none").env("HOME", "").args(["plan", "--images", "~/images"]).output();
    error.helpful_error(&["HOME", "~/images"]);
}
