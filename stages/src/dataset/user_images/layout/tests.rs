//! Folder trees as people have them, each with what must come out.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

/// A question with nothing set.
pub(super) struct Tree<'a> {
    files: &'a [&'a str],
    folders: &'a [&'a str],
    classes: Option<&'a [&'a str]>,
    labels: LabelsFrom,
    train: &'a str,
    test: &'a str,
}

pub(super) fn tree<'a>(files: &'a [&'a str]) -> Tree<'a> {
    Tree { files, folders: &[], classes: None, labels: LabelsFrom::Auto, train: "", test: "" }
}

impl<'a> Tree<'a> {
    pub(super) fn listing(self, classes: &'a [&'a str]) -> Self {
        Self { classes: Some(classes), ..self }
    }

    pub(super) fn folders(self, folders: &'a [&'a str]) -> Self {
        Self { folders, ..self }
    }

    pub(super) fn labels(self, labels: LabelsFrom) -> Self {
        Self { labels, ..self }
    }

    pub(super) fn parts(self, train: &'a str, test: &'a str) -> Self {
        Self { train, test, ..self }
    }

    pub(super) fn laid_out(&self) -> Result<Layout> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (folders, classes) = (owned(self.folders), self.classes.map(owned));
        lay_out(&Question {
            images: self.files,
            folders: &folders,
            classes: classes.as_deref(),
            labels: self.labels,
            train: self.train,
            test: self.test,
        })
    }

    /// `split class in folder: files` of each part.
    pub(super) fn read(&self) -> Vec<String> {
        let layout = self.laid_out().unwrap();
        let class = |index: usize| match (&layout.classes, self.classes) {
            (Some(found), None) => found[index].clone(),
            (None, Some(list)) => list[index].to_owned(),
            other => panic!("{other:?}"),
        };
        let part = |part: &Part| {
            let split = part.split.map_or("-", Split::name);
            let class = part.class.map_or("-".to_owned(), class);
            format!("{split} {class} in {}: {}", part.folder, part.files.join(" "))
        };
        layout.parts.iter().map(part).collect()
    }

    pub(super) fn classes(&self) -> Vec<String> {
        self.laid_out().unwrap().classes.unwrap()
    }

    pub(super) fn notes(&self) -> String {
        self.laid_out().unwrap().notes.join("\n")
    }

    pub(super) fn error(&self) -> String {
        self.laid_out().unwrap_err().to_string()
    }

    /// That it is refused in these words, and says what to do.
    pub(super) fn refused(&self, words: &[&str]) {
        let error = self.error();
        for word in words.iter().chain(&["help:"]) {
            assert!(error.contains(word), "{word} is not in: {error}");
        }
    }

    /// That it is taken, and that the notes have these words.
    pub(super) fn says(&self, words: &[&str]) {
        let notes = self.notes();
        for word in words {
            assert!(notes.contains(word), "{word} is not in: {notes}");
        }
    }
}

#[test]
fn loose_files_have_no_class_and_files_in_folders_that_of_the_folder() {
    let loose = tree(&["a.png", "b.png"]);
    assert_eq!(loose.read(), ["- - in : a.png b.png"]);
    assert_eq!(loose.laid_out().unwrap().classes, None);
    let mixed = tree(&["cat/a.png", "cat/old/b.png", "dog/a.png"]);
    assert_eq!(mixed.read(), ["- cat in cat: a.png old/b.png", "- dog in dog: a.png"]);
    mixed.says(&["`cat/old`", "download.labels=parent-folder"]);
}

#[test]
fn folders_of_splits_hold_folders_of_classes_or_loose_files() {
    let some = tree(&["Train/a.png", "Train/b.png", "test/cat/a.png", "test/dog/a.png"]);
    assert_eq!(
        some.read(),
        ["train - in Train: a.png b.png", "test cat in test/cat: a.png", "test dog in test/dog: a.png"]
    );
    some.says(&["`Train` trains and `test` tests", "download.train=… and download.test=…"]);
    assert_eq!(
        tree(&["train/a.png", "val/b.png"]).read(),
        ["train - in train: a.png", "test - in val: b.png"]
    );
    let train = tree(&["train/cat/a.png", "train/dog/a.png"]);
    assert_eq!(train.read(), ["- cat in train/cat: a.png", "- dog in train/dog: a.png"]);
    train.says(&["no folder tests", "20 % of these images", "download.test=…"]);
}

