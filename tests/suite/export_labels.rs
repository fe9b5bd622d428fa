//! `coreg export labels`: what each image is taken for, written for other programs, and read back.
#![allow(clippy::unwrap_used, clippy::panic)]

mod corrected;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use arrow::array::{AsArray, Float32Array, Int32Array, StructArray, UInt16Array};
use pipeline::artifact::Artifact;
use serde_json::Value;
use stages::artifacts::annotation::{Labels, Names};
use stages::artifacts::images::{Images, Index, Split};
use tests::image_set::{self, CLASSES};
use tests::program::Coreg;
use tests::project::{Project, ROWS};
use tests::tables::{column, lists, metadata, read, texts};

/// `coreg export labels … --output PATH`, the path in the project's folder.
fn export(project: &Project, words: &str, output: &str) -> Coreg {
    let words: Vec<&str> = words.split(' ').collect();
    project
        .coreg()
        .args(["export", "labels"])
        .args(words)
        .args([Path::new("--output"), &project.path(output)])
}

fn text(project: &Project, file: &str) -> String {
    fs::read_to_string(project.path(file)).unwrap()
}

fn json(project: &Project, file: &str) -> Value {
    serde_json::from_str(&text(project, file)).unwrap()
}

fn json_lines(project: &Project, file: &str) -> Vec<Value> {
    text(project, file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Exports all labels as JSON lines.
fn rows(project: &Project, name: &str) -> Vec<Value> {
    export(project, &format!("{name} --format jsonl --force"), "rows.jsonl").ok();
    json_lines(project, "rows.jsonl")
}

/// The label of each image by its id.
fn by_id(rows: &[Value]) -> BTreeMap<String, Option<String>> {
    let label = |row: &Value| row["label"].as_str().map(str::to_owned);
    rows.iter().map(|row| (row["id"].as_str().unwrap().to_owned(), label(row))).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The image files of a table of images, by their ids.
fn files(table: &Path) -> BTreeMap<String, Vec<u8>> {
    let table = read(table);
    let bytes = column::<StructArray>(&table, "image").column_by_name("bytes").unwrap().clone();
    let bytes = bytes.as_binary::<i32>().iter().map(|bytes| bytes.unwrap().to_vec());
    texts(&table, "id").into_iter().zip(bytes).collect()
}

/// Reads a folder of images back, and gives the label of each image by its new id.
fn read_back(project: &Project, folder: &str) -> BTreeMap<String, Option<String>> {
    let classes = project.path(folder).join("classes.json");
    let back = ["--name", "back", "--only", "download", "--classes", classes.to_str().unwrap()];
    project.run_images(folder).args(back).ok();
    let path = project.path("artifacts/back/download/images.parquet");
    let table = read(&path);
    let classes = metadata(&path).unwrap()["classes"].clone();
    let class = |label: Option<i32>| Some(classes[label? as usize].as_str().unwrap().to_owned());
    let labels = column::<Int32Array>(&table, "label").iter().map(class);
    texts(&table, "id").into_iter().zip(labels).collect()
}

#[test]
fn the_labels_of_a_run_are_written_for_each_program_the_most_doubtful_first() {
    let project = Project::after_a_run();
    let rows = tables_say_what_the_stages_say(&project);
    an_image_folder_is_read_back_to_the_same_labels(&project, &rows);
    coco_has_an_annotation_for_each_image(&project, &rows);
    label_studio_has_a_task_for_each_image_and_all_classes(&project, &rows);
    places::what_is_there_stays_unless_it_is_to_be_replaced(&project);
    a_student_of_another_run_is_told_apart(&project);
    corrected::corrected_labels_come_back_as_votes(&project);
}

fn tables_say_what_the_stages_say(project: &Project) -> Vec<Value> {
    let told = export(project, "shapes --format jsonl", "labels.jsonl").ok().stdout;
    for words in ["96 images", "64 from co-reg", "32 from student", "the most doubtful first", "to read it:"]
    {
        assert!(told.contains(words), "no `{words}` in: {told}");
    }
    let rows = json_lines(project, "labels.jsonl");
    assert_eq!(rows.len(), ROWS.iter().sum::<usize>());
    let confidence = |row: &Value| row["confidence"].as_f64().unwrap() as f32;
    assert!(rows.is_sorted_by(|a, b| confidence(a) <= confidence(b)));

    let settled = project.table("co-reg/pseudo_labels.parquet");
    let tested = project.table("evaluate/predictions.parquet");
    let probs = lists::<Float32Array>(&tested, "probs");
    let mut said: BTreeMap<String, (u16, f32, &str)> = BTreeMap::new();
    let labels = column::<UInt16Array>(&settled, "pseudo_label").values();
    let sure = column::<Float32Array>(&settled, "confidence").values();
    for ((id, label), sure) in texts(&settled, "id").into_iter().zip(labels).zip(sure) {
        said.insert(id, (*label, *sure, "co-reg"));
    }
    let predictions = column::<UInt16Array>(&tested, "prediction").values();
    for ((id, label), probs) in texts(&tested, "id").into_iter().zip(predictions).zip(probs) {
        said.insert(id, (*label, probs.value(usize::from(*label)), "student"));
    }
    let labels = project.table("label/labels.parquet");
    let known =
        lists::<UInt16Array>(&labels, "candidates").into_iter().zip(column::<Int32Array>(&labels, "label"));
    let known: BTreeMap<String, _> = texts(&labels, "id").into_iter().zip(known).collect();
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        let (label, sure, source) = said[id];
        assert_eq!(row["label"], CLASSES[usize::from(label)], "{row}");
        assert_eq!((confidence(row), row["source"].as_str().unwrap()), (sure, source));
        assert!(id.starts_with(row["split"].as_str().unwrap()), "{row}");
        let (candidates, truth) = &known[id];
        let candidates: Vec<&str> =
            candidates.values().iter().map(|&class| CLASSES[usize::from(class)]).collect();
        assert_eq!(row["candidates"], serde_json::json!(candidates));
        assert_eq!(row["truth"], CLASSES[truth.unwrap() as usize]);
    }

    export(project, "shapes --format csv", "labels.csv").ok();
    let csv = text(project, "labels.csv");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("id,split,label,confidence,source,candidates,truth"));
    for (line, row) in lines.zip(&rows) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(
            [fields[0], fields[2], fields[4]],
            ["id", "label", "source"].map(|key| row[key].as_str().unwrap())
        );
        assert_eq!(fields[3].parse::<f32>().unwrap(), confidence(row));
        assert_eq!(fields[5].split('|').count(), row["candidates"].as_array().unwrap().len());
    }
    assert_eq!(csv.lines().count(), rows.len() + 1);

    let tested: Vec<&Value> = rows.iter().filter(|row| row["split"] == "test").collect();
    export(project, "shapes --format jsonl --split test --only doubtful=5", "some.jsonl").ok();
    assert_eq!(json_lines(project, "some.jsonl").iter().collect::<Vec<_>>(), tested[..5]);
    let limit = confidence(&rows[40]);
    let below = rows.iter().filter(|row| confidence(row) < limit).count();
    assert!(below > 0, "the confidences are all alike");
    export(project, &format!("shapes --format jsonl --below {limit}"), "below.jsonl").ok();
    assert_eq!(json_lines(project, "below.jsonl"), rows[..below]);
    let lowest = confidence(&rows[0]) / 2.0;
    let none = export(project, &format!("shapes --format csv --below {lowest}"), "none.csv").output();
    none.helpful_error(&["no image is to be written", "96 images"]);
    rows
}

