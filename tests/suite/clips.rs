//! CLIPs whose weights are a checkpoint of PyTorch, from the hub and from a folder.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use tests::project::{CLIP, Project};

/// The weights of the project's CLIP as `torch.save` writes them.
fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../stages/src/clip/golden/quick/pytorch_model.bin")
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
