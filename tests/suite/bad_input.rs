//! Bad input: one error that says where, what, why and what to do; nothing that was whole is lost.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use tests::hub::{COMMIT, Fault};
use tests::image_set;
use tests::program::Coreg;
use tests::project::{CLIP, Project, ROWS, TRAIN};

/// Another commit of the hub, so that the cache of the first one is not used.
const LATER: &str = "1111111111111111111111111111111111111111";

/// A project after a good run, and the files that this run left: bad input afterwards must harm none of them.
struct AfterGoodRun {
    project: Project,
    bytes: BTreeMap<String, Vec<u8>>,
}

impl AfterGoodRun {
    fn new() -> Self {
        let project = Project::after_a_run();
        let bytes = project.artifact_bytes();
        Self { project, bytes }
    }

    /// Asserts that the command fails as it should, and that all is as it was.
    fn fails(&self, coreg: Coreg, words: &[&str]) -> String {
        let output = coreg.output();
        let error = output.error(words);
        // "must be a positive number" says what to do as well as a line of help.
        if !error.contains(" must ") {
            output.helpful_error(words);
        }
        self.is_unharmed();
        error
    }

    /// As [`fails`](Self::fails), and no stage may have run: what is wrong can be seen before.
    fn is_refused(&self, coreg: Coreg, words: &[&str]) -> String {
        let records = self.records();
        self.project.hub.take_log();
        let error = self.fails(coreg, words);
        let ran = self.project.nodes_that("started");
        assert!(self.records() == records || ran.is_empty(), "{ran:?} ran");
        assert_eq!(self.project.hub.take_log(), []);
        error
    }

    fn records(&self) -> usize {
        fs::read_dir(self.project.path("artifacts/runs")).unwrap().count()
    }

    fn is_unharmed(&self) {
        self.project.is_whole();
        let now = self.project.artifact_bytes();
        let objects = self.bytes.iter().filter(|(name, _)| name.starts_with("store/"));
        let lost: Vec<_> =
            objects.filter(|(name, bytes)| now.get(*name) != Some(bytes)).map(|(n, _)| n).collect();
        assert!(lost.is_empty(), "lost or changed: {lost:?}");
    }

    /// Asserts that the run that was good before is still done.
    fn is_done(&self) {
        self.project.run().ok();
        assert_eq!(self.project.ran(), [] as [String; 0]);
        let now = self.project.artifact_bytes();
        assert!(self.bytes.iter().all(|(name, bytes)| now.get(name) == Some(bytes)));
    }
}

#[test]
fn an_unknown_data_set_names_the_nearest() {
    let good = AfterGoodRun::new();
    for (name, nearest) in [("eurosta", "eurosat"), ("CIFAR-10", "cifar10"), ("f-mnist", "fmnist")] {
        let run = good.project.coreg().args(["run", "--dataset", name]);
        good.is_refused(run, &[&format!("no data set `{name}`"), &format!("did you mean `{nearest}`?")]);
    }
    good.is_refused(good.project.coreg().args(["run", "--dataset", "none.toml"]), &["none.toml"]);
    good.is_done();
}

#[test]
fn an_unknown_stage_names_the_nearest() {
    let good = AfterGoodRun::new();
    let project = &good.project;
    good.is_refused(project.run().args(["--only", "lable"]), &["`lable`", "`label`"]);
    good.is_refused(project.plan().args(["--only", "coreg"]), &["`coreg`", "`co-reg`"]);
    let explain = project.on_shapes(project.coreg(), &["explain", "anotate"]);
    good.is_refused(explain, &["`anotate`", "`annotate`"]);
    good.is_done();
}