fn an_image_folder_is_read_back_to_the_same_labels(project: &Project, rows: &[Value]) {
    export(project, "shapes --format imagefolder", "folder").ok();
    let encoded = files(&project.view("download/images.parquet"));
    let mut expected = BTreeMap::new();
    for split in ["train", "test"] {
        let table = text(project, &format!("folder/{split}/metadata.csv"));
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some("file_name,label,confidence,source,id,candidates,truth"));
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let file = format!("{split}/{}", fields[0]);
            let bytes = fs::read(project.path("folder").join(&file)).unwrap();
            assert!(bytes == encoded[fields[4]], "{file} is not the file of {}", fields[4]);
            expected.insert(file, (fields[4].to_owned(), Some(fields[1].to_owned())));
        }
        assert_eq!(names(&project.path("folder").join(split)).len(), table.lines().count());
    }
    let labels = by_id(rows);
    assert_eq!(expected.values().cloned().collect::<BTreeMap<_, _>>(), labels);
    let back = read_back(project, "folder");
    assert_eq!(back, expected.into_iter().map(|(file, (_, label))| (file, label)).collect());
}

fn coco_has_an_annotation_for_each_image(project: &Project, rows: &[Value]) {
    export(project, "shapes --format coco", "coco").ok();
    let coco = json(project, "coco/annotations.json");
    let list = |key: &str| coco[key].as_array().unwrap().clone();
    let categories: Vec<Value> = list("categories").iter().map(|category| category["name"].clone()).collect();
    assert_eq!(categories, CLASSES);
    assert_eq!(coco["categories"][0]["id"], 1);
    let (images, annotations) = (list("images"), list("annotations"));
    assert_eq!((images.len(), annotations.len()), (rows.len(), rows.len()));
    for ((image, annotation), row) in images.iter().zip(&annotations).zip(rows) {
        assert_eq!((&image["name"], &annotation["image_id"]), (&row["id"], &image["id"]));
        assert_eq!((&image["width"], &image["height"]), (&image_set::SIDE.into(), &image_set::SIDE.into()));
        let category = annotation["category_id"].as_u64().unwrap() as usize - 1;
        assert_eq!((&categories[category], &annotation["score"]), (&row["label"], &row["confidence"]));
        assert!(project.path("coco/images").join(image["file_name"].as_str().unwrap()).is_file());
    }
    let ids: BTreeSet<u64> =
        annotations.iter().map(|annotation| annotation["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), rows.len());
}

fn label_studio_has_a_task_for_each_image_and_all_classes(project: &Project, rows: &[Value]) {
    let told = export(project, "shapes --format label-studio", "studio").ok().stdout;
    assert!(told.contains("LOCAL_FILES_DOCUMENT_ROOT") && told.contains("config.xml"), "{told}");
    let tasks = json(project, "studio/tasks.json").as_array().unwrap().clone();
    assert_eq!(tasks.len(), rows.len());
    for (task, row) in tasks.iter().zip(rows) {
        assert_eq!(task["data"]["id"], row["id"]);
        let address = task["data"]["image"].as_str().unwrap();
        let file = address.strip_prefix("/data/local-files/?d=").unwrap();
        assert!(project.path(file).is_file(), "{address}");
        let prediction = &task["predictions"][0];
        assert_eq!(
            (&prediction["score"], &prediction["model_version"]),
            (&row["confidence"], &row["source"])
        );
        let choice = serde_json::json!({
            "from_name": "label", "to_name": "image", "type": "choices", "value": { "choices": [row["label"]] },
        });
        assert_eq!(prediction["result"][0], choice);
    }
    let config = text(project, "studio/config.xml");
    assert!(CLASSES.iter().all(|class| config.contains(&format!("<Choice value=\"{class}\"/>"))), "{config}");
    let root = "shapes --format label-studio --only doubtful=1 --image-root https://host/images";
    export(project, root, "remote").ok();
    let task = &json(project, "remote/tasks.json")[0];
    let file = names(&project.path("remote/images")).pop_first().unwrap();
    assert_eq!(task["data"]["image"], format!("https://host/images/{file}"));
}

fn a_student_of_another_run_is_told_apart(project: &Project) {
    let sources = |name: &str| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for row in rows(project, name) {
            *counts.entry(format!("{} {}", row["split"].as_str().unwrap(), row["source"])).or_default() += 1;
        }
        counts
    };
    let counted = |counts: &[(&str, usize)]| -> BTreeMap<String, usize> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    project.run().args(["--method", "rc"]).set("rc.epochs=2").ok();
    assert_eq!(sources("shapes"), counted(&[("test \"student\"", 32), ("train \"rc\"", 64)]));
    // Its predictions for test images went with the newer evaluation.
    assert_eq!(sources("shapes/co-reg"), counted(&[("test \"annotators\"", 32), ("train \"co-reg\"", 64)]));
    let told = export(project, "shapes/co-reg --format csv --split test", "test.csv").ok().stdout;
    assert!(told.contains("no predictions of co-reg") && told.contains("METHOD=co-reg"), "{told}");
    // This method settles on nothing.
    project.run().args(["--method", "distill"]).set("distill.epochs=1").ok();
    assert_eq!(sources("shapes"), counted(&[("test \"student\"", 32), ("train \"annotators\"", 64)]));
    // Its probabilities and the annotators' shares of votes are two measures.
    let all = rows(project, "shapes");
    assert!(all.iter().take(32).all(|row| row["source"] == "student"));
    let sure = |row: &Value| row["confidence"].as_f64().unwrap();
    assert!(all[..32].is_sorted_by_key(sure) && all[32..].is_sorted_by_key(sure));
    let told = export(project, "shapes --format csv", "distilled.csv").ok().stdout;
    for words in ["then the annotators' by their shares", "distill left no labels of these images"] {
        assert!(told.contains(words), "no `{words}` in: {told}");
    }
}

/// Names that CSV, XML or a list would take for something else.
const ODD: [&str; 5] = ["7", "nan", "a|b", "x & <y>", "say \"hi\""];

/// A data set that nobody trained on, whose ids are no names of files; nobody voted on its last image.
fn hostile(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let ids = [
        "../../escaped",
        "/etc/passwd",
        "..",
        "",
        ".hidden.png",
        "a/b",
        "a_b",
        "A_B",
        "a/b.png",
        "猫",
        "狗",
        "two\nlines, \"quoted\"",
        "-rf",
        "train-images-idx3-ubyte/000001",
        "metadata.csv",
        "000123",
    ];
    let long = [1, 2].map(|end| format!("{}{end}", "x".repeat(4000)));
    let ids: Vec<String> = ids.into_iter().map(str::to_owned).chain(long).collect();
    let count = ids.len();
    let encoded: Vec<Vec<u8>> = image_set::rows(7, count).into_iter().map(|row| row.bytes).collect();
    let splits: Vec<Split> = (0..count).map(|row| Split::ALL[usize::from(row % 3 == 2)]).collect();
    let classes: Vec<String> = ODD.map(str::to_owned).into();
    let class = |row: usize| (row % ODD.len()) as u16;
    let labels = Labels {
        ids: ids.clone(),
        splits: splits.clone(),
        candidates: (0..count).map(|row| [class(row).min(1), class(row).max(2)].into()).collect(),
        weights: vec![vec![0.4, 0.6]; count],
        single: (0..count).map(|row| (row + 1 < count).then(|| class(row))).collect(),
        human: vec![false; count],
        truth: vec![None; count],
        names: Names { annotators: Vec::new(), classes: classes.clone() },
    };
    let index = Index { ids: ids.clone(), splits, labels: vec![None; count], classes };
    let folder = project.path("artifacts/hostile");
    for stage in ["download", "label"] {
        fs::create_dir_all(folder.join(stage)).unwrap();
    }
    Images::new(index, encoded.clone(), vec![None; count]).save(&folder.join("download")).unwrap();
    labels.save(&folder.join("label")).unwrap();
    ids.into_iter().zip(encoded).collect()
}

#[test]
fn no_id_leads_out_of_the_folder_and_no_name_of_a_class_is_lost() {
    let project = Project::new();
    let encoded = hostile(&project);
    let around = |project: &Project| -> BTreeSet<String> {
        names(&project.path("")).into_iter().filter(|name| !name.starts_with("log")).collect()
    };
    fs::create_dir(project.path("deep")).unwrap();
    let before = around(&project);
    let told = export(&project, "hostile --format imagefolder", "deep/out").ok().stdout;
    assert!(told.contains("17 from annotators") && told.contains("1 without a label"), "{told}");
    assert_eq!((around(&project), names(&project.path("deep"))), (before, ["out".to_owned()].into()));
    let mut expected = BTreeMap::new();
    for split in ["train", "test"] {
        let rows = json_lines(&project, &format!("deep/out/{split}/metadata.jsonl"));
        let folder = project.path("deep/out").join(split);
        assert_eq!(names(&folder).len(), rows.len() + 1, "{:?}", names(&folder));
        for row in rows {
            let file = row["file_name"].as_str().unwrap();
            assert!(fs::read(folder.join(file)).unwrap() == encoded[row["id"].as_str().unwrap()], "{row}");
            expected.insert(format!("{split}/{file}"), row["label"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(expected.len(), encoded.len());
    let used: BTreeSet<&str> = expected.values().flatten().map(String::as_str).collect();
    assert_eq!(used, ODD.into(), "every odd name is a label");
    assert_eq!(read_back(&project, "deep/out"), expected);

    for format in ["coco", "label-studio"] {
        export(&project, &format!("hostile --format {format}"), &format!("deep/{format}")).ok();
        assert_eq!(names(&project.path(&format!("deep/{format}/images"))).len(), encoded.len());
    }
    assert_eq!(json(&project, "deep/coco/annotations.json")["annotations"].as_array().unwrap().len(), 17);
    assert_eq!(json(&project, "deep/label-studio/tasks.json")[0]["predictions"], serde_json::json!([]));
    let config = text(&project, "deep/label-studio/config.xml");
    assert!(
        config.contains("\"x &amp; &lt;y&gt;\"") && config.contains("\"say &quot;hi&quot;\""),
        "{config}"
    );
    export(&project, "hostile --format csv", "deep/labels.csv").ok();
    let csv = text(&project, "deep/labels.csv");
    assert!(csv.contains(",nan|a\\|b,") && csv.contains("\"two\nlines, \"\"quoted\"\"\","), "{csv}");
}

/// Disks that are full: `make test` runs what takes root where it can.
mod full_disks {
    use tests::disk::MemoryDisk;

    use super::*;

    #[test]
    #[ignore = "mounts a file system in memory, which takes root"]
    fn an_export_for_which_there_is_no_room_leaves_nothing() {
        let project = Project::new();
        let images = hostile(&project);
        let disk = MemoryDisk::mount(&project.path("disk"), "size=40k");
        // Each takes a page of memory at least.
        assert!(images.len() * 4096 > 40 << 10, "all images would fit");
        for (format, output) in
            [("imagefolder", "disk/out"), ("coco", "disk/coco"), ("label-studio", "disk/studio")]
        {
            let failed = export(&project, &format!("hostile --format {format}"), output).output();
            failed.helpful_error(&["No space left on device", "make room"]);
            assert_eq!(names(disk.folder()), BTreeSet::new());
        }
        export(&project, "hostile --format csv", "disk/labels.csv").ok();
        assert!(disk.remount("size=16k"));
        fs::write(disk.folder().join("filler"), [0; 1]).unwrap();
        let before = names(disk.folder());
        let failed = export(&project, "hostile --format csv --force", "disk/labels.csv").output();
        failed.helpful_error(&["No space left on device", "make room"]);
        assert_eq!(names(disk.folder()), before);
    }
}
