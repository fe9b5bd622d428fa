//! Without a network: what is in the hub's cache is enough, and what is not is named.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use tests::hub::COMMIT;
use tests::project::Project as World;

#[test]
fn a_filled_cache_is_enough_for_a_fresh_folder() {
    let world = World::after_a_run();
    world.run_into("fresh").env("HF_HUB_OFFLINE", "1").ok();
    assert_eq!(world.hub.take_log(), []);
    let (online, offline) = (world.artifact_bytes(), world.artifact_bytes_in("fresh"));
    assert!(online == offline, "{:?} and {:?}", online.keys(), offline.keys());
}

#[test]
fn without_a_cache_it_says_what_to_do() {
    let world = World::new();
    let failed = world.run().env("HF_HUB_OFFLINE", "1").output();
    failed.helpful_error(&["is not in the cache", "HF_HUB_OFFLINE", "cache", "unset HF_HUB_OFFLINE"]);
    assert_eq!(world.hub.take_log(), []);
    world.is_whole();
    world.run().ok();
}

#[test]
fn half_a_cache_names_the_half_that_is_missing() {
    let world = World::new();
    world.run().args(["--only", "download"]).ok();
    let failed = world.run().env("HF_HUB_OFFLINE", "1").output();
    failed.helpful_error(&["clip: ", "config.json", "some/clip", "HF_HUB_OFFLINE"]);
    assert_eq!(world.nodes_that("cached"), ["download"]);
}

#[test]
fn a_filled_cache_is_enough_when_the_hub_went_away() {
    let world = World::after_a_run();
    // Asks for the branch of the CLIP once, finds nobody, and goes on with what it has.
    let run = world.run_into("fresh").env("HF_ENDPOINT", "http://127.0.0.1:9").ok();
    assert!(run.stderr.contains("uses the cached"), "{}", run.stderr);
    assert!(world.artifact_bytes() == world.artifact_bytes_in("fresh"));
}

#[test]
fn a_clip_that_left_the_cache_is_fetched_again_by_its_stage_once_it_is_needed() {
    let world = World::after_a_run();
    fs::remove_dir_all(world.path("cache")).unwrap();
    let run = || world.run().set("annotate.logit_scale=50");
    let failed = run().env("HF_HUB_OFFLINE", "1").output();
    failed.helpful_error(&["clip: ", "some/clip", "is not in the cache", "unset HF_HUB_OFFLINE"]);
    run().ok();
    assert_eq!(world.ran()[..2], ["clip", "annotate"], "the same CLIP: nothing is embedded again");
    let asked = world.hub.take_log();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.path.contains("some/clip")), "{asked:?}");
}

#[test]
fn a_clip_that_is_damaged_in_the_cache_is_fetched_again_by_its_stage() {
    let world = World::after_a_run();
    let snapshot = world.path("cache/hub/models--some--clip/snapshots").join(COMMIT);
    let weights = fs::canonicalize(snapshot.join("model.safetensors")).unwrap();
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, "damaged").unwrap();
    let run = world.run().set("annotate.logit_scale=50").ok();
    assert_eq!(world.ran()[..2], ["clip", "annotate"]);
    assert!(run.stderr.contains("`model.safetensors` of model some/clip"), "{}", run.stderr);
    assert!(fs::read(&weights).unwrap() == whole);
}