#[test]
fn an_unknown_setting_or_profile_names_the_nearest() {
    let good = AfterGoodRun::new();
    let run = |set: &str| good.project.run().set(set);
    good.is_refused(run("co-reg.lamda_proto=0"), &["co-reg.lamda_proto", "`co-reg.lambda_proto`"]);
    good.is_refused(run("warmup.epochs=3"), &["warmup", "`warm-up"]);
    good.is_refused(run("sede=3"), &["`sede`", "`seed`"]);
    good.is_refused(run("co-reg.divide.treshold=0.4"), &["`co-reg.divide.threshold`"]);
    good.is_refused(good.project.run().args(["--profile", "quik"]), &["`quik`", "`quick`"]);
    good.is_done();
}

#[test]
fn a_value_that_a_setting_cannot_have_names_the_setting() {
    let good = AfterGoodRun::new();
    for (set, key) in [
        ("co-reg.epochs=many", "co-reg.epochs"),
        ("co-reg.epochs=-3", "co-reg.epochs"),
        ("co-reg.epochs=2.5", "co-reg.epochs"),
        ("co-reg.epochs=0", "co-reg.epochs"),
        ("co-reg.temperature=0", "co-reg.temperature"),
        ("co-reg.lambda_proto=nan", "co-reg.lambda_proto"),
        ("co-reg.lambda_contrast=-1", "co-reg.lambda_contrast"),
        ("co-reg.positives=all", "co-reg.positives"),
        ("co-reg.use_unlabeled=1", "co-reg.use_unlabeled"),
        ("warm-up.batch=1", "warm-up.batch"),
        ("label.rule=best", "label.rule"),
        ("label.k=0", "label.k"),
        ("network.blocks=[1,2]", "network.blocks"),
        ("network.width=0", "network.width"),
        ("input.std=[0.5,0,0.5]", "standard deviation [0.5, 0.0, 0.5]"),
        ("annotate.logit_scale=0", "annotate.logit_scale"),
        ("optimizer.learning_rate=-0.1", "optimizer.learning_rate"),
        ("optimizer.learning_rate=inf", "optimizer.learning_rate"),
        ("optimizer.precision=f16", "optimizer.precision"),
        ("distill.epochs=-1", "distill.epochs"),
        ("seed=-1", "seed"),
        ("seed.x=1", "seed"),
        ("3", "`3`"),
    ] {
        let error = good.is_refused(good.project.run().set(set), &[key]);
        assert!(
            !error.contains("usize") && !error.contains("u64"),
            "words of the program, not of its user: {error}"
        );
    }
    good.is_done();
}

#[test]
fn an_unknown_command_or_flag_is_refused_with_the_usage() {
    let project = Project::new();
    for args in [&["rnu"][..], &["run", "--dateset", "eurosat"], &[], &["explain"]] {
        let output = project.coreg().args(args).output();
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains("Usage: coreg"), "{}", output.stderr);
    }
    assert!(!project.path("artifacts").exists());
}

#[test]
fn a_hub_that_cannot_be_reached_says_what_to_do() {
    let good = AfterGoodRun::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    good.project.describe(COMMIT, LATER);
    let run = good.project.run().env("HF_ENDPOINT", &nobody);
    good.fails(run, &["download: ", "data/train-00000-of-00001.parquet", &nobody, "refused", "HF_ENDPOINT"]);
    good.project.describe(LATER, COMMIT);
    good.is_done();
}

#[test]
fn a_hub_that_has_nothing_is_one_error_though_two_stages_ask_it() {
    let project = Project::new();
    fs::rename(project.path("hub"), project.path("hidden")).unwrap();
    project.run().output().helpful_error(&[
        "download: ",
        "some/shapes",
        "clip: ",
        "some/clip",
        "no such repository",
    ]);
    project.is_whole();
    fs::rename(project.path("hidden"), project.path("hub")).unwrap();
    project.run().ok();
}

#[test]
fn an_endpoint_that_is_no_address_is_refused_before_anything_runs() {
    let good = AfterGoodRun::new();
    good.is_refused(
        good.project.run().env("HF_ENDPOINT", "huggingface.co"),
        &["HF_ENDPOINT", "`huggingface.co`"],
    );
}

