//! `coreg compare`: methods in one table, on one graph.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::Float64Array;
use tests::program::Coreg;
use tests::project::Project;
use tests::tables::{column, texts};

/// Epochs so few that a method takes a second.
pub const SHORT: &str = "rc.epochs=3 rc.batch=32 cc.epochs=3 cc.batch=32 distill.epochs=3 distill.batch=32 lw.epochs=3 \
                         lw.batch=32 cr-dpll.epochs=3 cr-dpll.batch=32 pico.epochs=3 pico.batch=32 pico.queue=64 \
                         pico-plus.epochs=3 pico-plus.batch=32 pico-plus.queue=64 ir-net.epochs=3 ir-net.batch=32 \
                         ir-net.queue=64 alim.epochs=3 alim.batch=32 alim.queue=64 ensemble-contrast.epochs=3 \
                         ensemble-contrast.batch=32 ensemble-contrast.queue=64 divide-mix.epochs=3 divide-mix.batch=32 \
                         divide-mix.warm_up=1";

fn compare(project: &Project, methods: &str) -> Coreg {
    project.on_shapes(project.coreg(), &["compare", "--methods", methods]).set(SHORT)
}

#[test]
fn methods_share_what_comes_before_them_and_stand_in_one_table() {
    let project = Project::new();
    let run = compare(&project, "kd,cc,co-reg").args(["--seeds", "2"]).ok();
    let ran = project.ran();
    for once in ["download", "clip", "embed", "annotate", "label", "statistics"] {
        assert_eq!(
            ran.iter().filter(|node| node.split('.').next() == Some(once)).count(),
            1 + usize::from(once == "annotate"),
            "{ran:?}"
        );
    }
    for (method, title) in [("kd", "KD"), ("cc", "CC"), ("co-reg", "Co-Reg")] {
        let row = run.stdout.lines().find(|line| line.starts_with(&format!("{title} "))).unwrap();
        assert!(row.contains(" ± ") && row.ends_with("  2"), "{method}: {row}");
    }
    for row in ["Zero-shot ", "Zero-shot* "] {
        assert!(run.stdout.lines().any(|line| line.starts_with(row)), "{}", run.stdout);
    }
    let table = project.table("compare.parquet");
    let (rows, metrics) = (texts(&table, "method"), texts(&table, "metric"));
    let values = column::<Float64Array>(&table, "value");
    let of = |row: &str, metric: &str| -> Vec<f64> {
        let at = |&i: &usize| rows[i] == row && metrics[i] == metric;
        (0..rows.len()).filter(at).map(|i| values.value(i)).collect()
    };
    // 64 training images, each once an epoch: three epochs of CC, two of warm-up and three of Co-Reg.
    assert_eq!((of("CC", "images_seen"), of("Co-Reg", "images_seen")), (vec![192.0; 2], vec![320.0; 2]));
    assert!(of("CC", "processor_seconds").iter().all(|&seconds| seconds > 0.0));
    let markdown = String::from_utf8(project.bytes("compare.md")).unwrap();
    assert!(markdown.contains("Points above Co-Reg") && markdown.contains("| CC | "), "{markdown}");
    let csv = String::from_utf8(project.bytes("compare.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + rows.len());
    assert!(project.view("compare.html").is_file());

    compare(&project, "kd,cc,co-reg").args(["--seeds", "2"]).ok();
    assert_eq!(project.ran(), [] as [&str; 0], "a second time nothing is computed");
    compare(&project, "kd,cc,co-reg").args(["--seeds", "2"]).set("cc.batch=16").ok();
    let ran = project.ran();
    assert!(ran.iter().all(|node| node.starts_with("cc") || node.starts_with("evaluate.cc")), "{ran:?}");
    assert_eq!(ran.len(), 4, "{ran:?}");
}

#[test]
fn all_methods_come_to_an_end() {
    let project = Project::new();
    let run = compare(&project, "all").set("coop.epochs=2 coop.batch=4 coop.crops=1").ok();
    let titles = [
        "KD",
        "KD*",
        "DivideMix",
        "DivideMix*",
        "ensemble-contrast",
        "CC",
        "RC",
        "LWC",
        "LWS",
        "PiCO",
        "CR-DPLL",
        "PiCO+",
        "IRNet",
        "ALIM-Onehot",
        "ALIM-Scale",
        "warm-up alone",
        "Co-Reg",
        "CoOp, 2 labels a class",
    ];
    for title in titles {
        assert!(
            run.stdout.lines().any(|line| line.starts_with(&format!("{title}  "))),
            "{title}: {}",
            run.stdout
        );
    }
    assert!(run.stdout.contains("PiCO 800"), "the authors' own schedules are longer: {}", run.stdout);
}

#[test]
fn a_method_that_needs_what_labels_lack_is_left_out_of_all_and_refused_by_name() {
    let project = Project::new();
    let synthetic = |methods: &str| compare(&project, methods).args(["--labels", "synthetic q=0.2 eta=0.1"]);
    synthetic("kd-average").output().helpful_error(&["distill", "synthetic"]);
    synthetic("divide-mix-average").output().helpful_error(&["divide-mix", "synthetic"]);
    assert!(!project.path("artifacts/runs").exists(), "nothing began to run");
    let rows =
        "[[variant]]\nname = 'kd'\nset = 'method=distill'\n[[variant]]\nname = 'cc'\nset = 'method=cc'\n";
    let file = project.file("rows.toml", rows);
    let run = synthetic("all").args(["--variants", &file]).ok();
    assert!(run.stdout.contains("kd has no row: distill"), "{}", run.stdout);
    assert!(run.stdout.lines().any(|line| line.starts_with("cc ")), "{}", run.stdout);
    assert!(project.view("rows.md").is_file());
}

#[test]
fn a_row_that_fails_does_not_take_the_table_with_it() {
    let project = Project::new();
    let few = compare(&project, "cc,coop-16").set("download.limit_train=20 download.balanced=true").output();
    assert!(few.code != Some(0));
    assert!(few.stdout.lines().any(|line| line.starts_with("CC ")), "{}", few.stdout);
    let note = "CoOp, 16 labels a class with seed 0 failed";
    assert!(few.stdout.contains(note), "{}", few.stdout);
    assert!(
        few.stderr.contains("coop.shots = 16") && few.stderr.contains("set coop.shots="),
        "{}",
        few.stderr
    );
}

#[test]
fn a_learned_prompt_has_a_row_where_clip_alone_votes() {
    let project = Project::new();
    let synthetic = compare(&project, "coop-2").args(["--labels", "synthetic q=0.2 eta=0.1"]);
    synthetic.output().helpful_error(&["learns a prompt", "not CLIP alone votes"]);
    let run = compare(&project, "cc,coop-2").set("coop.epochs=2 coop.batch=4 coop.crops=1").ok();
    assert!(
        run.stderr.contains("CoOp learns its prompt from 2 labelled images of each class"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_unknown_method_is_told_the_nearest_and_a_double_is_refused() {
    let project = Project::new();
    compare(&project, "co-reg,pcio").output().helpful_error(&["pcio", "pico"]);
    compare(&project, "cc,rc,cc").output().error(&["`cc` is named twice"]);
    compare(&project, "cc").args(["--method", "rc"]).output().helpful_error(&["METHOD=rc", "METHODS=rc"]);
    let rows = "[[variant]]\nname = 'zero'\ntitle = 'Zero-shot'\nset = 'method=cc'\n";
    let file = project.file("zero.toml", rows);
    compare(&project, "all")
        .args(["--variants", &file])
        .output()
        .helpful_error(&["Zero-shot", "another title"]);
    assert!(!project.path("artifacts/runs").exists(), "nothing began to run");
}

#[test]
fn the_points_of_a_grid_are_columns() {
    let project = Project::new();
    let rows = "[[variant]]\nname = 'cc'\ntitle = 'CC'\nset = 'labels=synthetic method=cc'\n\
                [grid]\n'synthetic.q' = [0.1, 0.5]\n";
    let file = project.file("noise.toml", rows);
    let run = compare(&project, "all").args(["--variants", &file]).ok();
    let title = run.stdout.lines().find(|line| line.starts_with("method")).unwrap();
    assert!(title.contains("q = 0.1") && title.contains("q = 0.5"), "{title}");
}
