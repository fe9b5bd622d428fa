//! Folders beside those that are meant: masks, copies, parts in classes, and what settings make of them.

#![allow(clippy::unwrap_used)]

use super::tests::tree;
use super::*;

#[test]
fn the_folder_above_parts_that_are_named_by_paths_is_the_class() {
    let files = ["cat/test/a.png", "cat/train/a.png", "dog/other/a.png", "dog/test/a.png", "dog/train/a.png"];
    let read = [
        "train cat in cat/train: a.png",
        "train dog in dog/train: a.png",
        "test cat in cat/test: a.png",
        "test dog in dog/test: a.png",
    ];
    for (train, test) in
        [("cat/train,dog/train", "cat/test,dog/test"), ("cat/train,dog/train", ""), ("train", "test")]
    {
        let named = tree(&files).parts(train, test);
        assert_eq!(named.read(), read, "{train} {test}");
        named.says(&["`dog/other`", "left out"]);
        assert_eq!(tree(&files).parts(train, test).listing(&["cat", "dog"]).read(), read);
    }
    let all = tree(&files).parts(".", "test");
    assert_eq!(all.read()[1], "train dog in dog: other/a.png train/a.png");
    // What is said if nothing is set, with what is there.
    let unclear = tree(&files);
    unclear.refused(&[
        "`dog/other`",
        "download.train=train download.test=test",
        "download.train=. download.test=test",
    ]);
    unclear.refused(&["download.train=cat/train,dog/train download.test=cat/test,dog/test"]);
    // Extra images are no fault.
    let extra =
        tree(&["cat/test/a.png", "cat/train/a.png", "dog/extra/a.png", "dog/test/a.png", "dog/train/a.png"]);
    assert_eq!(extra.read(), read);
    extra.says(&["`extra`", "left out"]);
    // Where they are not the classes.
    let sites = tree(&["a/train/cat/1.png", "a/train/dog/1.png", "b/train/cat/1.png"]);
    assert_eq!(sites.parts("a/train,b/train", "").classes(), ["cat", "dog"]);
    let doubled = ["seg_pred/seg_pred/1.png", "seg_test/seg_test/1.png", "seg_train/seg_train/1.png"];
    let doubled = tree(&doubled).parts("seg_train/seg_train,seg_pred/seg_pred", "seg_test/seg_test");
    assert_eq!(doubled.laid_out().unwrap().classes, None);
    tree(&["a/cat/1.png", "a/dog/1.png", "b/cat/1.png"])
        .listing(&["cat", "dog"])
        .parts("a/cat,a/dog", "b/cat")
        .refused(&["`a/cat`", "no label", "download.labels=none"]);
}

#[test]
fn masks_beside_images_are_left_out_with_a_note() {
    for (files, classes, read) in [
        (
            &["images/cat/a.png", "images/dog/a.png", "masks/cat/a.png", "masks/dog/a.png"][..],
            &["cat", "dog"][..],
            &["- cat in images/cat: a.png", "- dog in images/dog: a.png"][..],
        ),
        (&["images/a.png", "masks/a.png"], &["cat", "dog"], &["- - in images: a.png"]),
        (
            &["train/images/a.png", "train/masks/a.png", "val/images/a.png", "val/masks/a.png"],
            &["cat", "dog"],
            &["train - in train/images: a.png", "test - in val/images: a.png"],
        ),
        (
            &["cat/a.png", "dog/a.png", "masks/a.png"],
            &["cat", "dog"],
            &["- cat in cat: a.png", "- dog in dog: a.png"],
        ),
        (&["train/a.png", "train_masks/a.png"], &["cat", "dog"], &["- - in train: a.png"]),
        (&["a.png", "SegmentationClass/a.png"], &["cat", "dog"], &["- - in : a.png"]),
    ] {
        let left = tree(files).listing(classes);
        assert_eq!(left.read(), read, "{files:?}");
        left.says(&["left out", "masks or annotations", "CLASSES=classes.txt", "download.train=…"]);
    }
    let covid = ["COVID/images/a.png", "COVID/masks/a.png", "Normal/images/a.png", "Normal/masks/a.png"];
    let read = ["- COVID in COVID/images: a.png", "- Normal in Normal/images: a.png"];
    for train in ["COVID/images,Normal/images", "images"] {
        assert_eq!(tree(&covid).parts(train, "").read(), read);
    }
    assert_eq!(tree(&covid).classes(), ["COVID", "Normal"]);
    let top = tree(&covid).labels(LabelsFrom::TopFolder);
    assert_eq!(top.read()[0], "- COVID in COVID: images/a.png");
    top.says(&["`COVID/masks`, `Normal/masks`"]);
    // The user decides otherwise.
    let both = ["images/a.png", "masks/a.png"];
    assert_eq!(tree(&both).listing(&["images", "masks"]).read().len(), 2);
    assert_eq!(tree(&both).labels(LabelsFrom::TopFolder).classes(), ["images", "masks"]);
    let named = tree(&both).listing(&["cat", "dog"]).parts("images,masks", "");
    assert_eq!(named.read(), ["- - in images: a.png", "- - in masks: a.png"]);
    // Beside classes alone it may be one.
    let beside = ["cat/a.png", "dog/a.png", "masks/a.png"];
    tree(&beside).refused(&["`masks`", "`cat`, `dog`", "top-folder", "CLASSES=classes.txt"]);
    assert_eq!(tree(&beside).labels(LabelsFrom::TopFolder).classes(), ["cat", "dog", "masks"]);
    assert_eq!(tree(&["mask/a.png", "without_mask/a.png"]).classes(), ["mask", "without_mask"]);
    assert_eq!(tree(&["seg_test/a.png", "seg_train/a.png"]).read().len(), 2);
}

