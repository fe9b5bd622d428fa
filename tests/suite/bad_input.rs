//! Bad input: one error that says where, what, why and what to do; nothing that was whole is lost.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tests::child::Coreg;
use tests::hub::{COMMIT, Fault};
use tests::shapes;
use tests::world::{CLIP, ROWS, TRAIN, World};

/// Another commit of the hub, so that the cache of the first one is not used.
const LATER: &str = "1111111111111111111111111111111111111111";

/// A world after a run, and what it then held.
struct Before {
    world: World,
    bytes: BTreeMap<String, Vec<u8>>,
}

impl Before {
    fn new() -> Self {
        let world = World::after_a_run();
        let bytes = world.artifact_bytes();
        Self { world, bytes }
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
        self.world.hub.take_log();
        let error = self.fails(coreg, words);
        let ran = self.world.nodes_that("started");
        assert!(self.records() == records || ran.is_empty(), "{ran:?} ran");
        assert_eq!(self.world.hub.take_log(), []);
        error
    }

    fn records(&self) -> usize {
        fs::read_dir(self.world.path("artifacts/runs")).unwrap().count()
    }

    fn is_unharmed(&self) {
        self.world.is_whole();
        let now = self.world.artifact_bytes();
        let objects = self.bytes.iter().filter(|(name, _)| name.starts_with("store/"));
        let lost: Vec<_> =
            objects.filter(|(name, bytes)| now.get(*name) != Some(bytes)).map(|(n, _)| n).collect();
        assert!(lost.is_empty(), "lost or changed: {lost:?}");
    }

    /// Asserts that the run that was good before is still done.
    fn is_done(&self) {
        self.world.run().ok();
        assert_eq!(self.world.ran(), [] as [String; 0]);
        let now = self.world.artifact_bytes();
        assert!(self.bytes.iter().all(|(name, bytes)| now.get(name) == Some(bytes)));
    }
}

#[test]
fn an_unknown_data_set_names_the_nearest() {
    let before = Before::new();
    for (name, nearest) in [("eurosta", "eurosat"), ("CIFAR-10", "cifar10"), ("f-mnist", "fmnist")] {
        let run = before.world.coreg().args(["run", "--dataset", name]);
        before.is_refused(run, &[&format!("no data set `{name}`"), &format!("did you mean `{nearest}`?")]);
    }
    before.is_refused(before.world.coreg().args(["run", "--dataset", "none.toml"]), &["none.toml"]);
    before.is_done();
}

#[test]
fn an_unknown_stage_names_the_nearest() {
    let before = Before::new();
    let world = &before.world;
    before.is_refused(world.run().args(["--only", "lable"]), &["`lable`", "`label`"]);
    before.is_refused(world.plan().args(["--only", "coreg"]), &["`coreg`", "`co-reg`"]);
    let explain = world.on_shapes(world.coreg(), &["explain", "anotate"]);
    before.is_refused(explain, &["`anotate`", "`annotate`"]);
    before.is_done();
}

#[test]
fn an_unknown_setting_or_profile_names_the_nearest() {
    let before = Before::new();
    let run = |set: &str| before.world.run().set(set);
    before.is_refused(run("co-reg.lamda_proto=0"), &["co-reg.lamda_proto", "`co-reg.lambda_proto`"]);
    before.is_refused(run("warmup.epochs=3"), &["warmup", "`warm-up"]);
    before.is_refused(run("sede=3"), &["`sede`", "`seed`"]);
    before.is_refused(run("co-reg.divide.treshold=0.4"), &["`co-reg.divide.threshold`"]);
    before.is_refused(before.world.run().args(["--profile", "quik"]), &["`quik`", "`quick`"]);
    before.is_done();
}

#[test]
fn a_value_that_a_setting_cannot_have_names_the_setting() {
    let before = Before::new();
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
        let error = before.is_refused(before.world.run().set(set), &[key]);
        assert!(
            !error.contains("usize") && !error.contains("u64"),
            "words of the program, not of its user: {error}"
        );
    }
    before.is_done();
}

#[test]
fn an_unknown_command_or_flag_is_refused_with_the_usage() {
    let world = World::new();
    for args in [&["rnu"][..], &["run", "--dateset", "eurosat"], &[], &["explain"]] {
        let output = world.coreg().args(args).output();
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains("Usage: coreg"), "{}", output.stderr);
    }
    assert!(!world.path("artifacts").exists());
}