#[test]
fn validation_images_beside_test_images_are_left_out_with_a_note() {
    let three = tree(&["test/a.png", "train/a.png", "valid/a.png", "valid/b.png"]);
    assert_eq!(three.read(), ["train - in train: a.png", "test - in test: a.png"]);
    three.says(&["2 images in `valid` are left out: there are test images besides", "=train,valid"]);
}

#[test]
fn a_folder_around_everything_is_passed_through() {
    for (files, wrapping, parts) in [
        (&["set/v1/cat/a.png", "set/v1/dog/a.png"][..], "set/v1/", 2),
        (&["set/train/a.png", "set/test/a.png"], "set/", 2),
        (&["train/cat/a.png", "train/dog/a.png"], "", 2),
        (&["test/train/a.png", "test/test/a.png"], "test/", 2),
        (&["train/train/cat/a.png", "train/val/cat/a.png"], "train/", 2),
        (&["unlabeled/a.png"], "unlabeled/", 1),
        (&["photos/images/a.png"], "photos/images/", 1),
    ] {
        let layout = tree(files).laid_out().unwrap();
        assert_eq!((layout.wrapping.as_str(), layout.parts.len()), (wrapping, parts), "{files:?}");
    }
}

#[test]
fn an_image_without_a_class_or_a_split_among_others_is_refused_by_name() {
    for (files, words) in [
        (&["cat/a.png", "b.png"][..], "`b.png` is in no class's folder, beside the folders `cat`"),
        (&["train/cat/a.png", "train/b.png"], "`train/b.png` is in no"),
        (&["train/a.png", "test/a.png", "b.png"], "`b.png` is beside"),
        (&["train/a.png", "test/a.png", "more/a.png"], "`more`"),
        (&["photos/a.png", "photos/cat/a.png", "photos/dog/a.png"], "`photos/a.png` is in no"),
    ] {
        tree(files).refused(&[words]);
    }
}

#[test]
fn parts_are_found_inside_names_and_through_wrappers() {
    let intel = tree(&[
        "seg_pred/seg_pred/1.jpg",
        "seg_test/seg_test/forest/1.jpg",
        "seg_test/seg_test/sea/1.jpg",
        "seg_train/seg_train/forest/1.jpg",
        "seg_train/seg_train/sea/1.jpg",
    ]);
    assert_eq!(
        intel.read(),
        [
            "train forest in seg_train/seg_train/forest: 1.jpg",
            "train sea in seg_train/seg_train/sea: 1.jpg",
            "test forest in seg_test/seg_test/forest: 1.jpg",
            "test sea in seg_test/seg_test/sea: 1.jpg",
        ]
    );
    intel.says(&[
        "`seg_train` trains and `seg_test` tests",
        "1 image in `seg_pred` is left out",
        "seg_train,seg_pred",
    ]);
    for (train, test) in [
        ("training_set/training_set", "test_set/test_set"),
        ("train_images", "test_images"),
        ("Train/Train", "Validation/Validation"),
        ("trainset", "testset"),
        ("train2017", "val2017"),
        ("cifar10-train", "cifar10-test"),
        ("MyTrain", "MyEval"),
        ("data/x/train", "data/x/holdout"),
        ("train", "test1"),
        ("a/train/train/images", "a/test/test/images"),
        ("dev/train", "dev/tst"),
    ] {
        let files: Vec<String> = [train, test]
            .iter()
            .flat_map(|part| ["cat", "dog"].map(|class| format!("{part}/{class}/1.png")))
            .collect();
        let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
        files.sort_unstable();
        let expected: Vec<String> = [("train", train), ("test", test)]
            .iter()
            .flat_map(|(split, part)| {
                ["cat", "dog"].map(|class| format!("{split} {class} in {part}/{class}: 1.png"))
            })
            .collect();
        assert_eq!(tree(&files).read(), expected, "{train}");
        // A class alone in a part is no wrapper.
        files.retain(|file| !(file.starts_with(test) && file.contains("/cat/")));
        assert_eq!(tree(&files).read(), [&expected[..2], &expected[3..]].concat(), "{train}");
    }
}

