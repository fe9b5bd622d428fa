//! CLIPs in the forms that people have them in, from the hub and from a folder: checkpoints of PyTorch, open_clip's
//! format, a tokenizer in two files, what transformers 5 writes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use tests::project::{CLIP, Project};

/// A file of the tiny CLIPs that the sources are tested with.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../stages/src/clip/golden").join(name)
}

/// The weights of the project's CLIP as `torch.save` writes them.
fn checkpoint() -> PathBuf {
    golden("quick/pytorch_model.bin")
}

/// The embeddings of a run up to them.
fn embeddings(project: &Project) -> Vec<u8> {
    project.run().args(["--only", "embed"]).ok();
    project.bytes("embed/embeddings.parquet")
}

#[test]
fn a_repository_with_a_checkpoint_alone_gives_the_embeddings_of_safetensors() {
    let (one, other) = (Project::new(), Project::new());
    let repository = other.path("hub").join(CLIP);
    fs::remove_file(repository.join("model.safetensors")).unwrap();
    fs::copy(checkpoint(), repository.join("pytorch_model.bin")).unwrap();
    assert!(embeddings(&one) == embeddings(&other));
    let model = |project: &Project| -> serde_json::Value {
        serde_json::from_slice(&project.bytes("clip/model.json")).unwrap()
    };
    let (one, read) = (model(&one), model(&other));
    assert_eq!(one["parameters"], read["parameters"]);
    let files = read["files"].as_array().unwrap();
    let names: Vec<_> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["config.json", "pytorch_model.bin", "tokenizer.json"]);
    // Anybody may open a pull request; of this repository none is known to be the hub's own conversion.
    let asked = other.hub.take_log();
    assert!(asked.iter().any(|asked| asked.path.ends_with("pytorch_model.bin")));
    assert!(asked.iter().all(|asked| !asked.path.contains("refs")), "{asked:?}");
    // What is cached is enough.
    let offline = other.run_into("fresh").args(["--only", "embed"]).env("HF_HUB_OFFLINE", "1").ok();
    assert_eq!(other.hub.take_log(), [], "{}", offline.stderr);
}

#[test]
fn where_a_repository_has_both_only_safetensors_are_fetched() {
    let project = Project::new();
    fs::copy(checkpoint(), project.path("hub").join(CLIP).join("pytorch_model.bin")).unwrap();
    embeddings(&project);
    assert!(project.hub.take_log().iter().all(|asked| !asked.path.ends_with("pytorch_model.bin")));
}

#[test]
fn a_repository_without_weights_is_refused_with_what_it_has() {
    let project = Project::new();
    let repository = project.path("hub").join(CLIP);
    fs::rename(repository.join("model.safetensors"), repository.join("open_clip_model.safetensors")).unwrap();
    let failed = project.run().output();
    failed.helpful_error(&["clip: ", "model.safetensors", "some/clip", "open_clip_model.safetensors"]);
}

#[test]
fn a_checkpoint_in_a_folder_works_and_half_of_it_is_refused_before_anything_runs() {
    let project = Project::new();
    let folder = project.path("clip");
    fs::create_dir_all(&folder).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(project.path("hub").join(CLIP).join(file), folder.join(file)).unwrap();
    }
    let weights = folder.join("pytorch_model.bin");
    let whole = fs::read(checkpoint()).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let run = || project.run().args(["--only", "embed"]).set(&format!("clip.model={}", folder.display()));
    run().output().helpful_error(&["clip: ", "pytorch_model.bin", "download the file again"]);
    fs::write(&weights, whole).unwrap();
    run().ok();
}

/// Makes the repository of the project's CLIP one of open_clip's format.
fn make_open_clip(project: &Project) {
    let repository = project.path("hub").join(CLIP);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::remove_file(repository.join(file)).unwrap();
    }
    for file in ["open_clip_config.json", "open_clip_model.safetensors", "vocab.json", "merges.txt"] {
        fs::copy(golden("open_clip").join(file), repository.join(file)).unwrap();
    }
}

#[test]
fn a_repository_of_open_clips_format_votes_and_is_cached_whole() {
    let project = Project::new();
    make_open_clip(&project);
    project.run().args(["--only", "annotate"]).ok();
    let model: serde_json::Value = serde_json::from_slice(&project.bytes("clip/model.json")).unwrap();
    let names: Vec<_> = model["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["merges.txt", "open_clip_config.json", "open_clip_model.safetensors", "vocab.json"]);
    project.hub.take_log();
    let offline = project.run_into("fresh").args(["--only", "annotate"]).env("HF_HUB_OFFLINE", "1").ok();
    assert_eq!(project.hub.take_log(), [], "{}", offline.stderr);
}

#[test]
fn a_repository_of_open_clips_format_without_a_tokenizer_says_what_to_add() {
    let project = Project::new();
    make_open_clip(&project);
    fs::remove_file(project.path("hub").join(CLIP).join("merges.txt")).unwrap();
    let failed = project.run().output();
    failed.helpful_error(&[
        "clip: ",
        "merges.txt",
        "tokenizer.json",
        "some/clip",
        "open_clip_model.safetensors",
    ]);
    let log = project.hub.take_log();
    assert!(
        log.iter().all(|asked| !asked.path.ends_with("safetensors")),
        "weights before it was sure: {log:?}"
    );
}

#[test]
fn what_is_assumed_of_mean_and_deviation_is_said_and_settings_override_it() {
    let project = Project::new();
    let ran = project.run().args(["--only", "embed"]).ok();
    assert!(ran.stderr.contains("OpenAI's mean and deviation are assumed"), "{}", ran.stderr);
    let assumed = project.bytes("embed/embeddings.parquet");
    let set = "clip.mean=[0.5, 0.5, 0.5] clip.std=[0.25, 0.25, 0.25]";
    let ran = project.run().args(["--only", "embed"]).set(set).ok();
    assert!(ran.stderr.contains("pixels are normalised by clip.mean=[0.5, 0.5, 0.5]"), "{}", ran.stderr);
    let set = project.bytes("embed/embeddings.parquet");
    assert!(set != assumed);

    // transformers 5 says it in a file of another name; the same pixels are the same embeddings.
    let other = Project::new();
    let says = r#"{"image_processor": {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "resample": "bicubic",
        "size": {"shortest_edge": 20}, "crop_size": {"height": 20, "width": 20}}, "processor_class": "CLIPProcessor"}"#;
    fs::write(other.path("hub").join(CLIP).join("processor_config.json"), says).unwrap();
    let ran = other.run().args(["--only", "embed"]).ok();
    assert!(!ran.stderr.contains("assumed"), "{}", ran.stderr);
    assert!(other.bytes("embed/embeddings.parquet") == set);
    other
        .run()
        .args(["--only", "embed"])
        .set("clip.std=[0.5,0.5]")
        .output()
        .helpful_error(&["embed", "clip.std"]);
}

#[test]
fn a_git_lfs_pointer_among_the_files_of_a_clip_is_called_that() {
    let project = Project::new();
    let folder = project.path("clip");
    fs::create_dir_all(&folder).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(golden("quick").join(file), folder.join(file)).unwrap();
    }
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    fs::write(folder.join("model.safetensors"), pointer).unwrap();
    let run = project.run().args(["--only", "embed"]).set(&format!("clip.model={}", folder.display()));
    run.output().helpful_error(&["clip: ", "model.safetensors", "Git LFS pointer", "git lfs pull"]);
}