#[test]
fn a_hub_that_cannot_be_reached_says_what_to_do() {
    let before = Before::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    before.world.describe(COMMIT, LATER);
    let run = before.world.run().env("HF_ENDPOINT", &nobody);
    before
        .fails(run, &["download: ", "data/train-00000-of-00001.parquet", &nobody, "refused", "HF_ENDPOINT"]);
    before.world.describe(LATER, COMMIT);
    before.is_done();
}

#[test]
fn a_hub_that_has_nothing_is_one_error_though_two_stages_ask_it() {
    let world = World::new();
    fs::rename(world.path("hub"), world.path("hidden")).unwrap();
    world.run().output().helpful_error(&[
        "download: ",
        "some/shapes",
        "clip: ",
        "some/clip",
        "no such repository",
    ]);
    world.is_whole();
    fs::rename(world.path("hidden"), world.path("hub")).unwrap();
    world.run().ok();
}

#[test]
fn an_endpoint_that_is_no_address_is_refused_before_anything_runs() {
    let before = Before::new();
    before.is_refused(
        before.world.run().env("HF_ENDPOINT", "huggingface.co"),
        &["HF_ENDPOINT", "`huggingface.co`"],
    );
}

#[test]
fn a_file_that_is_not_on_the_hub_is_answered_with_what_is_there() {
    let before = Before::new();
    before.world.describe("data/train-00000", "data/trian-00000");
    let words =
        ["download: ", "data/trian-00000-of-00001.parquet", "some/shapes", COMMIT, "data/train-00000-of"];
    before.fails(before.world.run(), &words);
    before.world.describe("data/trian-00000", "data/train-00000");
    before.is_done();
}

#[test]
fn a_clip_that_is_not_on_the_hub_is_named() {
    let before = Before::new();
    let run = before.world.run().args(["--set", "clip.model=some/clop"]);
    before.fails(run, &["clip: ", "some/clop", "no such repository"]);
    before.is_refused(before.world.run().set("clip.model=nonsense"), &["clip: ", "`nonsense`", "owner/name"]);
    before.is_done();
}

#[test]
fn a_checksum_that_is_wrong_is_refused() {
    let before = Before::new();
    let other = "0".repeat(64);
    before.world.describe("split = \"train\"", &format!("split = \"train\"\nsha256 = \"{other}\""));
    before.world.describe(COMMIT, LATER);
    before.fails(before.world.run(), &["download: ", "data/train-00000-of-00001.parquet", &other, "SHA-256"]);
    before.world.describe(LATER, COMMIT);
    before.world.describe(&format!("\nsha256 = \"{other}\""), "");
    before.is_done();
}

#[test]
fn bytes_that_are_damaged_on_the_way_never_become_an_artifact() {
    let before = Before::new();
    before.world.describe(COMMIT, LATER);
    before.world.hub.misbehave("data/test-00000-of-00001.parquet", Fault::WrongBytes, 1000);
    // The good file is in the cache under its hash: without it, it has to be fetched again.
    fs::remove_dir_all(before.world.path("cache")).unwrap();
    let words = ["download: ", "data/test-00000-of-00001.parquet", "SHA-256", "what arrived is not the file"];
    before.fails(before.world.run(), &words);
    before.world.hub.behave();
    before.world.run().ok();
    assert_eq!(before.world.ran(), ["download"], "the same images once more");
}

#[test]
fn another_number_of_rows_than_the_catalog_has_is_refused() {
    let before = Before::new();
    let rows = format!("rows = {}", ROWS[0]);
    before.world.describe(&rows, "rows = 1000");
    before.fails(before.world.run(), &["download: ", "1000", &ROWS[0].to_string(), "revision"]);
    before.world.describe("rows = 1000", &rows);
    before.is_done();
}

/// A run on changed training rows, which the hub has under another commit.
fn fails_on_rows(change: impl FnOnce(&mut Vec<shapes::Row>), words: &[&str]) {
    let before = Before::new();
    before.world.change_rows(TRAIN, change);
    before.world.describe(COMMIT, LATER);
    before.fails(before.world.run(), words);
    before.world.describe(LATER, COMMIT);
    before.is_done();
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
    let cut = |rows: &mut Vec<shapes::Row>| {
        let half = rows[40].bytes.len() / 2;
        rows[40].bytes.truncate(half);
    };
    fails_on_rows(cut, &["embed: ", "`train-00000/000040`", "because: "]);
}