#[test]
fn a_part_whose_images_lie_in_a_folder_that_names_no_class_has_no_labels() {
    for (inner, note) in [("images", "the folder `val/images` is taken for no class"), ("val", "`val/val`")] {
        let val = format!("val/{inner}/a.jpg");
        let tiny = ["train/n01/images/a.jpg", "train/n02/images/a.jpg", &val];
        let tiny = tree(&tiny);
        assert_eq!(tiny.classes(), ["n01", "n02"]);
        assert_eq!(tiny.read()[2], format!("test - in val/{inner}: a.jpg"));
        tiny.says(&["`train/n01/images`", note]);
    }
    // A class that alone tests stays one.
    let one = tree(&["train/cat/a.png", "train/dog/a.png", "test/dog/b.png"]);
    assert_eq!(one.read()[2], "test dog in test/dog: b.png");
    // Folders of which none trains mean something else.
    tree(&["train/cat/a.png", "train/dog/a.png", "test/unknown/b.png"])
        .refused(&["`unknown`", "labels=none"]);
    tree(&["train/cat/a.png", "train/dog/a.png", "test/dog/b.png", "test/emu/b.png"])
        .says(&["`emu` has images"]);
}

#[test]
fn words_of_roles_in_names_of_classes_make_no_parts() {
    for files in [
        &["bus/a.png", "train_station/a.png"][..],
        &["test_tube/a.png", "train_station/a.png"],
        &["bus/a.png", "contest/a.png"],
        &["test_strip/a.png", "test_tube/a.png"],
    ] {
        assert_eq!(tree(files).classes().len(), 2, "{files:?}");
    }
    tree(&["test_tube/a.png", "train_station/a.png"]).says(&["are taken for classes", "download.train=…"]);
    // In a part that is found, a class may be called so.
    let cifar = tree(&["test/bus/a.png", "test/train/a.png", "train/bus/a.png", "train/train/a.png"]);
    assert_eq!(cifar.classes(), ["bus", "train"]);
    cifar.says(&["`train/train` is taken for a class"]);
}

#[test]
fn what_may_be_parts_or_classes_is_refused_with_the_settings() {
    for files in [
        &["bus/a.png", "train/a.png"][..],
        &["cat/a.png", "dog/a.png", "unlabeled/a.png"],
        &["cats_test/a.png", "cats_train/a.png", "dogs_test/a.png", "dogs_test2/a.png", "dogs_train/a.png"],
        &["extra/a.png", "seg_test/a.png", "seg_train/a.png"],
        &["test_noisy/cat/a.png", "test_noisy/dog/a.png", "train_clean/cat/a.png", "train_clean/dog/a.png"],
        &["fold1_test/a.png", "fold1_train/a.png", "fold2_test/a.png", "fold2_train/a.png"],
        &["train/train/a.png", "train/val/a.png", "test/a.png"],
        &["test/a.png"],
        &["test/a.png", "val/a.png"],
        &["test/cat/a.png", "unlabeled/a.png"],
        &["cat/test/a.png", "cat/train/a.png", "dog/a.png"],
        &["a/test/cat/1.png", "a/train/cat/1.png", "b/test/cat/1.png", "b/train/cat/1.png"],
    ] {
        tree(files).refused(&["download.train="]);
    }
    tree(&["bus/a.png", "train/a.png"]).refused(&["`bus`", "`train`", "CLASSES=", "download.train=."]);
    tree(&["images/a.png", "others/a.png"]).refused(&["`images`", "`others`"]);
}

#[test]
fn the_list_decides_whether_a_folder_called_train_is_a_class() {
    let files = ["bus/a.png", "car/a.png", "train/a.png"];
    let listed = tree(&files).listing(&["bus", "car", "train"]);
    assert_eq!(listed.read(), ["- bus in bus: a.png", "- car in car: a.png", "- train in train: a.png"]);
    assert_eq!(tree(&files).labels(LabelsFrom::TopFolder).classes(), ["bus", "car", "train"]);
    let outside = tree(&["test/car/a.png", "test/train/a.png", "train/car/a.png", "train/train/a.png"]);
    assert_eq!(outside.listing(&["car", "train"]).read()[0], "train car in train/car: a.png");
    let one = tree(&["train/car/a.png", "train/train/a.png"]).listing(&["car", "train"]);
    assert_eq!(one.read(), ["- car in train/car: a.png", "- train in train/train: a.png"]);
    tree(&["train/a.png"]).listing(&["bus", "train"]).refused(&["`train`", "download.train=."]);
    let both = tree(&["test/a.png", "train/a.png"]).listing(&["test", "train"]);
    assert_eq!(both.read(), ["- test in test: a.png", "- train in train: a.png"]);
    both.says(&["are classes, as CLASSES lists them"]);
    tree(&["car/a.png", "extra/a.png", "train/a.png"]).listing(&["car", "train"]).refused(&["`extra`"]);
}

