//! Tables of images, and what lies beside them.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use serde_json::json;

use super::{Files, Input, Refused, Taken, check_all, picture};

const LIST: Option<&str> = Some("cat\ndog\n");

/// Pictures `{name} 0`, `{name} 1`, … as hubs have them; null where `null` says so.
fn images(name: &str, count: usize, null: Option<usize>) -> ArrayRef {
    let bytes: BinaryArray =
        (0..count).map(|i| (null != Some(i)).then(|| picture(&format!("{name} {i}")))).collect();
    encoded(bytes, vec![None::<&str>; count].into_iter().collect())
}

fn encoded(bytes: BinaryArray, paths: StringArray) -> ArrayRef {
    let fields =
        vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)].into();
    Arc::new(StructArray::try_new(fields, vec![Arc::new(bytes), Arc::new(paths)], None).unwrap())
}

fn numbers(labels: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(labels.to_vec()))
}

fn words(labels: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(labels.to_vec()))
}

/// A batch of columns with what the `datasets` library would say of them, if anything.
fn batch(columns: Vec<(&str, ArrayRef)>, features: Option<serde_json::Value>) -> RecordBatch {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let entry = features
        .map(|features| ("huggingface".to_owned(), json!({"info": {"features": features}}).to_string()));
    let schema = Schema::new_with_metadata(
        batch.schema().fields().clone(),
        entry.into_iter().collect::<std::collections::HashMap<_, _>>(),
    );
    RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec()).unwrap()
}