#[test]
fn files_that_are_called_as_masks_of_others_stay_and_are_said() {
    let files =
        ["a/b (1).png", "a/b (1)_mask.png", "a/b (1)_mask_1.png", "c/d-seg.png", "c/d.jpg", "c/x_mask.png"];
    let busi = tree(&files);
    assert_eq!(busi.laid_out().unwrap().parts.iter().map(|part| part.files.len()).sum::<usize>(), 6);
    busi.says(&["3 images are called as masks", "`a/b (1)_mask.png`", "move such files elsewhere"]);
    assert!(!tree(&["a/mask.png", "a/x_mask.png", "b/x.png"]).notes().contains("mask"));
}

#[test]
fn a_part_beside_a_folder_that_is_none_is_refused_if_it_holds_folders() {
    let files = ["more/a.png", "my_train/cat/a.png", "my_train/dog/a.png"];
    tree(&files).refused(&["`more`", "`my_train`", "download.train="]);
    assert_eq!(tree(&files).parts("my_train", "").classes(), ["cat", "dog"]);
    assert_eq!(tree(&files).parts(".", "").classes(), ["more", "my_train"]);
    assert_eq!(tree(&["bus/a.png", "train_station/a.png", "train_station/old/b.png"]).classes().len(), 2);
}

#[test]
fn parts_in_folders_that_hold_images_themselves_are_said_and_can_be_named() {
    let files = ["cat/a.png", "cat/test/b.png", "dog/a.png", "dog/test/b.png"];
    tree(&files).says(&["`test` there is not taken for the images for testing", "download.test=test"]);
    tree(&files).listing(&["cat", "dog"]).says(&["download.test=test"]);
    let read = [
        "train cat in cat: a.png",
        "train dog in dog: a.png",
        "test cat in cat/test: b.png",
        "test dog in dog/test: b.png",
    ];
    let named = tree(&files).parts("", "test");
    assert_eq!(named.read(), read);
    named.says(&["the folder of a class itself train", "`cat`, `dog`"]);
    for train in [".", ""] {
        let paths = tree(&files).parts(train, "cat/test,dog/test");
        assert_eq!(paths.read(), read, "{train}");
    }
    assert_eq!(tree(&files).parts(".", "test").read(), read);
    let one = tree(&files).parts("", "cat/test");
    assert_eq!(one.read(), read[..3]);
    one.says(&["`dog/test`", "left out"]);
    assert_eq!(tree(&files).parts(".", "cat/test").read()[1], "train dog in dog: a.png test/b.png");
}

#[test]
fn folders_that_are_no_labels_are_said_with_what_makes_them_labels() {
    let named = tree(&["a/1.png", "b/1.png"]).listing(&["cat", "dog"]);
    named.says(&["call the folders as CLASSES does", "`a: cat`", "download.labels=none"]);
    let from_one = tree(&["1/1.png", "2/1.png"]).listing(&["cat", "dog"]);
    assert_eq!(from_one.read(), ["- - in : 1/1.png 2/1.png"]);
    from_one.says(&["`1: cat`, `2: dog`"]);
    tree(&["0/1.png", "7/1.png"]).listing(&["cat", "dog"]).says(&["`0: cat`", "call the folders"]);
    let inner = ["test/test/a.png", "train/A/a.png", "train/B/a.png"];
    tree(&inner).says(&["`test/test` is taken for no class", "CLASSES=classes.txt that lists `test`"]);
    assert_eq!(tree(&inner).listing(&["A", "B", "test"]).read()[2], "test test in test/test: a.png");
}