#[test]
fn classes_may_lie_around_parts() {
    let crossed = tree(&["cat/test/a.png", "cat/train/a.png", "cat/train/b.png", "dog/train/a.png"]);
    assert_eq!(
        crossed.read(),
        [
            "train cat in cat/train: a.png b.png",
            "train dog in dog/train: a.png",
            "test cat in cat/test: a.png"
        ]
    );
    crossed.says(&["`train` trains and `test` tests"]);
    assert_eq!(crossed.listing(&["Cat", "Dog"]).read()[1], "train Dog in dog/train: a.png");
    let named =
        tree(&["cat/test_cat/a.png", "cat/train_cat/a.png", "dog/test_dog/a.png", "dog/train_dog/a.png"]);
    assert_eq!(named.read()[3], "test dog in dog/test_dog: a.png");
    let days =
        tree(&["cat/mon/a.png", "cat/sun/a.png", "dog/mon/a.png", "dog/tue/a.png"]).parts("mon,tue", "sun");
    assert_eq!(days.read()[2], "train dog in dog/tue: a.png");
    let sites =
        tree(&["a/test/1.png", "a/train/1.png", "b/test/1.png", "b/train/1.png"]).listing(&["cat", "dog"]);
    assert_eq!(sites.read()[3], "test - in b/test: 1.png");
    sites.says(&["taken for no labels"]);
    tree(&["images/test/a.png", "images/train/a.png", "others/test/a.png", "others/train/a.png"])
        .refused(&["`others`"]);
}

#[test]
fn two_readings_of_nested_folders_are_decided_by_the_list_or_the_setting() {
    let files = ["animals/cat/a.png", "animals/dog/a.png", "vehicles/car/a.png"];
    let unclear = tree(&files);
    unclear.refused(&[
        "`animals`, `vehicles`",
        "`car`, `cat`, `dog`",
        "download.labels=top-folder",
        "parent-folder",
    ]);
    let inner = tree(&files).listing(&["cat", "dog", "car"]);
    assert_eq!(inner.read()[2], "- car in vehicles/car: a.png");
    inner.says(&["innermost", "`animals`, `vehicles`", "download.labels=top-folder"]);
    let outer = tree(&files).listing(&["animals", "vehicles"]);
    assert_eq!(outer.read()[0], "- animals in animals: cat/a.png dog/a.png");
    outer.says(&["`animals/cat`", "download.labels=parent-folder"]);
    tree(&files)
        .listing(&["animals", "vehicles", "cat", "dog", "car"])
        .refused(&["CLASSES", "parent-folder"]);
    assert_eq!(tree(&files).labels(LabelsFrom::TopFolder).classes(), ["animals", "vehicles"]);
    assert_eq!(tree(&files).labels(LabelsFrom::ParentFolder).classes(), ["car", "cat", "dog"]);
    // `session1` alone would be one class.
    let sessions = tree(&["cat/s1/a.png", "dog/s1/a.png"]);
    assert_eq!(sessions.classes(), ["cat", "dog"]);
    tree(&["cat/s1/a.png", "cat/s2/a.png", "dog/s1/a.png"]).refused(&["`s1`, `s2`"]);
    let doubled = tree(&["cat/cat/a.png", "dog/dog/a.png"]);
    assert_eq!(doubled.classes(), ["cat", "dog"]);
    // Between folders that are none.
    tree(&["x/cat/s1/a.png", "y/dog/s1/a.png"])
        .listing(&["cat", "dog"])
        .refused(&["`cat`, `dog`", "labels=none"]);
    // One part shows what the folder alone in the other one is.
    let mixed = tree(&["test/animals/cat/a.png", "train/animals/cat/a.png", "train/vehicles/car/a.png"]);
    assert_eq!(mixed.labels(LabelsFrom::TopFolder).read()[2], "test animals in test/animals: cat/a.png");
}