#[test]
fn a_file_that_is_not_on_the_hub_is_answered_with_what_is_there() {
    let good = AfterGoodRun::new();
    good.project.describe("data/train-00000", "data/trian-00000");
    let words =
        ["download: ", "data/trian-00000-of-00001.parquet", "some/shapes", COMMIT, "data/train-00000-of"];
    good.fails(good.project.run(), &words);
    good.project.describe("data/trian-00000", "data/train-00000");
    good.is_done();
}

#[test]
fn a_clip_that_is_not_on_the_hub_is_named() {
    let good = AfterGoodRun::new();
    let run = good.project.run().args(["--set", "clip.model=some/clop"]);
    good.fails(run, &["clip: ", "some/clop", "no such repository"]);
    good.is_refused(good.project.run().set("clip.model=nonsense"), &["clip: ", "`nonsense`", "owner/name"]);
    good.is_done();
}

#[test]
fn a_checksum_that_is_wrong_is_refused() {
    let good = AfterGoodRun::new();
    let other = "0".repeat(64);
    good.project.describe("split = \"train\"", &format!("split = \"train\"\nsha256 = \"{other}\""));
    good.project.describe(COMMIT, LATER);
    good.fails(good.project.run(), &["download: ", "data/train-00000-of-00001.parquet", &other, "SHA-256"]);
    good.project.describe(LATER, COMMIT);
    good.project.describe(&format!("\nsha256 = \"{other}\""), "");
    good.is_done();
}

#[test]
fn bytes_that_are_damaged_on_the_way_never_become_an_artifact() {
    let good = AfterGoodRun::new();
    good.project.describe(COMMIT, LATER);
    good.project.hub.misbehave("data/test-00000-of-00001.parquet", Fault::WrongBytes, 1000);
    // The good file is in the cache under its hash: without it, it has to be fetched again.
    fs::remove_dir_all(good.project.path("cache")).unwrap();
    let words = ["download: ", "data/test-00000-of-00001.parquet", "SHA-256", "what arrived is not the file"];
    good.fails(good.project.run(), &words);
    good.project.hub.behave();
    good.project.run().ok();
    assert_eq!(good.project.ran(), ["download"], "the same images once more");
}

#[test]
fn another_number_of_rows_than_the_catalog_has_is_refused() {
    let good = AfterGoodRun::new();
    let rows = format!("rows = {}", ROWS[0]);
    good.project.describe(&rows, "rows = 1000");
    good.fails(good.project.run(), &["download: ", "1000", &ROWS[0].to_string(), "revision"]);
    good.project.describe("rows = 1000", &rows);
    good.is_done();
}

/// A run on changed training rows, which the hub has under another commit.
fn fails_on_rows(change: impl FnOnce(&mut Vec<image_set::Row>), words: &[&str]) {
    let good = AfterGoodRun::new();
    good.project.change_rows(TRAIN, change);
    good.project.describe(COMMIT, LATER);
    good.fails(good.project.run(), words);
    good.project.describe(LATER, COMMIT);
    good.is_done();
}

#[test]
fn an_image_that_does_not_decode_is_named() {
    fails_on_rows(
        |rows| rows[17].bytes = b"no image".to_vec(),
        &["embed: ", "`train-00000/000017`", "because: "],
    );
}

#[test]
fn an_image_that_is_cut_short_is_named() {
    let cut = |rows: &mut Vec<image_set::Row>| {
        let half = rows[40].bytes.len() / 2;
        rows[40].bytes.truncate(half);
    };
    fails_on_rows(cut, &["embed: ", "`train-00000/000040`", "because: "]);
}

#[test]
fn of_several_bad_images_the_first_is_named() {
    let spoil =
        |rows: &mut Vec<image_set::Row>| [60, 21, 9].iter().for_each(|&row| rows[row].bytes[20] ^= 0xff);
    fails_on_rows(spoil, &["embed: ", "`train-00000/000009`"]);
}