#[test]
fn of_several_bad_images_the_first_is_named() {
    let spoil = |rows: &mut Vec<shapes::Row>| [60, 21, 9].iter().for_each(|&row| rows[row].bytes[20] ^= 0xff);
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
    let before = Before::new();
    let names = r#"names = ["stripes", "bars", "disc", "checks"]"#;
    before.world.describe(names, &format!("{names}\ntexts = [\"stripes\", \"bars\", \"disc\"]"));
    before.is_refused(before.world.run(), &["classes.texts", "3 texts for 4 names", "shapes.toml"]);
    before.world.describe("\ntexts = [\"stripes\", \"bars\", \"disc\"]", "");
    before.is_done();
}

#[test]
fn classes_that_are_not_those_of_the_source_are_refused() {
    let before = Before::new();
    for (ours, word) in [(r#""disc", "checks", "rings""#, "rings"), (r#""disc""#, "checks")] {
        before.world.describe(r#""disc", "checks""#, ours);
        before.fails(before.world.run(), &["download: ", word, "stripes, bars, disc", "classes.names"]);
        before.world.describe(ours, r#""disc", "checks""#);
    }
    before.is_done();
}

#[test]
fn a_column_that_is_not_there_is_answered_with_those_that_are() {
    let before = Before::new();
    before.world.describe("image_column = \"image\"", "image_column = \"img\"");
    before.fails(before.world.run(), &["download: ", "`img`", "label (Int64)", ".parquet"]);
    before.world.describe("image_column = \"img\"", "image_column = \"image\"");
    before.is_done();
}

#[test]
fn a_source_file_that_is_no_table_is_named() {
    let before = Before::new();
    fs::write(before.world.path("hub").join(TRAIN), "<html>this is no table</html>").unwrap();
    before.world.describe(COMMIT, LATER);
    before.fails(before.world.run(), &["download: ", "data/train-00000-of-00001.parquet"]);
    before.world.describe(LATER, COMMIT);
    before.is_done();
}

#[test]
fn a_description_with_a_mistake_names_key_and_file() {
    let before = Before::new();
    let good = fs::read_to_string(before.world.path("shapes.toml")).unwrap();
    for (from, to, word) in [
        ("rule = \"standard\"", "rule = \"rendom\"", "rendom"),
        ("channels = 3", "channels = 2", "image.channels"),
        ("flip = true", "flop = true", "flop"),
        ("split = \"train\"\n", "", "source.files.split"),
        ("name = \"shapes\"", "name = \"../shapes\"", "name"),
        ("title = \"Shapes\"", "title = ", "shapes.toml"),
    ] {
        before.world.describe(from, to);
        before.is_refused(before.world.run(), &[word, "shapes.toml"]);
        before.world.file("shapes.toml", &good);
    }
    before.is_done();
}

/// A copy of the world's CLIP in a folder.
fn clip_folder(world: &World) -> String {
    let folder = world.path("clip");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(world.path("hub").join(CLIP)).unwrap() {
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
    let before = Before::new();
    let folder = clip_folder(&before.world);
    let run = || before.world.run().set(&format!("clip.model={folder}"));
    let config = Path::new(&folder).join("config.json");
    edit(&config, "\"hidden_size\": 24", "\"hidden_size\": 36");
    before.is_refused(run(), &["clip: ", "shape", "36", "model.safetensors", "config.json"]);
    edit(&config, "\"hidden_size\": 36", "\"hidden_size\": 24");
    edit(&config, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    before.is_refused(run(), &["clip: ", "lack the tensor", "layers.2", "model.safetensors"]);
    edit(&config, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
    edit(&config, "\"model_type\": \"clip\"", "\"model_type\": \"siglip\"");
    before.is_refused(run(), &["clip: ", "siglip", "config.json"]);
    before.is_done();
}

#[test]
fn a_clip_folder_that_lacks_a_file_or_has_half_of_it_is_refused_before_anything_runs() {
    let before = Before::new();
    let folder = clip_folder(&before.world);
    let run = || before.world.run().set(&format!("clip.model={folder}"));
    let weights = Path::new(&folder).join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    before.is_refused(run(), &["clip: ", "model.safetensors"]);
    fs::write(&weights, &bytes).unwrap();
    let tokenizer = Path::new(&folder).join("tokenizer.json");
    fs::write(&tokenizer, "{}").unwrap();
    before.is_refused(run(), &["clip: ", "tokenizer.json"]);
    fs::remove_file(&tokenizer).unwrap();
    before.is_refused(run(), &["clip: ", "tokenizer.json"]);
    before.is_done();
}

#[test]
fn a_clip_of_the_hub_that_does_not_fit_together_fails_before_images_are_embedded() {
    let before = Before::new();
    edit(
        &before.world.path("hub").join(CLIP).join("config.json"),
        "\"hidden_size\": 24",
        "\"hidden_size\": 36",
    );
    let run = before.world.run().set(&format!("clip.revision={LATER}"));
    before.fails(run, &["clip: ", "shape", "model.safetensors"]);
    assert!(!before.world.nodes_that("started").contains(&"embed".to_owned()));
    before.is_done();
}

#[test]
fn a_clip_in_a_folder_works_like_one_of_the_hub_wherever_the_folder_is() {
    let world = World::after_a_run();
    let embeddings = world.bytes("embed/embeddings.parquet");
    let folder = clip_folder(&world);
    world.run().set(&format!("clip.model={folder}")).ok();
    assert_eq!(world.bytes("embed/embeddings.parquet"), embeddings);
    let ran = world.ran();
    assert!(!ran.contains(&"label".to_owned()), "{ran:?}");
    fs::rename(&folder, world.path("moved")).unwrap();
    world.run().set(&format!("clip.model={}", world.path("moved").display())).ok();
    assert_eq!(world.ran(), [] as [String; 0]);
    assert_eq!(world.hub.take_log(), []);
}

#[test]
fn a_template_without_braces_is_named_with_its_line_and_file() {
    let before = Before::new();
    let prompts = before.world.file("bad.txt", "a photo of a {}\na photo of a cat\n");
    let run = before.world.run().set(&format!("annotate.prompts={prompts}"));
    before.is_refused(run, &["template 2", "{}", "`a photo of a cat`", "bad.txt"]);
    let empty = before.world.file("empty.txt", "\n\n");
    let run = before.world.run().set(&format!("annotate.prompts={empty}"));
    before.is_refused(run, &["no prompt template", "empty.txt"]);
    before.is_done();
}

#[test]
fn prompts_that_are_not_there_are_named() {
    let before = Before::new();
    let run = before.world.run().set("annotate.prompts=none.txt");
    before.is_refused(run, &["cannot read the prompts", "none.txt", "photo27"]);
    let folder = before.world.path("hub");
    let run = before.world.run().set(&format!("annotate.prompts={}", folder.display()));
    before.is_refused(run, &["cannot read the prompts"]);
    before.is_done();
}

#[test]
fn a_folder_of_artifacts_that_cannot_be_written_is_named() {
    let world = World::new();
    let words = |at: &str, file: &str| {
        let output = world.run_into(at).output();
        output.helpful_error(&[file]);
        let plan = world.on_shapes(world.coreg_into(at), &["plan"]).output();
        plan.helpful_error(&[file]);
    };
    fs::write(world.path("file"), "").unwrap();
    words("file", "file/store");
    words("file/artifacts", "file/artifacts");
    words("/dev/null/artifacts", "/dev/null/artifacts");
    fs::create_dir(world.path("artifacts")).unwrap();
    fs::write(world.path("artifacts/store"), "a file in the way").unwrap();
    words("artifacts", "artifacts/store");
    assert_eq!(world.hub.take_log(), [], "found out before anything was fetched");
    assert_eq!(fs::read_to_string(world.path("artifacts/store")).unwrap(), "a file in the way");
}

#[test]
fn a_file_in_the_way_of_records_or_view_is_named_and_left() {
    let before = Before::new();
    let world = &before.world;
    fs::rename(world.path("artifacts/runs"), world.path("runs")).unwrap();
    fs::write(world.path("artifacts/runs"), "in the way").unwrap();
    before.fails(world.run(), &["artifacts/runs"]);
    fs::remove_file(world.path("artifacts/runs")).unwrap();
    fs::rename(world.path("artifacts/shapes"), world.path("shapes")).unwrap();
    fs::write(world.path("artifacts/shapes"), "in the way").unwrap();
    world.run().output().helpful_error(&["artifacts/shapes"]);
    assert_eq!(fs::read_to_string(world.path("artifacts/shapes")).unwrap(), "in the way");
    fs::remove_file(world.path("artifacts/shapes")).unwrap();
    before.is_done();
}

#[test]
fn a_store_of_another_format_is_left_alone() {
    let world = World::after_a_run();
    fs::write(world.path("artifacts/store/FORMAT"), "pipeline store 999\n").unwrap();
    let before = world.artifact_bytes();
    for coreg in [world.run(), world.plan(), world.coreg().args(["clean"]), world.coreg().args(["verify"])] {
        coreg.output().helpful_error(&["artifacts/store"]);
    }
    assert_eq!(world.artifact_bytes(), before);
}

#[test]
fn a_device_that_this_build_or_machine_lacks_is_refused() {
    let before = Before::new();
    before.is_refused(before.world.run_on("gpu"), &["`gpu` is no device", "cpu, cuda or auto"]);
    let cuda = before.world.run_on("cuda").args(["--only", "download"]);
    if before.world.run_on("cuda").args(["--only", "download"]).output().code == Some(0) {
        return println!("skipped: this build has CUDA and this machine has a device");
    }
    before.is_refused(cuda, &["CUDA", "DEVICE=cpu"]);
    before.is_done();
}

#[test]
fn variants_that_are_wrong_are_refused() {
    let before = Before::new();
    let world = &before.world;
    let ablations = |file: &str| world.on_shapes(world.coreg(), &["ablations", "--variants", file]);
    before.is_refused(ablations("none.toml"), &["none.toml"]);
    let unknown = world.file("unknown.toml", "[[variant]]\nname = \"x\"\nset = \"co-reg.epoch=1\"\n");
    before.is_refused(ablations(&unknown), &["`co-reg.epoch`", "`co-reg.epochs`"]);
    let twice = world.file("twice.toml", "[[variant]]\nname = \"x\"\n[[variant]]\nname = \"x\"\n");
    before.is_refused(ablations(&twice), &["x"]);
    let other = world.file("other.toml", "[variant]\nx = 1\n");
    before.is_refused(ablations(&other), &["other.toml"]);
    before.is_done();
}

#[test]
fn a_table_that_is_not_there_is_named() {
    let world = World::after_a_run();
    world.coreg().args(["show", "shapes/lable"]).output().helpful_error(&["shapes/lable"]);
    let file = world.file("no.parquet", "no table");
    world.coreg().args(["show", &file]).output().error(&["no.parquet"]);
}

/// A small file system in memory at a folder of the world; unmounted when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn mount(world: &World, name: &str, megabytes: usize) -> Option<Self> {
        let folder = world.path(name);
        fs::create_dir_all(&folder).unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        match mount.is_ok_and(|output| output.status.success()) {
            true => Some(Self(folder)),
            false => {
                println!("skipped: a file system in memory cannot be mounted here (it takes root)");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn too_little_room_is_found_out_before_anything_runs() {
    let world = World::new();
    let Some(_disk) = SmallDisk::mount(&world, "small", 64) else { return };
    let error = world.run_into("small").output().helpful_error(&["MB are free", "small", "make room"]);
    assert!(error.contains("64 MB") || error.contains("63 MB"), "{error}");
    assert_eq!(world.hub.take_log(), []);
}

#[test]
fn a_disk_that_fills_up_during_training_costs_no_finished_stage() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(&world, "artifacts", 560) else { return };
    let mut running = world.run().set("co-reg.epochs=200").start();
    running.until("co-reg       epoch 1");
    let filler = disk.0.join("filler");
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=1M"]).arg(format!("of={}", filler.display())).output();
    assert!(!filled.unwrap().status.success(), "the disk should have been filled");
    let failed = running.end();
    failed.helpful_error(&["co-reg: ", "No space left", "make room"]);
    fs::remove_file(filler).unwrap();
    world.is_whole();
    world.run().ok();
    assert_eq!(world.ran(), ["co-reg", "evaluate"]);
}