#[test]
fn folders_of_which_none_is_in_the_list_are_no_labels() {
    let files = ["00000/a.png", "00001/a.png", "b.png"];
    let unlabeled = tree(&files).listing(&["cat", "dog"]);
    assert_eq!(unlabeled.read(), ["- - in : 00000/a.png 00001/a.png b.png"]);
    unlabeled.says(&["`00000`, `00001`", "no labels", "`00000: cat`, `00001: dog`", "download.labels=none"]);
    tree(&files[..2])
        .listing(&["cat", "dog"])
        .labels(LabelsFrom::TopFolder)
        .refused(&["`00000`", "`cat`, `dog`"]);
    let one = tree(&["cat/a.png", "hound/a.png"]).listing(&["Cat", "Dog"]);
    one.refused(&["no class: `hound`; classes without a folder: `Dog`", "download.labels=none"]);
    assert_eq!(one.labels(LabelsFrom::None).read(), ["- - in : cat/a.png hound/a.png"]);
    tree(&["cat/a.png"]).listing(&["Cat", "Dog"]).says(&["classes without an image of their own: `Dog`"]);
    // In one part there are classes, in the other none.
    let test = tree(&["test/0/a.png", "test/1/a.png", "train/cat/a.png", "train/dog/a.png"]);
    let test = test.listing(&["cat", "dog"]);
    assert_eq!(test.read()[2], "test - in test: 0/a.png 1/a.png");
    test.says(&["`0`, `1`"]);
}

#[test]
fn names_are_compared_in_one_form_with_the_list_and_as_written_without_it() {
    // The list decides.
    let files = ["E\u{301}te\u{301}/a.png", "sea_lake/a.png"];
    assert_eq!(
        tree(&files).listing(&["\u{c9}t\u{e9}", "Sea Lake"]).read()[1],
        "- Sea Lake in sea_lake: a.png"
    );
    let merged = tree(&["Cat/a.png", "cat/a.png", "dog/a.png"]);
    let list = ["cat", "dog"];
    assert_eq!(merged.listing(&list).read()[0], "- cat in Cat: a.png");
    let merged = tree(&["Cat/a.png", "cat/a.png", "dog/a.png"]).listing(&list);
    merged.says(&["`Cat`, `cat` are one class, `cat`", "list each"]);
    tree(&["\u{ff21}/a.png", "b/a.png"]).listing(&["A", "a", "b"]).refused(&["several classes", "`A`, `a`"]);
    assert_eq!(
        tree(&["A/a.png", "a/a.png"]).listing(&["a", "A"]).read(),
        ["- A in A: a.png", "- a in a: a.png"]
    );
    // Without a list.
    for names in [["A", "a"], ["10-1", "101"], ["Cat", "cat"], ["sea lake", "sea_lake"]] {
        let files = names.map(|name| format!("{name}/a.png"));
        let files = files.each_ref().map(String::as_str);
        assert_eq!(tree(&files).classes(), names);
    }
    tree(&["A/a.png", "a/a.png"]).says(&["`A`, `a` are 2 classes", "CLASSES=classes.txt"]);
    let apart = tree(&["test/cat/a.png", "test/dog/a.png", "train/Cat/a.png", "train/dog/a.png"]);
    assert_eq!(apart.classes(), ["Cat", "dog"]);
    apart.says(&["`Cat`, `cat` are one class", "CLASSES=classes.txt"]);
    let once = tree(&["test/cat/a.png", "train/Cat/a.png", "train/cat/a.png"]);
    assert_eq!(once.classes(), ["Cat", "cat"]);
    // Nobody can tell these apart.
    tree(&["e\u{301}/a.png", "\u{e9}/a.png"]).refused(&["e\\u{301}", "\\u{e9}", "look the same"]);
    tree(&["cat /a.png", "cat/a.png"]).refused(&["`cat `"]);
    let apart = tree(&["test/e\u{301}/a.png", "test/x/a.png", "train/\u{e9}/a.png", "train/x/a.png"]);
    assert_eq!(apart.classes(), ["x", "\u{e9}"]);
}

#[test]
fn an_empty_folder_of_a_class_is_refused_and_those_of_systems_are_passed_over() {
    let files = ["test/forest/a.png", "train/Forest/a.png", "train/sea_lake/a.png"];
    let folders = ["test", "test/forest", "train", "train/Forest", "train/sea_lake", "docs"];
    assert_eq!(tree(&files).folders(&folders).classes(), ["Forest", "sea_lake"]);
    tree(&files).folders(&["train", "train/desert"]).refused(&["`desert`"]);
    tree(&files).folders(&["val"]).says(&["`val`"]);
    let systems = ["cat", "dog", "lost+found", "$RECYCLE.BIN", "System Volume Information", ".Trash-1000"];
    let with = ["__MACOSX/cat/a.png", "cat/a.png", "dog/@eaDir/a.png", "dog/a.png"];
    let with = tree(&with).folders(&systems);
    assert_eq!(with.read(), ["- cat in cat: a.png", "- dog in dog: a.png"]);
    with.says(&["`$RECYCLE.BIN`", "and 1 more with 2 images", "rename"]);
    tree(&["__MACOSX/a.png"]).refused(&["`__MACOSX`"]);
    let own = tree(&["cat/a.png", "recycled/a.png"]).listing(&["cat", "recycled"]);
    assert_eq!(own.read().len(), 2);
}