fn parquet(files: &Files, name: &str, batch: &RecordBatch) {
    let mut writer =
        ArrowWriter::try_new(File::create(files.path(name)).unwrap(), batch.schema(), None).unwrap();
    for (key, value) in batch.schema().metadata() {
        writer.append_key_value_metadata(parquet::file::metadata::KeyValue::new(key.clone(), value.clone()));
    }
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// `{prefix}/000000` and so on, with these splits and classes.
fn rows(of: &[(&str, &[&str])]) -> Vec<(String, String)> {
    let numbered = of.iter().flat_map(|(prefix, labels)| {
        labels.iter().enumerate().map(move |(row, label)| (format!("{prefix}/{row:06}"), (*label).to_owned()))
    });
    numbered.collect()
}

/// One table `t.parquet` of three pictures and these labels.
fn labelled(labels: ArrayRef) -> impl Fn(&Files) {
    move |files| {
        parquet(
            files,
            "t.parquet",
            &batch(vec![("image", images("t", 3, None)), ("label", labels.clone())], None),
        )
    }
}

/// Classes, prefixes with the split and class of each row, and words that the run says.
type Rows<'a> = (&'a [&'a str], &'a [(&'a str, &'a [&'a str])], &'a [&'a str]);

/// Checks inputs whose rows are given as [`rows`] gives them.
fn check(name: &str, put: &dyn Fn(&Files), classes: Option<&str>, set: &str, want: Rows) {
    let owned = rows(want.1);
    let expected: Vec<(&str, &str)> = owned.iter().map(|(id, label)| (id.as_str(), label.as_str())).collect();
    check_all(&[Input { name, put, classes, set, want: Taken(want.0, &expected, want.2) }]);
}

fn refused(name: &str, put: &dyn Fn(&Files), classes: Option<&str>, set: &str, words: &[&str]) {
    check_all(&[Input { name, put, classes, set, want: Refused(words) }]);
}

fn classes(names: &[&str]) -> serde_json::Value {
    json!({"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}})
}

#[test]
fn each_table_is_looked_at_for_itself() {
    let put = |files: &Files| {
        parquet(files, "train.parquet", &batch(vec![("image", images("a", 3, None))], None));
        let test = vec![("image", images("b", 2, None)), ("label", numbers(&[1, 0]))];
        parquet(files, "test.parquet", &batch(test, Some(classes(&["cat", "dog"]))));
    };
    let want: &[(&str, &[&str])] = &[("train", &["train ?"; 3]), ("test", &["test dog", "test cat"])];
    check("labels of the test images alone", &put, None, "", (&["cat", "dog"], want, &[]));
    let want: &[(&str, &[&str])] = &[("train", &["train ?"; 3]), ("test", &["test dog", "test cat"])];
    check(
        "the same with a list in another order",
        &put,
        Some("dog\ncat\n"),
        "",
        (&["dog", "cat"], want, &[]),
    );
    let unlabeled: &[(&str, &[&str])] = &[("train", &["train ?"; 3]), ("test", &["test ?"; 2])];
    check("no labels wanted", &put, LIST, "download.labels=none", (&["cat", "dog"], unlabeled, &[]));
}

#[test]
fn whole_numbers_and_flags_are_labels_however_they_are_kept() {
    let floats = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 0.0]));
    let want: &[(&str, &[&str])] = &[("t", &["- dog", "- ?", "- cat"])];
    check("pandas' floats", &labelled(floats), LIST, "", (&["cat", "dog"], want, &[]));
    let flags = Arc::new(BooleanArray::from(vec![true, false, true]));
    let want: &[(&str, &[&str])] = &[("t", &["- dog", "- cat", "- dog"])];
    check("flags", &labelled(flags), LIST, "", (&["cat", "dog"], want, &[]));
    check(
        "numerals in text",
        &labelled(words(&["1", "0", "1"])),
        LIST,
        "",
        (&["cat", "dog"], want, &["numerals"]),
    );
    check(
        "numbered from one",
        &labelled(numbers(&[2, 1, 2])),
        LIST,
        "",
        (&["cat", "dog"], want, &["numbered from 1"]),
    );
    let half = Arc::new(Float64Array::from(vec![0.5, 1.0, 0.0]));
    refused("no whole number", &labelled(half), LIST, "", &["row 0", "0.5", "no whole number"]);
    let lists = images("label", 3, None);
    let want: &[(&str, &[&str])] = &[("t", &["- ?"; 3])];
    check(
        "a column that cannot hold labels",
        &labelled(lists),
        LIST,
        "",
        (&["cat", "dog"], want, &["label (Struct", "left out"]),
    );
}

#[test]
fn names_of_classes_are_compared_by_one_rule() {
    let want: &[(&str, &[&str])] = &[("t", &["- Cat", "- cat", "- dog"])];
    let put = labelled(words(&["Cat", "cat", "dog"]));
    check(
        "two spellings side by side",
        &put,
        None,
        "",
        (&["Cat", "cat", "dog"], want, &["`Cat`, `cat`", "CLASSES"]),
    );
    let want: &[(&str, &[&str])] = &[("t", &["- cat", "- cat", "- dog"])];
    check("a list with one of them", &put, LIST, "", (&["cat", "dog"], want, &["`Cat`, `cat`"]));
    let want: &[(&str, &[&str])] = &[("t", &["- cat", "- ?", "- dog"])];
    check("an empty label", &labelled(words(&["cat", " ", "dog"])), None, "", (&["cat", "dog"], want, &[]));
    refused(
        "a label that is no class",
        &labelled(words(&["cat", "cow", "dog"])),
        LIST,
        "",
        &["`cow`", "cat, dog", "CLASSES"],
    );
}

#[test]
fn the_column_of_images_is_found_or_asked_for() {
    let both = |first: &'static str, second: &'static str, features: Option<serde_json::Value>| {
        move |files: &Files| {
            let columns = vec![(first, images("mask", 3, None)), (second, images("photo", 3, None))];
            parquet(files, "t.parquet", &batch(columns, features.clone()));
        }
    };
    let want: &[(&str, &[&str])] = &[("t", &["- ?"; 3])];
    let said = &["column `image`", "`annotation`", "download.image_column"];
    check(
        "a mask before the image",
        &both("annotation", "image", None),
        LIST,
        "",
        (&["cat", "dog"], want, said),
    );
    let both_declared = json!({"annotation": {"_type": "Image"}, "image": {"_type": "Image"}});
    check(
        "both are declared",
        &both("annotation", "image", Some(both_declared)),
        LIST,
        "",
        (&["cat", "dog"], want, said),
    );
    refused(
        "two of no usual name",
        &both("left", "right", None),
        LIST,
        "",
        &["`left`, `right`", "download.image_column"],
    );
    check(
        "the user says which",
        &both("left", "right", None),
        LIST,
        "download.image_column=right",
        (&["cat", "dog"], want, &[]),
    );
    refused(
        "the user's column is none",
        &both("left", "right", None),
        LIST,
        "download.image_column=up",
        &["image_column = up", "left"],
    );
    let hashes = |files: &Files| {
        let hashes: ArrayRef = Arc::new(BinaryArray::from_iter_values([[7u8; 16]; 3]));
        let audio = encoded(
            [Some(&b"RIFF....WAVE"[..]); 3].into_iter().collect(),
            vec![None::<&str>; 3].into_iter().collect(),
        );
        let columns = vec![("md5", hashes), ("audio", audio), ("picture_bytes", images("p", 3, None))];
        parquet(files, "t.parquet", &batch(columns, None));
    };
    check(
        "hashes and sounds beside the images",
        &hashes,
        LIST,
        "",
        (&["cat", "dog"], want, &["`picture_bytes`"]),
    );
}

#[test]
fn rows_without_an_image_are_named_or_left_out() {
    let put = |files: &Files| {
        let columns = vec![("image", images("t", 4, Some(1))), ("label", numbers(&[0, 1, 1, 0]))];
        parquet(files, "t.parquet", &batch(columns, None));
    };
    refused(
        "a null image",
        &put,
        LIST,
        "",
        &["1 of 4 images", "`t/000001`", "download.skip_unreadable=true"],
    );
    let rows = [("t/000000", "- cat"), ("t/000002", "- dog"), ("t/000003", "- cat")];
    check_all(&[Input {
        name: "the same, left out",
        put: &put,
        classes: LIST,
        set: "download.skip_unreadable=true",
        want: Taken(&["cat", "dog"], &rows, &["1 unreadable image is left out: `t/000001`"]),
    }]);
    let beside = |files: &Files| {
        files.pictures(&["pictures/a.png", "pictures/b.png", "pictures/c.png"]);
        let paths = StringArray::from(vec!["pictures/a.png", "pictures/b.png", "pictures/c.png"]);
        let bytes: BinaryArray = [None::<&[u8]>; 3].into_iter().collect();
        let columns = vec![("image", encoded(bytes, paths)), ("label", words(&["cat", "dog", "cat"]))];
        parquet(files, "t.parquet", &batch(columns, None));
    };
    let want: &[(&str, &[&str])] = &[("t", &["- cat", "- dog", "- cat"])];
    check(
        "paths in place of bytes",
        &beside,
        None,
        "download.format=tables",
        (&["cat", "dog"], want, &["3 images"]),
    );
}

#[test]
fn tables_win_over_the_pictures_of_their_cards() {
    let put = |files: &Files| {
        files.bytes("README.md", "---\nlicense: mit\n---\n");
        files.pictures(&["thumbnail.png"]);
        let part = |name: &str, labels: &[i64]| {
            let columns = vec![("image", images(name, labels.len(), None)), ("label", numbers(labels))];
            batch(columns, Some(classes(&["cat", "dog"])))
        };
        parquet(files, "data/train-00000-of-00001.parquet", &part("train", &[0, 1, 1]));
        parquet(files, "data/test-00000-of-00001.parquet", &part("test", &[1]));
    };
    let want: &[(&str, &[&str])] =
        &[("train-00000", &["train cat", "train dog", "train dog"]), ("test-00000", &["test dog"])];
    check(
        "a clone of a hub's repository",
        &put,
        None,
        "",
        (&["cat", "dog"], want, &["`thumbnail.png`", "download.format=files"]),
    );
    let pointer = |files: &Files| {
        files.bytes(
            "data/train-00000-of-00001.parquet",
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n",
        );
    };
    refused(
        "a clone without its large files",
        &pointer,
        LIST,
        "",
        &["Git LFS pointer", "git lfs pull", "train-00000"],
    );
}

#[test]
fn what_datasets_saves_to_disk_is_read() {
    let put = |files: &Files| {
        for (part, labels) in [("train", &[0i64, 1, 1][..]), ("test", &[1])] {
            let columns = vec![("image", images(part, labels.len(), None)), ("label", numbers(labels))];
            let batch = batch(columns, Some(classes(&["cat", "dog"])));
            let file = File::create(files.path(&format!("{part}/data-00000-of-00001.arrow"))).unwrap();
            let mut writer = StreamWriter::try_new(file, &batch.schema()).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            files.bytes(&format!("{part}/state.json"), "{}");
            files.bytes(&format!("{part}/cache-1234.arrow"), "what a map left");
        }
        files.bytes("dataset_dict.json", "{\"splits\": [\"train\", \"test\"]}");
    };
    let want: &[(&str, &[&str])] = &[
        ("train/data-00000-of-00001", &["train cat", "train dog", "train dog"]),
        ("test/data-00000-of-00001", &["test dog"]),
    ];
    check("save_to_disk", &put, None, "", (&["cat", "dog"], want, &[]));
}

/// Two tables, to train and to test, with these labels and class names.
fn two(
    [train, test]: [&'static str; 2],
    labels: [ArrayRef; 2],
    names: [Option<&'static [&'static str]>; 2],
) -> impl Fn(&Files) {
    move |files| {
        for ((name, labels), names) in [train, test].iter().zip(&labels).zip(names) {
            let columns = vec![("image", images(name, labels.len(), None)), ("label", labels.clone())];
            parquet(files, &format!("{name}.parquet"), &batch(columns, names.map(classes)));
        }
    }
}

#[test]
fn tables_that_do_not_agree_on_their_labels_are_refused() {
    let parts = ["train", "test"];
    let mixed = two(parts, [words(&["zebra", "ant"]), numbers(&[0, 1])], [None; 2]);
    refused("words and numbers", &mixed, None, "", &["words", "numbers", "CLASSES"]);
    let want: &[(&str, &[&str])] =
        &[("train", &["train zebra", "train ant"]), ("test", &["test zebra", "test ant"])];
    check("the list says what numbers are", &mixed, Some("zebra\nant\n"), "", (&["zebra", "ant"], want, &[]));
    let unlike = two(parts, [words(&["a", "b"]), words(&["c", "d"])], [None; 2]);
    refused("nothing in common", &unlike, None, "", &["nothing in common", "`a`, `b`", "`c`, `d`"]);
    let orders =
        two(parts, [numbers(&[0, 1]), numbers(&[0, 1])], [Some(&["cat", "dog"]), Some(&["dog", "cat"])]);
    refused(
        "other names in two orders",
        &orders,
        Some("apple\nbanana\n"),
        "",
        &["CLASSES", "cat, dog in", "dog, cat in"],
    );
    let fewer = two(
        parts,
        [numbers(&[0, 1, 2]), numbers(&[0, 1])],
        [Some(&["cat", "cow", "dog"]), Some(&["dog", "cat"])],
    );
    let want: &[(&str, &[&str])] =
        &[("train", &["train cat", "train cow", "train dog"]), ("test", &["test dog", "test cat"])];
    check("a part that names fewer classes", &fewer, None, "", (&["cat", "cow", "dog"], want, &[]));
    let renamed = two(parts, [numbers(&[0, 1]), numbers(&[1])], [Some(&["n01", "n02"]); 2]);
    let want: &[(&str, &[&str])] = &[("train", &["train cat", "train dog"]), ("test", &["test dog"])];
    check(
        "codes in place of names",
        &renamed,
        LIST,
        "",
        (&["cat", "dog"], want, &["n01, n02", "in the same order"]),
    );
    refused("minus one and one", &labelled(numbers(&[-1, 1, 1])), LIST, "", &["−1 and 1", "0 and 1"]);
    let want: &[(&str, &[&str])] = &[("t", &["- ?", "- cat", "- dog"])];
    check(
        "minus one is unknown",
        &labelled(numbers(&[-1, 0, 1])),
        LIST,
        "",
        (&["cat", "dog"], want, &["1 labels are −1"]),
    );
    let want: &[(&str, &[&str])] = &[("t", &["- ?", "- cat", "- dog"])];
    check(
        "words for nothing",
        &labelled(words(&["nan", "cat", "dog"])),
        None,
        "",
        (&["cat", "dog"], want, &["`nan`"]),
    );
    check(
        "numbered from 0, but not from the first",
        &labelled(numbers(&[1, 2, 1])),
        Some("a\nb\nc\n"),
        "",
        (&["a", "b", "c"], &[("t", &["- b", "- c", "- b"])], &["download.first_label=1"]),
    );
}

#[test]
fn tables_that_are_missing_or_there_twice_are_refused() {
    let part = |name: &'static str| {
        move |files: &Files| parquet(files, name, &batch(vec![("image", images(name, 4, None))], None))
    };
    refused(
        "one shard of three",
        &part("train-00000-of-00003.parquet"),
        LIST,
        "",
        &["2 of 3 shards", "`train`"],
    );
    let all =
        |names: &'static [&'static str]| move |files: &Files| names.iter().for_each(|name| part(name)(files));
    refused(
        "a second copy",
        &all(&["train.parquet", "train (1).parquet"]),
        LIST,
        "",
        &["second copy of `train.parquet`"],
    );
    refused(
        "no table to train",
        &all(&["validation.parquet", "test.parquet"]),
        LIST,
        "",
        &["no file is for training", "download.train="],
    );
    refused(
        "two configurations",
        &all(&["a/train.parquet", "b/train.parquet"]),
        LIST,
        "",
        &["`a`, `b`", "configurations"],
    );
    refused(
        "a table that nobody understands",
        &all(&["train.parquet", "test.parquet", "more.parquet"]),
        LIST,
        "",
        &["`more.parquet`", "download.train=train.parquet,more.parquet download.test=test.parquet"],
    );
    let want: &[(&str, &[&str])] =
        &[("train", &["train ?"; 4]), ("more", &["train ?"; 4]), ("test", &["test ?"; 4])];
    check(
        "the same as the error says",
        &all(&["train.parquet", "test.parquet", "more.parquet"]),
        LIST,
        "download.train=train.parquet,more.parquet download.test=test.parquet",
        (&["cat", "dog"], want, &[]),
    );
}

#[test]
fn a_column_of_labels_of_another_name_is_found_or_told() {
    let put = |files: &Files| {
        let breeds = words(&["cat", "dog", "cat"]);
        let columns = vec![
            ("image", images("t", 3, None)),
            ("breed", breeds),
            ("split", words(&["train", "train", "test"])),
        ];
        parquet(files, "t.parquet", &batch(columns, None));
    };
    let want: &[(&str, &[&str])] = &[("t", &["train cat", "train dog", "test cat"])];
    check(
        "its values are the classes",
        &put,
        LIST,
        "",
        (
            &["cat", "dog"],
            want,
            &[
                "`breed`",
                "whose values are all in CLASSES",
                "column `split` of `t.parquet` says which rows train",
            ],
        ),
    );
    refused(
        "without a list",
        &put,
        None,
        "",
        &["do not name their classes", "download.label_column", "breed"],
    );
    check("the user names it", &put, None, "download.label_column=breed", (&["cat", "dog"], want, &[]));
    let unlabeled: &[(&str, &[&str])] = &[("t", &["- ?"; 3])];
    check(
        "its values are others",
        &put,
        Some("a\nb\n"),
        "",
        (&["a", "b"], unlabeled, &["no column of `t.parquet` is taken for labels", "`breed`"]),
    );
}

#[test]
fn a_column_may_say_which_rows_train_and_which_test() {
    let put = |words_of: &'static [&'static str]| {
        move |files: &Files| {
            let columns = vec![
                ("image", images("t", 4, None)),
                ("label", numbers(&[0, 1, 0, 1])),
                ("split", words(words_of)),
            ];
            parquet(files, "t.parquet", &batch(columns, None));
        }
    };
    let rows = [("t/000000", "train cat"), ("t/000002", "test cat"), ("t/000003", "train dog")];
    check_all(&[Input {
        name: "validation beside test is left out",
        put: &put(&["train", "validation", "test", "train"]),
        classes: LIST,
        set: "",
        want: Taken(&["cat", "dog"], &rows, &["rows that say `validation` are left out"]),
    }]);
    let want: &[(&str, &[&str])] = &[("t", &["- cat", "- dog", "- cat", "- dog"])];
    check(
        "words that are no parts",
        &put(&["a", "b", "a", "b"]),
        LIST,
        "",
        (&["cat", "dog"], want, &["`split`", "passed over"]),
    );
    let drawn = put(&["train", "test", "test", "train"]);
    check(
        "the user has them drawn",
        &drawn,
        LIST,
        "download.train=t.parquet",
        (&["cat", "dog"], want, &["passed over"]),
    );
}

#[test]
fn a_list_that_numbers_its_classes_is_obeyed() {
    let put = || labelled(numbers(&[1, 2, 1]));
    let want: &[(&str, &[&str])] = &[("t", &["- cat", "- dog", "- cat"])];
    check("from 1", &put(), Some("1,cat\n2,dog\n3,bird\n"), "", (&["cat", "dog", "bird"], want, &[]));
    refused("from 0, beyond the last", &put(), Some("0,cat\n1,dog\n"), "", &["label 2"]);
    check(
        "labels with the numbers",
        &labelled(words(&["1 cat", "2 dog", "1 cat"])),
        Some("1 cat\n2 dog\n"),
        "",
        (&["1 cat", "2 dog"], &[("t", &["- 1 cat", "- 2 dog", "- 1 cat"])], &["as they are written"]),
    );
    let gap = labelled(words(&["cat", "none", "dog"]));
    check(
        "a word for nothing",
        &gap,
        LIST,
        "",
        (&["cat", "dog"], &[("t", &["- cat", "- ?", "- dog"])], &["`none`"]),
    );
    check(
        "a class of that name",
        &gap,
        Some("cat\ndog\nnone\n"),
        "",
        (&["cat", "dog", "none"], &[("t", &["- cat", "- none", "- dog"])], &[]),
    );
}
