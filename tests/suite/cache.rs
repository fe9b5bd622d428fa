//! What runs again, what does not, and that equal settings give equal bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use tests::world::{STAGES, TEMPLATES, World};

const NOTHING: [&str; 0] = [];

#[test]
fn a_second_run_does_nothing_and_asks_nobody() {
    let world = World::after_a_run();
    let before = world.artifact_bytes();
    let second = world.run().ok();
    assert_eq!(world.ran(), NOTHING);
    assert_eq!(world.nodes_that("cached"), STAGES);
    assert_eq!(world.hub.take_log(), []);
    assert!(second.stderr.contains("9 stages cached"), "{}", second.stderr);
    assert_eq!(world.artifact_bytes(), before);
}

#[test]
fn a_second_run_says_what_the_first_one_said() {
    let world = World::new();
    let first = world.run().ok();
    assert!(first.stdout.contains("Co-Reg, both networks"), "{}", first.stdout);
    assert_eq!(world.run().ok().stdout, first.stdout);
}

#[test]
fn a_second_run_reads_no_image_and_needs_no_file_of_the_hub() {
    let world = World::after_a_run();
    fs::remove_dir_all(world.path("cache")).unwrap();
    damage(&world.view("download/images.parquet"));
    world.run().ok();
    assert_eq!(world.ran(), NOTHING, "the images were read: their damage was found");
    assert_eq!(world.hub.take_log(), []);
}

#[test]
fn damage_is_found_set_aside_and_made_good() {
    let world = World::after_a_run();
    let before = world.artifact_bytes();
    damage(&world.view("download/images.parquet"));
    let found = world.coreg().args(["verify"]).output();
    found.helpful_error(&["damaged", "set aside", "run again"]);
    assert!(found.stdout.contains("set aside in"), "{}", found.stdout);
    world.run().ok();
    assert_eq!(world.ran(), ["download"], "the same bytes again: what follows stays");
    assert_eq!(world.artifact_bytes(), before);
    world.is_whole();
}

#[test]
fn a_setting_of_co_reg_runs_co_reg_and_what_follows() {
    let world = World::after_a_run();
    world.run().set("co-reg.lambda_proto=0").ok();
    assert_eq!(world.ran(), ["co-reg", "evaluate"]);
    assert_eq!(world.hub.take_log(), []);
}

#[test]
fn a_setting_of_warm_up_leaves_the_annotation_alone() {
    let world = World::after_a_run();
    world.run().set("seed=1").ok();
    assert_eq!(world.ran(), ["warm-up", "co-reg", "evaluate"]);
}

#[test]
fn a_plain_student_to_compare_with_changes_nothing_else() {
    let world = World::after_a_run();
    let run = world.run().set("distill.epochs=2").ok();
    assert_eq!(world.ran(), ["distill"]);
    let line = run.stdout.lines().find(|line| line.contains("a plain student of that average, 2 epochs"));
    assert!(line.is_some_and(|line| line.ends_with(" %")), "{}", run.stdout);
    assert!(world.view("distill/network.safetensors").exists());
    assert!(world.view("distill/history.parquet").exists());
    world.run().set("distill.epochs=3").ok();
    assert_eq!(world.ran(), ["distill"]);
}

#[test]
fn other_prompts_never_embed_again() {
    let world = World::after_a_run();
    let labels = world.bytes("label/labels.parquet");
    let prompts = world.file("others.txt", "a cat of a {}\nnot a {}\nthe photo: {}!");
    world.run().set(&format!("annotate.prompts={prompts}")).ok();
    assert_eq!(world.ran(), ["annotate", "label", "statistics", "warm-up", "co-reg", "evaluate"]);
    assert_ne!(world.bytes("label/labels.parquet"), labels);
    assert_eq!(world.hub.take_log(), []);
}

#[test]
fn prompts_are_their_templates_wherever_they_are_written() {
    let world = World::after_a_run();
    let spread = world.file("spread.txt", &format!("\n  {}  \n\n", TEMPLATES.join("\r\n\n")));
    world.run().set(&format!("annotate.prompts={spread}")).ok();
    assert_eq!(world.ran(), NOTHING);
}