#[test]
fn a_folder_that_held_nothing_but_a_systems_is_said() {
    let files = ["cat/a.png", "dog/a.png", "hot/__MACOSX/a.png"];
    tree(&files).listing(&["cat", "dog"]).says(&["`hot/__MACOSX`", "`hot` holds no image besides"]);
    // The walk does not look into folders of systems.
    let unseen = tree(&files[..2]).folders(&["cat", "dog", "hot", "hot/__MACOSX"]);
    unseen.refused(&["`hot`"]);
    unseen.listing(&["cat", "dog"]).says(&["`hot/__MACOSX`", "`hot` holds no image besides"]);
}

#[test]
fn the_setting_alone_says_where_the_labels_are() {
    let files = ["cat/a.png", "cat/old/b.png", "dog/a.png"];
    assert_eq!(tree(&files).labels(LabelsFrom::ParentFolder).classes(), ["cat", "dog", "old"]);
    assert_eq!(tree(&files).labels(LabelsFrom::None).read(), ["- - in : cat/a.png cat/old/b.png dog/a.png"]);
    let parts = tree(&["test/cat/a.png", "train/cat/a.png"]).labels(LabelsFrom::None);
    assert_eq!(parts.read(), ["train - in train: cat/a.png", "test - in test: cat/a.png"]);
    tree(&["a.png"]).labels(LabelsFrom::TopFolder).refused(&["top-folder", "no image is in a folder"]);
    tree(&["a.png", "cat/a.png"]).labels(LabelsFrom::ParentFolder).refused(&["`a.png`"]);
    assert_eq!(tree(&["a.png", "cat/a.png"]).labels(LabelsFrom::None).read(), ["- - in : a.png cat/a.png"]);
}

#[test]
fn the_settings_name_the_parts_whatever_they_are_called() {
    let files = ["x/new/cat/a.png", "x/new/dog/a.png", "x/old/cat/a.png", "x/old/dog/a.png", "x/rest/1.png"];
    let named = tree(&files).parts("old", "x/new");
    assert_eq!(named.read()[0], "train cat in x/old/cat: a.png");
    assert_eq!(named.read()[2], "test cat in x/new/cat: a.png");
    named.says(&["1 image is left out", "`x/rest`"]);
    let several = tree(&files).parts("old, rest", "NEW").listing(&["cat", "dog"]);
    assert_eq!(several.read()[2], "train - in x/rest: 1.png");
    tree(&files).parts("odl", "").refused(&["`odl`", "download.train", "did you mean `old`"]);
    tree(&files).parts("old", "old").refused(&["both name"]);
    tree(&files).parts("x", "x/new").refused(&["lies in it"]);
    tree(&files).parts("", "new").refused(&["what trains", "download.train="]);
    assert_eq!(tree(&files).parts("old", "").laid_out().unwrap().rule, SplitRule::Random { test_share: 0.2 });
    // The other side is found by its name.
    let files = ["test/cat/a.png", "train/cat/a.png", "train/dog/a.png", "unlabeled/a.png"];
    let more = tree(&files).parts("train,unlabeled", "");
    assert_eq!(more.read()[2..], ["train - in unlabeled: a.png", "test cat in test/cat: a.png"]);
    assert_eq!(tree(&files[..3]).parts("", "test").read().len(), 3);
    let holdout = tree(&["cat/a.png", "dog/a.png", "mine/cat/b.png"]).parts(".", "mine");
    assert_eq!(
        holdout.read(),
        ["train cat in cat: a.png", "train dog in dog: a.png", "test cat in mine/cat: b.png"]
    );
    let loose = tree(&["a.png", "later/b.png"]).parts(".", "later");
    assert_eq!(loose.read(), ["train - in : a.png", "test - in later: b.png"]);
    let comma = tree(&["a,b/a.png", "c/a.png"]).parts("a,b", "c");
    assert_eq!(comma.read(), ["train - in a,b: a.png", "test - in c: a.png"]);
    let mixed = tree(&["bus/a.png", "car/a.png", "train/a.png"]).parts(".", "");
    assert_eq!(mixed.classes(), ["bus", "car", "train"]);
}
