//! What runs again, what does not, and that equal settings give equal bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use tests::project::{Project, STAGES, TEMPLATES};

const NOTHING: [&str; 0] = [];

#[test]
fn a_second_run_does_nothing_and_asks_nobody() {
    let project = Project::after_a_run();
    let before = project.artifact_bytes();
    let second = project.run().ok();
    assert_eq!(project.ran(), NOTHING);
    assert_eq!(project.nodes_that("cached"), STAGES);
    assert_eq!(project.hub.take_log(), []);
    assert!(second.stderr.contains("11 stages cached"), "{}", second.stderr);
    assert_eq!(project.artifact_bytes(), before);
}

#[test]
fn a_second_run_says_what_the_first_one_said() {
    let project = Project::new();
    let first = project.run().ok();
    assert!(first.stdout.contains("Co-Reg, both networks"), "{}", first.stdout);
    assert_eq!(project.run().ok().stdout, first.stdout);
}

#[test]
fn a_second_run_reads_no_image_and_needs_no_file_of_the_hub() {
    let project = Project::after_a_run();
    fs::remove_dir_all(project.path("cache")).unwrap();
    damage(&project.view("download/images.parquet"));
    project.run().ok();
    assert_eq!(project.ran(), NOTHING, "the images were read: their damage was found");
    assert_eq!(project.hub.take_log(), []);
}

#[test]
fn damage_is_found_set_aside_and_made_good() {
    let project = Project::after_a_run();
    let before = project.artifact_bytes();
    damage(&project.view("download/images.parquet"));
    let found = project.coreg().args(["verify"]).output();
    found.helpful_error(&["damaged", "set aside", "run again"]);
    assert!(found.stdout.contains("set aside in"), "{}", found.stdout);
    project.run().ok();
    assert_eq!(project.ran(), ["download"], "the same bytes again: what follows stays");
    assert_eq!(project.artifact_bytes(), before);
    project.is_whole();
}

#[test]
fn a_setting_of_co_reg_runs_co_reg_and_what_follows() {
    let project = Project::after_a_run();
    project.run().set("co-reg.lambda_proto=0").ok();
    assert_eq!(project.ran(), ["co-reg", "evaluate", "findings", "report"]);
    assert_eq!(project.hub.take_log(), []);
}

#[test]
fn a_setting_of_warm_up_leaves_the_annotation_alone() {
    let project = Project::after_a_run();
    project.run().set("seed=1").ok();
    assert_eq!(project.ran(), ["warm-up", "co-reg", "evaluate", "findings", "report"]);
}

#[test]
fn a_plain_student_to_compare_with_changes_nothing_else() {
    let project = Project::after_a_run();
    let run = project.run().set("baselines=[\"distill\"] distill.epochs=2").ok();
    assert_eq!(project.ran(), ["distill", "report"]);
    let line = run.stdout.lines().find(|line| line.contains("a plain student of that average, 2 epochs"));
    assert!(line.is_some_and(|line| line.ends_with(" %")), "{}", run.stdout);
    assert!(project.view("distill/student.safetensors").exists());
    assert!(project.view("distill/history.parquet").exists());
    project.run().set("baselines=[\"distill\"] distill.epochs=3").ok();
    assert_eq!(project.ran(), ["distill", "report"]);
}

#[test]
fn other_prompts_never_embed_again() {
    let project = Project::after_a_run();
    let labels = project.bytes("label/labels.parquet");
    let prompts = project.file("others.txt", "a cat of a {}\nnot a {}\nthe photo: {}!");
    project.run().set(&format!("annotate.prompts={prompts}")).ok();
    assert_eq!(
        project.ran(),
        ["annotate", "label", "statistics", "warm-up", "co-reg", "evaluate", "findings", "report"]
    );
    assert_ne!(project.bytes("label/labels.parquet"), labels);
    assert_eq!(project.hub.take_log(), []);
}

#[test]
fn prompts_are_their_templates_wherever_they_are_written() {
    let project = Project::after_a_run();
    let spread = project.file("spread.txt", &format!("\n  {}  \n\n", TEMPLATES.join("\r\n\n")));
    project.run().set(&format!("annotate.prompts={spread}")).ok();
    assert_eq!(project.ran(), ["report"], "it says how the setting is written");
}

#[test]
fn an_upstream_run_that_gives_the_same_labels_stops_there() {
    let project = Project::after_a_run();
    let labels = project.bytes("label/labels.parquet");
    // CLIP's tokenizer knows no capitals, so these are other templates that vote the same.
    let capitals = TEMPLATES.map(|template| template.to_uppercase()).join("\n");
    let prompts = project.file("capitals.txt", &capitals);
    project.run().set(&format!("annotate.prompts={prompts}")).ok();
    assert_eq!(project.ran(), ["annotate", "label", "statistics", "report"]);
    assert_eq!(project.bytes("label/labels.parquet"), labels);
}

#[test]
fn a_setting_that_the_rule_does_not_look_at_stops_at_the_labels() {
    let project = Project::after_a_run();
    project.run().set("label.ratio=0.7").ok();
    assert_eq!(project.ran(), ["label", "report"]);
}

#[test]
fn class_texts_are_for_clip_alone() {
    let project = Project::after_a_run();
    let names = r#"names = ["stripes", "bars", "disc", "checks"]"#;
    project
        .describe(names, &format!("{names}\ntexts = [\"a cat\", \"the bars\", \"a photo\", \"of checks\"]"));
    project.run().ok();
    let ran = project.ran();
    assert_eq!(ran[0], "annotate", "{ran:?}");
    assert_eq!(project.hub.take_log(), []);
}