#[test]
fn an_upstream_run_that_gives_the_same_labels_stops_there() {
    let world = World::after_a_run();
    let labels = world.bytes("label/labels.parquet");
    // CLIP's tokenizer knows no capitals, so these are other templates that vote the same.
    let capitals = TEMPLATES.map(|template| template.to_uppercase()).join("\n");
    let prompts = world.file("capitals.txt", &capitals);
    world.run().set(&format!("annotate.prompts={prompts}")).ok();
    assert_eq!(world.ran(), ["annotate", "label", "statistics"]);
    assert_eq!(world.bytes("label/labels.parquet"), labels);
}

#[test]
fn a_setting_that_the_rule_does_not_look_at_stops_at_the_labels() {
    let world = World::after_a_run();
    world.run().set("label.ratio=0.7").ok();
    assert_eq!(world.ran(), ["label"]);
}

#[test]
fn class_texts_are_for_clip_alone() {
    let world = World::after_a_run();
    let names = r#"names = ["stripes", "bars", "disc", "checks"]"#;
    world.describe(names, &format!("{names}\ntexts = [\"a cat\", \"the bars\", \"a photo\", \"of checks\"]"));
    world.run().ok();
    let ran = world.ran();
    assert_eq!(ran[0], "annotate", "{ran:?}");
    assert_eq!(world.hub.take_log(), []);
}

#[test]
fn back_to_the_first_settings_runs_nothing() {
    let world = World::after_a_run();
    let first = world.bytes("co-reg/network1.safetensors");
    world.run().set("co-reg.lambda_proto=0 label.rule=top-k").ok();
    assert_ne!(world.bytes("co-reg/network1.safetensors"), first);
    world.run().ok();
    assert_eq!(world.ran(), NOTHING);
    assert_eq!(world.bytes("co-reg/network1.safetensors"), first, "the view shows the newest run's results");
}

#[test]
fn an_equal_value_written_in_another_way_is_no_change() {
    let world = World::after_a_run();
    world.run().set("annotate.logit_scale=100 label.ratio=2e-1 co-reg.epochs=4 co-reg.epochs=3").ok();
    assert_eq!(world.ran(), NOTHING);
}

#[test]
fn only_runs_a_stage_and_what_it_needs() {
    let world = World::new();
    world.run().args(["--only", "label"]).ok();
    assert_eq!(world.ran(), STAGES[..5]);
    world.run().ok();
    assert_eq!(world.ran(), STAGES[5..]);
}

#[test]
fn a_plan_names_the_changed_setting_and_runs_nothing() {
    let world = World::after_a_run();
    let (before, records) = (world.artifact_bytes(), world.record());
    let plan = world.plan().set("co-reg.lambda_proto=0.25").ok().stdout;
    let line = |stage: &str| {
        let line = plan.lines().find(|line| line.starts_with(stage));
        line.unwrap_or_else(|| panic!("no {stage} in: {plan}")).to_owned()
    };
    assert!(line("co-reg").contains("lambda_proto`: 0.1 → 0.25"), "{plan}");
    assert!(line("co-reg").contains("would run"), "{plan}");
    assert!(line("evaluate").contains("co-reg"), "{plan}");
    for stage in &STAGES[..7] {
        assert!(line(stage).ends_with(" cached"), "{plan}");
    }
    assert_eq!(plan.lines().count(), STAGES.len());
    assert_eq!((world.artifact_bytes(), world.record()), (before, records));
    assert_eq!(world.hub.take_log(), []);
    world.run().ok();
    assert_eq!(world.ran(), NOTHING, "a plan is not remembered");
}

#[test]
fn a_plan_of_a_new_folder_asks_nobody() {
    let world = World::new();
    let plan = world.plan().ok().stdout;
    assert!(plan.contains("never ran before"), "{plan}");
    assert_eq!(world.hub.take_log(), []);
}