#[test]
fn a_name_may_say_a_class_and_what_its_images_are_for() {
    let files = ["Cats_test/a.png", "Cats_train/a.png", "dogs_test/a.png", "dogs_train/a.png"];
    let both = tree(&files);
    assert_eq!(
        both.read(),
        [
            "train Cats in Cats_train: a.png",
            "train dogs in dogs_train: a.png",
            "test Cats in Cats_test: a.png",
            "test dogs in dogs_test: a.png"
        ]
    );
    both.says(&["`Cats`, `dogs`", "`Cats_train`, `dogs_train` train and", "download.train=."]);
    assert_eq!(tree(&files).listing(&["cats", "dogs"]).read()[1], "train dogs in dogs_train: a.png");
    tree(&files).listing(&["emu", "gnu"]).says(&["no labels"]);
    assert_eq!(tree(&files).labels(LabelsFrom::None).read().len(), 4);
    assert_eq!(tree(&files).parts(".", "").classes().len(), 4);
    let front = tree(&["test_cat/a.png", "train_cat/a.png", "train_dog/a.png"]);
    assert_eq!(front.classes(), ["cat", "dog"]);
    // What is not so throughout stays unclear.
    tree(&["birds/a.png", "cats_test/a.png", "cats_train/a.png"]).refused(&["`birds`"]);
    tree(&["cats_test/a.png", "cats_train/a.png", "dogs_test/a.png"]).refused(&["download.train="]);
}

#[test]
fn further_words_name_parts() {
    let files = ["test/cat/a.png", "test/dog/a.png", "trainval/cat/a.png", "trainval/dog/a.png"];
    assert_eq!(tree(&files).read()[0], "train cat in trainval/cat: a.png");
    for name in ["unsupervised", "extra", "unlabelled_data", "extra_images"] {
        let more = format!("{name}/1.png");
        let files = ["test/cat/a.png", "test/dog/a.png", "train/cat/a.png", "train/dog/a.png", &more];
        let parts = tree(&files);
        assert_eq!(parts.read().len(), 4, "{name}");
        parts.says(&["1 image in", &format!("`{name}`"), "left out"]);
    }
    tree(&["train/a.png", "trainval/a.png", "test/a.png"]).refused(&["`trainval`", "download.train="]);
    tree(&["trainval/a.png", "val/a.png"]).refused(&["`trainval`", "`val`"]);
    assert_eq!(tree(&["extra_large/a.png", "small/a.png"]).classes(), ["extra_large", "small"]);
}

#[test]
fn what_is_at_fault_is_named_and_what_nobody_sees_is_shown() {
    tree(&["bird/a.png", "cat/test/a.png", "cat/train/a.png"]).refused(&["`bird`", "download.train=train"]);
    tree(&["cat/a.png", "cat\u{200b}/a.png"]).refused(&["`cat`", "`cat\\u{200b}`", "look the same"]);
    let listed = tree(&["cat/a.png", "cat\u{200b}/a.png", "dog/a.png"]).listing(&["cat", "dog"]);
    listed.says(&["`cat`, `cat\\u{200b}` are one class"]);
    let parts = ["test/cat\u{200b}/a.png", "test/dog/a.png", "train/cat/a.png", "train/dog/a.png"];
    tree(&parts).says(&["`cat\\u{200b}`"]);
    tree(&["cat/a.png", "do\u{2060}g/a.png"]).listing(&["cat", "dog"]).refused(&["`do\\u{2060}g`"]);
}

#[test]
fn copies_are_classes_and_are_said() {
    for copy in
        ["cat - Copy", "cat (1)", "cat copy", "cat - Kopie", "cat - Copy (2)", "cat copy 3", "cat_copy"]
    {
        let path = format!("{copy}/a.png");
        let files = ["cat/a.png", &path, "dog/a.png"];
        let copies = tree(&files);
        assert_eq!(copies.classes().len(), 3, "{copy}");
        copies.says(&[&format!("`{copy}` of `cat`"), "looks like a copy", "CLASSES=classes.txt"]);
    }
    for other in ["copy", "cat 2", "copycat", "ca (1)", "(1)"] {
        let path = format!("{other}/a.png");
        assert!(!tree(&["cat/a.png", &path]).notes().contains("copy of"), "{other}");
    }
}
