//! Without a network: what is in the hub's cache is enough, and what is not is named.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use tests::hub::COMMIT;
use tests::project::Project;

#[test]
fn a_filled_cache_is_enough_for_a_fresh_folder() {
    let project = Project::after_a_run();
    project.run_into("fresh").env("HF_HUB_OFFLINE", "1").ok();
    assert_eq!(project.hub.take_log(), []);
    let (online, offline) = (project.artifact_bytes(), project.artifact_bytes_in("fresh"));
    assert!(online == offline, "{:?} and {:?}", online.keys(), offline.keys());
}

#[test]
fn without_a_cache_it_says_what_to_do() {
    let project = Project::new();
    let failed = project.run().env("HF_HUB_OFFLINE", "1").output();
    failed.helpful_error(&["is not in the cache", "HF_HUB_OFFLINE", "cache", "unset HF_HUB_OFFLINE"]);
    assert_eq!(project.hub.take_log(), []);
    project.is_whole();
    project.run().ok();
}

#[test]
fn half_a_cache_names_the_half_that_is_missing() {
    let project = Project::new();
    project.run().args(["--only", "download"]).ok();
    let failed = project.run().env("HF_HUB_OFFLINE", "1").output();
    failed.helpful_error(&["clip: ", "config.json", "some/clip", "HF_HUB_OFFLINE"]);
    assert_eq!(project.nodes_that("cached"), ["download"]);
}

#[test]
fn a_filled_cache_is_enough_when_the_hub_went_away() {
    let project = Project::after_a_run();
    // Asks for the branch of the CLIP once, finds nobody, and goes on with what it has.
    let run = project.run_into("fresh").env("HF_ENDPOINT", "http://127.0.0.1:9").ok();
    assert!(run.stderr.contains("uses the cached"), "{}", run.stderr);
    assert!(project.artifact_bytes() == project.artifact_bytes_in("fresh"));
}

#[test]
fn a_clip_that_left_the_cache_is_fetched_again_by_its_stage_once_it_is_needed() {
    let project = Project::after_a_run();
    fs::remove_dir_all(project.path("cache")).unwrap();
    let run = || project.run().set("annotate.logit_scale=50");
    let failed = run().env("HF_HUB_OFFLINE", "1").output();
    failed.helpful_error(&["clip: ", "some/clip", "is not in the cache", "unset HF_HUB_OFFLINE"]);
    run().ok();
    assert_eq!(project.ran()[..2], ["clip", "annotate"], "the same CLIP: nothing is embedded again");
    let asked = project.hub.take_log();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.path.contains("some/clip")), "{asked:?}");
}

#[test]
fn a_clip_that_is_damaged_in_the_cache_is_fetched_again_by_its_stage() {
    let project = Project::after_a_run();
    let snapshot = project.path("cache/hub/models--some--clip/snapshots").join(COMMIT);
    let weights = fs::canonicalize(snapshot.join("model.safetensors")).unwrap();
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, "damaged").unwrap();
    let run = project.run().set("annotate.logit_scale=50").ok();
    assert_eq!(project.ran()[..2], ["clip", "annotate"]);
    assert!(run.stderr.contains("`model.safetensors` of model some/clip"), "{}", run.stderr);
    assert!(fs::read(&weights).unwrap() == whole);
}