#[test]
fn explain_says_what_a_result_depends_on() {
    let world = World::after_a_run();
    let told = world.on_shapes(world.coreg(), &["explain", "label"]).ok().stdout;
    for word in ["label: cached", "inputs: download, annotate", "labels.parquet", "\"rule\": \"union\""] {
        assert!(told.contains(word), "no `{word}` in: {told}");
    }
}

#[test]
fn two_fresh_folders_hold_the_same_bytes() {
    let world = World::new();
    world.run_into("one").ok();
    fs::remove_dir_all(world.path("cache")).unwrap();
    world.run_into("two").ok();
    same(&world, "one", "two");
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let world = World::new();
    for threads in ["1", "2", "3"] {
        world.run_into(threads).env("RAYON_NUM_THREADS", threads).ok();
    }
    same(&world, "1", "2");
    same(&world, "1", "3");
}

#[test]
fn a_folder_of_artifacts_can_be_moved() {
    let world = World::after_a_run();
    let before = world.artifact_bytes();
    fs::rename(world.path("artifacts"), world.path("elsewhere")).unwrap();
    assert_eq!(world.artifact_bytes_in("elsewhere"), before);
    let second = world.run_into("elsewhere").ok();
    assert!(second.stderr.contains("9 stages cached"), "{}", second.stderr);
}

#[test]
fn clean_keeps_what_the_newest_run_used() {
    let world = World::after_a_run();
    world.run().set("co-reg.lambda_proto=0").ok();
    let would = world.coreg().args(["clean", "--dry-run"]).ok().stdout;
    assert!(would.contains("would free 2 results"), "{would}");
    let freed = world.coreg().args(["clean"]).ok().stdout;
    assert!(freed.contains("freed 2 results"), "{freed}");
    world.is_whole();
    world.run().set("co-reg.lambda_proto=0").ok();
    assert_eq!(world.ran(), NOTHING);
    world.run().ok();
    assert_eq!(world.ran(), ["co-reg", "evaluate"]);
}

#[test]
fn ablations_share_everything_up_to_warm_up() {
    let world = World::after_a_run();
    let table = world.on_shapes(world.coreg(), &["ablations"]).ok().stdout;
    let ran = world.ran();
    let shared = ran.iter().any(|node| STAGES[..7].iter().any(|stage| node.starts_with(stage)));
    assert!(!shared, "{ran:?}");
    // Plain Co-Reg is among the variants, and was run before.
    assert_eq!(ran.len(), 8, "{ran:?}");
    for variant in ["Co-Reg", "w/o Co-PL", "w/ SupCont", "w/o proto", "w/o unlabeled"] {
        assert!(table.contains(&format!("| {variant} | ")), "{table}");
    }
    assert_eq!(world.hub.take_log(), []);
    world.on_shapes(world.coreg(), &["ablations"]).ok();
    assert_eq!(world.ran(), NOTHING);
}

#[test]
fn show_prints_the_tables_of_a_stage() {
    let world = World::after_a_run();
    let shown = world.coreg().args(["show", "shapes/label", "--rows", "2"]).ok().stdout;
    assert!(shown.contains("(96 rows)") && shown.contains("train-00000/000001"), "{shown}");
    assert!(!shown.contains("train-00000/000002"), "{shown}");
    let shown = world.coreg().args(["show", "shapes"]).ok().stdout;
    for table in ["images", "embeddings", "votes", "labels", "history", "predictions", "metrics"] {
        assert!(shown.contains(&format!("{table}.parquet")), "no {table} in: {shown}");
    }
}

/// Flips a bit in the middle of a kept file.
fn damage(path: &Path) {
    let path = fs::canonicalize(path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn same(world: &World, one: &str, two: &str) {
    let (one, two) = (world.artifact_bytes_in(one), world.artifact_bytes_in(two));
    assert!(one.len() > 2 * STAGES.len(), "{:?}", one.keys());
    let differ: Vec<_> =
        one.iter().filter(|(name, bytes)| two.get(*name) != Some(bytes)).map(|(n, _)| n).collect();
    assert!(differ.is_empty() && one.len() == two.len(), "these differ: {differ:?}");
}
