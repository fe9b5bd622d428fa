//! Where labels are written, and what is never written over.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tests::program::program;
use tests::project::Project;

use super::{export, hostile, json, names, text};

pub(super) fn what_is_there_stays_unless_it_is_to_be_replaced(project: &Project) {
    let before = text(project, "labels.csv");
    for (format, output) in [("csv", "labels.csv"), ("imagefolder", "folder"), ("coco", "coco")] {
        let words = format!("shapes --format {format}");
        export(project, &words, output).output().helpful_error(&[output, "--force"]);
    }
    fs::write(project.path("labels.csv"), "mine").unwrap();
    export(project, "shapes --format csv --force", "labels.csv").ok();
    assert_eq!(text(project, "labels.csv"), before, "the same labels are the same bytes");
    let before = files(&project.path("coco"));
    export(project, "shapes --format coco --force", "coco").ok();
    assert!(files(&project.path("coco")) == before, "the same labels are the same bytes");
    fs::write(project.path("coco/thesis.tex"), "mine").unwrap();
    export(project, "shapes --format coco --force", "coco").output().helpful_error(&["thesis.tex"]);
    assert_eq!(text(project, "coco/thesis.tex"), "mine");
    export(project, "circles --format csv", "circles.csv")
        .output()
        .helpful_error(&["no data set", "circles"]);
    export(project, "shapes --format csv --image-root x", "x.csv").output().helpful_error(&["--image-root"]);
    let left = names(&project.path(""));
    assert!(!left.iter().any(|name| name.starts_with(".coreg") || name == "x.csv"), "{left:?}");
}

/// All files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_folder_of_ones_own_images_is_never_replaced() {
    let project = Project::new();
    hostile(&project);
    for file in ["train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "classes.json"] {
        let path = project.path("mine").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let before = files(&project.path("mine"));
    for format in ["imagefolder", "coco", "label-studio"] {
        for force in ["", " --force"] {
            let refused = export(&project, &format!("hostile --format {format}{force}"), "mine").output();
            let error = refused.helpful_error(&["no export of labels", "`classes.json`"]);
            assert!(!error.contains("--force"), "{error}");
        }
    }
    assert!(files(&project.path("mine")) == before);
}

#[test]
fn what_was_added_to_an_export_is_never_lost() {
    let project = Project::new();
    hostile(&project);
    for (format, inner) in [("imagefolder", "train"), ("coco", "images"), ("label-studio", "images")] {
        let words = format!("hostile --format {format} --force");
        export(&project, &words, format).ok();
        let listed = json(&project, &format!("{format}/.coreg-export.json"))["files"].clone();
        let mut expected = files(&project.path(format));
        expected.remove(".coreg-export.json").unwrap();
        assert_eq!(listed, serde_json::json!(expected.keys().collect::<Vec<_>>()));
        let mine = format!("{format}/{inner}/mine.png");
        project.file(&mine, "mine");
        let error = export(&project, &words, format).output().helpful_error(&["mine.png"]);
        assert!(!error.contains("--force"), "{error}");
        assert_eq!(text(&project, &mine), "mine");
        fs::remove_file(project.path(&mine)).unwrap();
        export(&project, &words, format).ok();
    }
}

#[test]
fn kept_results_are_not_written_over_though_a_link_leads_to_them() {
    let project = Project::new();
    hostile(&project);
    symlink(project.path("artifacts/hostile/label"), project.path("link")).unwrap();
    let before = files(&project.path("artifacts"));
    for output in ["artifacts/hostile/label/labels.csv", "artifacts/new/labels.csv", "link/labels.csv"] {
        let refused = export(&project, "hostile --format csv --force", output).output();
        refused.helpful_error(&["artifacts", "--output"]);
    }
    for output in ["artifacts/hostile", "link"] {
        let refused = export(&project, "hostile --format imagefolder --force", output).output();
        refused.helpful_error(&["artifacts", "--output"]);
    }
    assert!(files(&project.path("artifacts")) == before);
}

#[test]
fn an_output_may_lie_in_new_folders_or_be_an_empty_one() {
    let project = Project::new();
    hostile(&project);
    export(&project, "hostile --format csv", "new/nested/labels.CSV").ok();
    export(&project, "hostile --format coco", "new/other/coco").ok();
    assert!(project.path("new/other/coco/annotations.json").is_file());
    let here = |folder: &str| {
        let artifacts = project.path("artifacts");
        let mut command = Command::new(program());
        command.arg("--artifacts").arg(artifacts).args(["export", "labels", "hostile"]);
        let run = command.args(["--format", "coco", "--output", "."]).current_dir(project.path(folder));
        let run = run.output().unwrap();
        (run.status.success(), String::from_utf8(run.stderr).unwrap())
    };
    fs::create_dir(project.path("empty")).unwrap();
    let (ended_well, told) = here("empty");
    assert!(ended_well, "{told}");
    assert!(files(&project.path("empty")) == files(&project.path("new/other/coco")));
    let (ended_well, told) = here("new");
    assert!(!ended_well && told.contains("no export of labels") && told.contains("`nested`"), "{told}");
}

#[test]
fn a_table_goes_where_its_name_says_or_to_standard_output() {
    let project = Project::new();
    hostile(&project);
    let wrong = export(&project, "hostile --format jsonl", "labels.csv").output();
    wrong.helpful_error(&["labels.csv", "end it in .jsonl"]);
    symlink("nowhere.csv", project.path("link.csv")).unwrap();
    let wrong = export(&project, "hostile --format csv --force", "link.csv").output();
    wrong.helpful_error(&["link.csv", "leads nowhere"]);
    assert!(!project.path("labels.csv").exists() && !project.path("nowhere.csv").exists());

    let to_stdout = |format: &str| {
        project.coreg().args(["export", "labels", "hostile", "--format", format, "--output", "-"])
    };
    for format in ["csv", "jsonl"] {
        let file = format!("labels.{format}");
        export(&project, &format!("hostile --format {format}"), &file).ok();
        let told = to_stdout(format).ok();
        assert_eq!(told.stdout, text(&project, &file));
        assert!(told.stderr.contains("18 images written to standard output"), "{}", told.stderr);
    }
    to_stdout("coco").output().helpful_error(&["a folder cannot go to standard output"]);
}