#[test]
fn back_to_the_first_settings_runs_nothing() {
    let project = Project::after_a_run();
    let first = project.bytes("co-reg/student.safetensors");
    project.run().set("co-reg.lambda_proto=0 label.rule=top-k").ok();
    assert_ne!(project.bytes("co-reg/student.safetensors"), first);
    project.run().ok();
    assert_eq!(project.ran(), NOTHING);
    assert_eq!(project.bytes("co-reg/student.safetensors"), first, "the view shows the newest run's results");
}

#[test]
fn an_equal_value_written_in_another_way_is_no_change() {
    let project = Project::after_a_run();
    project.run().set("annotate.logit_scale=100 label.ratio=2e-1 co-reg.epochs=4 co-reg.epochs=3").ok();
    assert_eq!(project.ran(), NOTHING);
}

#[test]
fn only_runs_a_stage_and_what_it_needs() {
    let project = Project::new();
    project.run().args(["--only", "label"]).ok();
    assert_eq!(project.ran(), STAGES[..5]);
    project.run().ok();
    assert_eq!(project.ran(), STAGES[5..]);
}

#[test]
fn a_plan_names_the_changed_setting_and_runs_nothing() {
    let project = Project::after_a_run();
    let (before, records) = (project.artifact_bytes(), project.record());
    let plan = project.plan().set("co-reg.lambda_proto=0.25").ok().stdout;
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
    assert_eq!((project.artifact_bytes(), project.record()), (before, records));
    assert_eq!(project.hub.take_log(), []);
    project.run().ok();
    assert_eq!(project.ran(), NOTHING, "a plan is not remembered");
}

#[test]
fn a_plan_of_a_new_folder_asks_nobody() {
    let project = Project::new();
    let plan = project.plan().ok().stdout;
    assert!(plan.contains("never ran before"), "{plan}");
    assert_eq!(project.hub.take_log(), []);
}

#[test]
fn explain_says_what_a_result_depends_on() {
    let project = Project::after_a_run();
    let told = project.on_shapes(project.coreg(), &["explain", "label"]).ok().stdout;
    for word in ["label: cached", "inputs: download, annotate", "labels.parquet", "\"rule\": \"union\""] {
        assert!(told.contains(word), "no `{word}` in: {told}");
    }
}

#[test]
fn two_fresh_folders_hold_the_same_bytes() {
    let project = Project::new();
    project.run_into("one").ok();
    fs::remove_dir_all(project.path("cache")).unwrap();
    project.run_into("two").ok();
    same(&project, "one", "two");
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let project = Project::new();
    for threads in ["1", "2", "3"] {
        project.run_into(threads).env("RAYON_NUM_THREADS", threads).ok();
    }
    same(&project, "1", "2");
    same(&project, "1", "3");
}

#[test]
fn a_folder_of_artifacts_can_be_moved() {
    let project = Project::after_a_run();
    let before = project.artifact_bytes();
    fs::rename(project.path("artifacts"), project.path("elsewhere")).unwrap();
    assert_eq!(project.artifact_bytes_in("elsewhere"), before);
    let second = project.run_into("elsewhere").ok();
    assert!(second.stderr.contains("11 stages cached"), "{}", second.stderr);
}

#[test]
fn clean_keeps_what_the_newest_run_used() {
    let project = Project::after_a_run();
    project.run().set("co-reg.lambda_proto=0").ok();
    let would = project.coreg().args(["clean", "--dry-run"]).ok().stdout;
    assert!(would.contains("would free 4 results"), "{would}");
    let freed = project.coreg().args(["clean"]).ok().stdout;
    assert!(freed.contains("freed 4 results"), "{freed}");
    project.is_whole();
    project.run().set("co-reg.lambda_proto=0").ok();
    assert_eq!(project.ran(), NOTHING);
    project.run().ok();
    assert_eq!(project.ran(), ["co-reg", "evaluate", "findings", "report"]);
}

#[test]
fn ablations_share_everything_up_to_warm_up() {
    let project = Project::after_a_run();
    let table = project.on_shapes(project.coreg(), &["ablations"]).ok().stdout;
    let ran = project.ran();
    let shared = ran.iter().any(|node| STAGES[..7].iter().any(|stage| node.starts_with(stage)));
    assert!(!shared, "{ran:?}");
    // Plain Co-Reg is among the variants, and was run before.
    assert_eq!(ran.len(), 8, "{ran:?}");
    for variant in ["Co-Reg", "w/o Co-PL", "w/ SupCont", "w/o proto", "w/o unlabeled"] {
        assert!(table.contains(&format!("| {variant} | ")), "{table}");
    }
    assert_eq!(project.hub.take_log(), []);
    project.on_shapes(project.coreg(), &["ablations"]).ok();
    assert_eq!(project.ran(), NOTHING);
}

#[test]
fn show_prints_the_tables_of_a_stage() {
    let project = Project::after_a_run();
    let shown = project.coreg().args(["show", "shapes/label", "--rows", "2"]).ok().stdout;
    assert!(shown.contains("(96 rows)") && shown.contains("train-00000/000001"), "{shown}");
    assert!(!shown.contains("train-00000/000002"), "{shown}");
    let shown = project.coreg().args(["show", "shapes"]).ok().stdout;
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

fn same(project: &Project, one: &str, two: &str) {
    let (one, two) = (project.artifact_bytes_in(one), project.artifact_bytes_in(two));
    assert!(one.len() > 2 * STAGES.len(), "{:?}", one.keys());
    let differ: Vec<_> =
        one.iter().filter(|(name, bytes)| two.get(*name) != Some(bytes)).map(|(n, _)| n).collect();
    assert!(differ.is_empty() && one.len() == two.len(), "these differ: {differ:?}");
}
