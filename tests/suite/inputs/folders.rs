//! Folders of image files.

use super::{Files, Input, Refused, Taken, check_all};

/// The same file in these folders.
fn in_folders(folders: &[&str]) -> impl Fn(&Files) {
    let names: Vec<String> =
        folders.iter().flat_map(|folder| [1, 2].map(|n| format!("{folder}/{n}.png"))).collect();
    move |files| files.pictures(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn as_many_classes_as_folders_however_alike_their_names_are() {
    check_all(&[
        Input {
            name: "upper and lower case",
            put: &in_folders(&["A", "a"]),
            want: Taken(
                &["A", "a"],
                &[("A/1.png", "- A"), ("A/2.png", "- A"), ("a/1.png", "- a"), ("a/2.png", "- a")],
                &["`A`", "`a`", "CLASSES"],
            ),
            ..Input::default()
        },
        Input {
            name: "hyphens between digits",
            put: &in_folders(&["10-1", "101"]),
            want: Taken(
                &["10-1", "101"],
                &[
                    ("10-1/1.png", "- 10-1"),
                    ("10-1/2.png", "- 10-1"),
                    ("101/1.png", "- 101"),
                    ("101/2.png", "- 101"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "a list with one of the two",
            put: &in_folders(&["Cat", "cat", "dog"]),
            classes: Some("cat\ndog\n"),
            want: Taken(
                &["cat", "dog"],
                &[
                    ("Cat/1.png", "- cat"),
                    ("Cat/2.png", "- cat"),
                    ("cat/1.png", "- cat"),
                    ("cat/2.png", "- cat"),
                    ("dog/1.png", "- dog"),
                    ("dog/2.png", "- dog"),
                ],
                &["`Cat`"],
            ),
            ..Input::default()
        },
        Input {
            name: "another case in the test images",
            put: &in_folders(&["train/Cat", "train/dog", "test/cat", "test/dog"]),
            want: Taken(
                &["Cat", "dog"],
                &[
                    ("train/Cat/1.png", "train Cat"),
                    ("train/Cat/2.png", "train Cat"),
                    ("train/dog/1.png", "train dog"),
                    ("train/dog/2.png", "train dog"),
                    ("test/cat/1.png", "test Cat"),
                    ("test/cat/2.png", "test Cat"),
                    ("test/dog/1.png", "test dog"),
                    ("test/dog/2.png", "test dog"),
                ],
                &["`Cat`", "`cat`"],
            ),
            ..Input::default()
        },
        Input {
            name: "composed otherwise in the list",
            put: &in_folders(&["e\u{301}te\u{301}", "hiver"]),
            classes: Some("\u{e9}t\u{e9}\nhiver\n"),
            want: Taken(
                &["\u{e9}t\u{e9}", "hiver"],
                &[
                    ("e\u{301}te\u{301}/1.png", "- \u{e9}t\u{e9}"),
                    ("e\u{301}te\u{301}/2.png", "- \u{e9}t\u{e9}"),
                    ("hiver/1.png", "- hiver"),
                    ("hiver/2.png", "- hiver"),
                ],
                &[],
            ),
            ..Input::default()
        },
    ]);
}

#[test]
fn parts_are_recognised_inside_names_and_doubled_wrappers_are_looked_through() {
    let intel = in_folders(&[
        "seg_train/seg_train/forest",
        "seg_train/seg_train/sea",
        "seg_test/seg_test/forest",
        "seg_test/seg_test/sea",
        "seg_pred/seg_pred",
    ]);
    check_all(&[
        Input {
            name: "Kaggle's doubled folders",
            put: &intel,
            want: Taken(
                &["forest", "sea"],
                &[
                    ("seg_train/seg_train/forest/1.png", "train forest"),
                    ("seg_train/seg_train/forest/2.png", "train forest"),
                    ("seg_train/seg_train/sea/1.png", "train sea"),
                    ("seg_train/seg_train/sea/2.png", "train sea"),
                    ("seg_test/seg_test/forest/1.png", "test forest"),
                    ("seg_test/seg_test/forest/2.png", "test forest"),
                    ("seg_test/seg_test/sea/1.png", "test sea"),
                    ("seg_test/seg_test/sea/2.png", "test sea"),
                ],
                &["seg_pred", "download.train"],
            ),
            ..Input::default()
        },
        Input {
            name: "training_set",
            put: &in_folders(&[
                "training_set/training_set/cats",
                "training_set/training_set/dogs",
                "test_set/test_set/cats",
                "test_set/test_set/dogs",
            ]),
            want: Taken(
                &["cats", "dogs"],
                &[
                    ("training_set/training_set/cats/1.png", "train cats"),
                    ("training_set/training_set/cats/2.png", "train cats"),
                    ("training_set/training_set/dogs/1.png", "train dogs"),
                    ("training_set/training_set/dogs/2.png", "train dogs"),
                    ("test_set/test_set/cats/1.png", "test cats"),
                    ("test_set/test_set/cats/2.png", "test cats"),
                    ("test_set/test_set/dogs/1.png", "test dogs"),
                    ("test_set/test_set/dogs/2.png", "test dogs"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "classes that are called like parts",
            put: &in_folders(&["train_station", "test_tube", "bus_stop"]),
            want: Taken(
                &["bus_stop", "test_tube", "train_station"],
                &[
                    ("bus_stop/1.png", "- bus_stop"),
                    ("bus_stop/2.png", "- bus_stop"),
                    ("test_tube/1.png", "- test_tube"),
                    ("test_tube/2.png", "- test_tube"),
                    ("train_station/1.png", "- train_station"),
                    ("train_station/2.png", "- train_station"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "test images without training images",
            put: &in_folders(&["test/cat", "val/cat", "val/dog"]),
            want: Refused(&["train"]),
            ..Input::default()
        },
        Input {
            name: "the user names the parts",
            put: &in_folders(&["a/cat", "a/dog", "b/cat", "b/dog", "c/cat"]),
            set: "download.train=a download.test=b",
            want: Taken(
                &["cat", "dog"],
                &[
                    ("a/cat/1.png", "train cat"),
                    ("a/cat/2.png", "train cat"),
                    ("a/dog/1.png", "train dog"),
                    ("a/dog/2.png", "train dog"),
                    ("b/cat/1.png", "test cat"),
                    ("b/cat/2.png", "test cat"),
                    ("b/dog/1.png", "test dog"),
                    ("b/dog/2.png", "test dog"),
                ],
                &["`c`"],
            ),
            ..Input::default()
        },
    ]);
}

#[test]
fn a_list_of_classes_decides_what_folders_are() {
    check_all(&[
        Input {
            name: "unlabeled images in numbered folders",
            put: &in_folders(&["00000", "00001"]),
            classes: Some("cat\ndog\n"),
            want: Taken(
                &["cat", "dog"],
                &[
                    ("00000/1.png", "- ?"),
                    ("00000/2.png", "- ?"),
                    ("00001/1.png", "- ?"),
                    ("00001/2.png", "- ?"),
                ],
                &["`00000`", "download.labels"],
            ),
            ..Input::default()
        },
        Input {
            name: "the same, where the user expects labels",
            put: &in_folders(&["00000", "00001"]),
            classes: Some("cat\ndog\n"),
            set: "download.labels=top-folder",
            want: Refused(&["`00000`", "`cat`"]),
        },
        Input {
            name: "some folders are classes",
            put: &in_folders(&["cat", "hound"]),
            classes: Some("cat\ndog\n"),
            want: Refused(&["`hound`", "`dog`", "download.labels"]),
            ..Input::default()
        },
        Input {
            name: "a class called train",
            put: &in_folders(&["bus", "car", "train"]),
            classes: Some("bus\ncar\ntrain\n"),
            want: Taken(
                &["bus", "car", "train"],
                &[
                    ("bus/1.png", "- bus"),
                    ("bus/2.png", "- bus"),
                    ("car/1.png", "- car"),
                    ("car/2.png", "- car"),
                    ("train/1.png", "- train"),
                    ("train/2.png", "- train"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "the same without a list",
            put: &in_folders(&["bus", "car", "train"]),
            want: Refused(&["`bus`", "`train`", "CLASSES"]),
            ..Input::default()
        },
        Input {
            name: "classes within kinds, by the list",
            put: &in_folders(&["animals/cat", "animals/dog", "vehicles/car"]),
            classes: Some("cat\ndog\ncar\n"),
            want: Taken(
                &["cat", "dog", "car"],
                &[
                    ("animals/cat/1.png", "- cat"),
                    ("animals/cat/2.png", "- cat"),
                    ("animals/dog/1.png", "- dog"),
                    ("animals/dog/2.png", "- dog"),
                    ("vehicles/car/1.png", "- car"),
                    ("vehicles/car/2.png", "- car"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "the same without a list",
            put: &in_folders(&["animals/cat", "animals/dog", "vehicles/car"]),
            want: Refused(&["top-folder", "parent-folder"]),
            ..Input::default()
        },
        Input {
            name: "no labels wanted",
            put: &in_folders(&["cat", "dog"]),
            classes: Some("cat\ndog\n"),
            set: "download.labels=none",
            want: Taken(
                &["cat", "dog"],
                &[("cat/1.png", "- ?"), ("cat/2.png", "- ?"), ("dog/1.png", "- ?"), ("dog/2.png", "- ?")],
                &[],
            ),
        },
    ]);
}

#[test]
fn folders_of_systems_are_passed_over() {
    let put = |files: &Files| {
        in_folders(&["cat", "dog"])(files);
        files.folder("lost+found");
        files.folder("System Volume Information");
        files.pictures(&["__MACOSX/cat/1.png", "@eaDir/1.png"]);
    };
    check_all(&[Input {
        name: "a disk's own folders",
        put: &put,
        want: Taken(
            &["cat", "dog"],
            &[("cat/1.png", "- cat"), ("cat/2.png", "- cat"), ("dog/1.png", "- dog"), ("dog/2.png", "- dog")],
            &["lost+found"],
        ),
        ..Input::default()
    }]);
}

#[test]
fn a_list_of_classes_may_name_what_systems_call_their_folders() {
    let put = |files: &Files| {
        in_folders(&["cat", "dog", "lost+found"])(files);
        files.pictures(&["hot/__MACOSX/1.png"]);
    };
    check_all(&[Input {
        name: "lost+found is a class, and hot holds nothing but a system's folder",
        put: &put,
        classes: Some("cat\ndog\nlost+found\n"),
        want: Taken(
            &["cat", "dog", "lost+found"],
            &[
                ("cat/1.png", "- cat"),
                ("cat/2.png", "- cat"),
                ("dog/1.png", "- dog"),
                ("dog/2.png", "- dog"),
                ("lost+found/1.png", "- lost+found"),
                ("lost+found/2.png", "- lost+found"),
            ],
            &["`hot/__MACOSX`", "`hot` holds no image besides"],
        ),
        ..Input::default()
    }]);
}

#[test]
fn a_minus_before_a_digit_is_no_hyphen() {
    check_all(&[Input {
        name: "classes -1, 0 and 1",
        put: &in_folders(&["train/-1", "train/0", "test/0", "test/1"]),
        want: Taken(
            &["-1", "0", "1"],
            &[
                ("train/-1/1.png", "train -1"),
                ("train/-1/2.png", "train -1"),
                ("train/0/1.png", "train 0"),
                ("train/0/2.png", "train 0"),
                ("test/0/1.png", "test 0"),
                ("test/0/2.png", "test 0"),
                ("test/1/1.png", "test 1"),
                ("test/1/2.png", "test 1"),
            ],
            &["`1`"],
        ),
        ..Input::default()
    }]);
}

#[test]
fn parts_in_the_folders_of_classes_and_masks_beside_images() {
    check_all(&[
        Input {
            name: "a folder beside those for training and testing",
            put: &in_folders(&["cat/train", "cat/test", "dog/train", "dog/test", "dog/other"]),
            want: Refused(&["`dog/other`", "download.train=train download.test=test"]),
            ..Input::default()
        },
        Input {
            name: "the same, where settings name the parts by their paths",
            put: &in_folders(&["cat/train", "cat/test", "dog/train", "dog/test", "dog/other"]),
            set: "download.train=cat/train,dog/train download.test=cat/test,dog/test",
            want: Taken(
                &["cat", "dog"],
                &[
                    ("cat/train/1.png", "train cat"),
                    ("cat/train/2.png", "train cat"),
                    ("cat/test/1.png", "test cat"),
                    ("cat/test/2.png", "test cat"),
                    ("dog/train/1.png", "train dog"),
                    ("dog/train/2.png", "train dog"),
                    ("dog/test/1.png", "test dog"),
                    ("dog/test/2.png", "test dog"),
                ],
                &["`dog/other`"],
            ),
            ..Input::default()
        },
        Input {
            name: "masks beside images",
            put: &in_folders(&["images/cat", "images/dog", "masks/cat", "masks/dog"]),
            classes: Some("cat\ndog\n"),
            want: Taken(
                &["cat", "dog"],
                &[
                    ("cat/1.png", "- cat"),
                    ("cat/2.png", "- cat"),
                    ("dog/1.png", "- dog"),
                    ("dog/2.png", "- dog"),
                ],
                &["4 images in `masks` are left out", "download.train"],
            ),
            ..Input::default()
        },
        Input {
            name: "classes and parts in one name",
            put: &in_folders(&["cats_train", "cats_test", "dogs_train", "dogs_test"]),
            want: Taken(
                &["cats", "dogs"],
                &[
                    ("cats_train/1.png", "train cats"),
                    ("cats_train/2.png", "train cats"),
                    ("cats_test/1.png", "test cats"),
                    ("cats_test/2.png", "test cats"),
                    ("dogs_train/1.png", "train dogs"),
                    ("dogs_train/2.png", "train dogs"),
                    ("dogs_test/1.png", "test dogs"),
                    ("dogs_test/2.png", "test dogs"),
                ],
                &["`cats`, `dogs`", "download.labels=none"],
            ),
            ..Input::default()
        },
    ]);
}

#[test]
fn numbers_before_names_belong_to_them_where_folders_are_called_so() {
    check_all(&[
        Input {
            name: "folders with the numbers",
            put: &in_folders(&["1 cat", "2 dog"]),
            classes: Some("1 cat\n2 dog\n"),
            want: Taken(
                &["1 cat", "2 dog"],
                &[
                    ("1 cat/1.png", "- 1 cat"),
                    ("1 cat/2.png", "- 1 cat"),
                    ("2 dog/1.png", "- 2 dog"),
                    ("2 dog/2.png", "- 2 dog"),
                ],
                &["as they are written"],
            ),
            ..Input::default()
        },
        Input {
            name: "folders without them, in another order",
            put: &in_folders(&["cat", "dog"]),
            classes: Some("1. dog\n0. cat\n"),
            want: Taken(
                &["cat", "dog"],
                &[
                    ("cat/1.png", "- cat"),
                    ("cat/2.png", "- cat"),
                    ("dog/1.png", "- dog"),
                    ("dog/2.png", "- dog"),
                ],
                &["the numbers before the names are left out"],
            ),
            ..Input::default()
        },
        Input {
            name: "quantities",
            put: &in_folders(&["1 star", "2 stars", "3 stars"]),
            classes: Some("1 star\n2 stars\n3 stars\n"),
            want: Taken(
                &["1 star", "2 stars", "3 stars"],
                &[
                    ("1 star/1.png", "- 1 star"),
                    ("1 star/2.png", "- 1 star"),
                    ("2 stars/1.png", "- 2 stars"),
                    ("2 stars/2.png", "- 2 stars"),
                    ("3 stars/1.png", "- 3 stars"),
                    ("3 stars/2.png", "- 3 stars"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "the same classes twice",
            put: &in_folders(&["yes", "no", "set/yes", "set/no"]),
            want: Refused(&["`set`", "`no`, `yes`", "download.labels=parent-folder"]),
            ..Input::default()
        },
    ]);
}