#[test]
fn a_row_without_an_image_is_named() {
    fails_on_rows(|rows| rows[5].bytes.clear(), &["download: ", "row 5", "`image`"]);
}

#[test]
fn a_label_outside_the_classes_is_named_with_its_row() {
    fails_on_rows(|rows| rows[23].label = Some(4), &["download: ", "row 23", "label 4", "4 classes"]);
    fails_on_rows(|rows| rows[7].label = Some(-2), &["download: ", "row 7", "label -2", "4 classes"]);
}

#[test]
fn class_texts_that_do_not_match_the_classes_are_refused() {
    let good = AfterGoodRun::new();
    let names = r#"names = ["stripes", "bars", "disc", "checks"]"#;
    good.project.describe(names, &format!("{names}\ntexts = [\"stripes\", \"bars\", \"disc\"]"));
    good.is_refused(good.project.run(), &["classes.texts", "3 texts for 4 names", "shapes.toml"]);
    good.project.describe("\ntexts = [\"stripes\", \"bars\", \"disc\"]", "");
    good.is_done();
}

#[test]
fn classes_that_are_not_those_of_the_source_are_refused() {
    let good = AfterGoodRun::new();
    for (ours, word) in [(r#""disc", "checks", "rings""#, "rings"), (r#""disc""#, "checks")] {
        good.project.describe(r#""disc", "checks""#, ours);
        good.fails(good.project.run(), &["download: ", word, "stripes, bars, disc", "classes.names"]);
        good.project.describe(ours, r#""disc", "checks""#);
    }
    good.is_done();
}

#[test]
fn a_column_that_is_not_there_is_answered_with_those_that_are() {
    let good = AfterGoodRun::new();
    good.project.describe("image_column = \"image\"", "image_column = \"img\"");
    good.fails(good.project.run(), &["download: ", "`img`", "label (Int64)", ".parquet"]);
    good.project.describe("image_column = \"img\"", "image_column = \"image\"");
    good.is_done();
}

#[test]
fn a_source_file_that_is_no_table_is_named() {
    let good = AfterGoodRun::new();
    fs::write(good.project.path("hub").join(TRAIN), "<html>this is no table</html>").unwrap();
    good.project.describe(COMMIT, LATER);
    good.fails(good.project.run(), &["download: ", "data/train-00000-of-00001.parquet"]);
    good.project.describe(LATER, COMMIT);
    good.is_done();
}

#[test]
fn a_description_with_a_mistake_names_key_and_file() {
    let good = AfterGoodRun::new();
    let description = fs::read_to_string(good.project.path("shapes.toml")).unwrap();
    for (from, to, word) in [
        ("rule = \"standard\"", "rule = \"rendom\"", "rendom"),
        ("channels = 3", "channels = 2", "image.channels"),
        ("flip = true", "flop = true", "flop"),
        ("split = \"train\"\n", "", "source.files.split"),
        ("name = \"shapes\"", "name = \"../shapes\"", "name"),
        ("title = \"Shapes\"", "title = ", "shapes.toml"),
    ] {
        good.project.describe(from, to);
        good.is_refused(good.project.run(), &[word, "shapes.toml"]);
        good.project.file("shapes.toml", &description);
    }
    good.is_done();
}

/// A copy of the project's CLIP in a folder.
fn clip_folder(project: &Project) -> String {
    let folder = project.path("clip");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(project.path("hub").join(CLIP)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "no `{from}` in: {text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_clip_folder_whose_tensors_do_not_fit_its_config_is_refused_before_anything_runs() {
    let good = AfterGoodRun::new();
    let folder = clip_folder(&good.project);
    let run = || good.project.run().set(&format!("clip.model={folder}"));
    let config = Path::new(&folder).join("config.json");
    edit(&config, "\"hidden_size\": 24", "\"hidden_size\": 36");
    good.is_refused(run(), &["clip: ", "shape", "36", "model.safetensors", "config.json"]);
    edit(&config, "\"hidden_size\": 36", "\"hidden_size\": 24");
    edit(&config, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    good.is_refused(run(), &["clip: ", "lack the tensor", "layers.2", "model.safetensors"]);
    edit(&config, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
    edit(&config, "\"model_type\": \"clip\"", "\"model_type\": \"siglip\"");
    good.is_refused(run(), &["clip: ", "siglip", "config.json"]);
    good.is_done();
}

#[test]
fn a_clip_folder_that_lacks_a_file_or_has_half_of_it_is_refused_before_anything_runs() {
    let good = AfterGoodRun::new();
    let folder = clip_folder(&good.project);
    let run = || good.project.run().set(&format!("clip.model={folder}"));
    let weights = Path::new(&folder).join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    good.is_refused(run(), &["clip: ", "model.safetensors"]);
    fs::write(&weights, &bytes).unwrap();
    let tokenizer = Path::new(&folder).join("tokenizer.json");
    fs::write(&tokenizer, "{}").unwrap();
    good.is_refused(run(), &["clip: ", "tokenizer.json"]);
    fs::remove_file(&tokenizer).unwrap();
    good.is_refused(run(), &["clip: ", "tokenizer.json"]);
    good.is_done();
}

#[test]
fn a_clip_of_the_hub_that_does_not_fit_together_fails_before_images_are_embedded() {
    let good = AfterGoodRun::new();
    edit(
        &good.project.path("hub").join(CLIP).join("config.json"),
        "\"hidden_size\": 24",
        "\"hidden_size\": 36",
    );
    let run = good.project.run().set(&format!("clip.revision={LATER}"));
    good.fails(run, &["clip: ", "shape", "model.safetensors"]);
    assert!(!good.project.nodes_that("started").contains(&"embed".to_owned()));
    good.is_done();
}

#[test]
fn a_clip_in_a_folder_works_like_one_of_the_hub_wherever_the_folder_is() {
    let project = Project::after_a_run();
    let embeddings = project.bytes("embed/embeddings.parquet");
    let folder = clip_folder(&project);
    project.run().set(&format!("clip.model={folder}")).ok();
    assert_eq!(project.bytes("embed/embeddings.parquet"), embeddings);
    let ran = project.ran();
    assert!(!ran.contains(&"label".to_owned()), "{ran:?}");
    fs::rename(&folder, project.path("moved")).unwrap();
    project.run().set(&format!("clip.model={}", project.path("moved").display())).ok();
    assert_eq!(project.ran(), ["report"], "it says what the folder is called");
    assert_eq!(project.hub.take_log(), []);
}

#[test]
fn a_template_without_braces_is_named_with_its_line_and_file() {
    let good = AfterGoodRun::new();
    let prompts = good.project.file("bad.txt", "a photo of a {}\na photo of a cat\n");
    let run = good.project.run().set(&format!("annotate.prompts={prompts}"));
    good.is_refused(run, &["template 2", "{}", "`a photo of a cat`", "bad.txt"]);
    let empty = good.project.file("empty.txt", "\n\n");
    let run = good.project.run().set(&format!("annotate.prompts={empty}"));
    good.is_refused(run, &["no prompt template", "empty.txt"]);
    good.is_done();
}

#[test]
fn prompts_that_are_not_there_are_named() {
    let good = AfterGoodRun::new();
    let run = good.project.run().set("annotate.prompts=none.txt");
    good.is_refused(run, &["cannot read the prompts", "none.txt", "photo27"]);
    let folder = good.project.path("hub");
    let run = good.project.run().set(&format!("annotate.prompts={}", folder.display()));
    good.is_refused(run, &["cannot read the prompts"]);
    good.is_done();
}

#[test]
fn a_folder_of_artifacts_that_cannot_be_written_is_named() {
    let project = Project::new();
    let words = |at: &str, file: &str| {
        let output = project.run_into(at).output();
        output.helpful_error(&[file]);
        let plan = project.on_shapes(project.coreg_into(at), &["plan"]).output();
        plan.helpful_error(&[file]);
    };
    fs::write(project.path("file"), "").unwrap();
    words("file", "file/store");
    words("file/artifacts", "file/artifacts");
    words("/dev/null/artifacts", "/dev/null/artifacts");
    fs::create_dir(project.path("artifacts")).unwrap();
    fs::write(project.path("artifacts/store"), "a file in the way").unwrap();
    words("artifacts", "artifacts/store");
    assert_eq!(project.hub.take_log(), [], "found out before anything was fetched");
    assert_eq!(fs::read_to_string(project.path("artifacts/store")).unwrap(), "a file in the way");
}

#[test]
fn a_file_in_the_way_of_records_or_view_is_named_and_left() {
    let good = AfterGoodRun::new();
    let project = &good.project;
    fs::rename(project.path("artifacts/runs"), project.path("runs")).unwrap();
    fs::write(project.path("artifacts/runs"), "in the way").unwrap();
    good.fails(project.run(), &["artifacts/runs"]);
    fs::remove_file(project.path("artifacts/runs")).unwrap();
    fs::rename(project.path("artifacts/shapes"), project.path("shapes")).unwrap();
    fs::write(project.path("artifacts/shapes"), "in the way").unwrap();
    project.run().output().helpful_error(&["artifacts/shapes"]);
    assert_eq!(fs::read_to_string(project.path("artifacts/shapes")).unwrap(), "in the way");
    fs::remove_file(project.path("artifacts/shapes")).unwrap();
    good.is_done();
}

#[test]
fn a_store_of_another_format_is_left_alone() {
    let project = Project::after_a_run();
    fs::write(project.path("artifacts/store/FORMAT"), "pipeline store 999\n").unwrap();
    let before = project.artifact_bytes();
    for coreg in
        [project.run(), project.plan(), project.coreg().args(["clean"]), project.coreg().args(["verify"])]
    {
        coreg.output().helpful_error(&["artifacts/store"]);
    }
    assert_eq!(project.artifact_bytes(), before);
}

#[test]
fn a_device_that_this_build_or_machine_lacks_is_refused() {
    let good = AfterGoodRun::new();
    good.is_refused(good.project.run_on("gpu"), &["`gpu` is no device", "cpu, cuda or auto"]);
    // A build with CUDA on a machine with a device sees none under this variable.
    let cuda = good.project.run_on("cuda").env("CUDA_VISIBLE_DEVICES", "").args(["--only", "download"]);
    good.is_refused(cuda, &["CUDA", "DEVICE=cpu"]);
    good.is_done();
}

#[test]
fn variants_that_are_wrong_are_refused() {
    let good = AfterGoodRun::new();
    let project = &good.project;
    let ablations = |file: &str| project.on_shapes(project.coreg(), &["ablations", "--variants", file]);
    good.is_refused(ablations("none.toml"), &["none.toml"]);
    let unknown = project.file("unknown.toml", "[[variant]]\nname = \"x\"\nset = \"co-reg.epoch=1\"\n");
    good.is_refused(ablations(&unknown), &["`co-reg.epoch`", "`co-reg.epochs`"]);
    let twice = project.file("twice.toml", "[[variant]]\nname = \"x\"\n[[variant]]\nname = \"x\"\n");
    good.is_refused(ablations(&twice), &["x"]);
    let other = project.file("other.toml", "[variant]\nx = 1\n");
    good.is_refused(ablations(&other), &["other.toml"]);
    good.is_done();
}

#[test]
fn a_table_that_is_not_there_is_named() {
    let project = Project::after_a_run();
    project
        .coreg()
        .args(["show", "shapes/lable"])
        .output()
        .helpful_error(&["shapes `lable`", "did you mean `label`"]);
    let file = project.file("no.parquet", "no table");
    project.coreg().args(["show", &file]).output().error(&["no.parquet"]);
}
