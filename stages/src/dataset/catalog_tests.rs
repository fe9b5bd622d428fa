//! The catalog against method §§1, 3 and 9, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn all() -> Vec<DataSet> {
    names().map(|name| DataSet::find(name).unwrap()).collect()
}

#[test]
fn every_file_of_the_catalog_has_the_name_it_is_found_by() {
    for name in names() {
        assert_eq!(DataSet::find(name).unwrap().name, name);
    }
}

#[test]
fn classes_and_schedules_are_those_of_the_method() {
    let found: Vec<_> = all()
        .iter()
        .map(|set| (set.name.clone(), set.class_count(), set.schedule.warm_up, set.schedule.total))
        .collect();
    let method = [
        ("cifar10", 10, 50, 800),
        ("cifar100", 100, 100, 800),
        ("demo", 10, 16, 48),
        ("eurosat", 10, 50, 100),
        ("fer2013", 7, 50, 100),
        ("fmnist", 10, 50, 100),
        ("gtsrb", 43, 50, 100),
        ("svhn", 10, 50, 800),
    ];
    assert_eq!(
        found,
        method.map(|(name, classes, warm_up, total)| (name.to_owned(), classes, warm_up, total))
    );
}

#[test]
fn inputs_and_augmentations_are_those_of_the_method() {
    for set in all() {
        let (channels, size, flip, strong) = match set.name.as_str() {
            "fmnist" => (1, 28, true, StrongViews::Cutout),
            "fer2013" => (1, 64, true, StrongViews::Cutout),
            "demo" => (3, 32, true, StrongViews::None),
            "svhn" => (3, 32, false, StrongViews::Operations),
            "gtsrb" => (3, 64, false, StrongViews::Operations),
            "eurosat" => (3, 64, true, StrongViews::Operations),
            _ => (3, 32, true, StrongViews::Operations),
        };
        assert_eq!((set.image.channels, set.image.size), (channels, size), "{}", set.name);
        assert_eq!(set.augmentation, Augmentation { flip, strong }, "{}", set.name);
        assert_eq!(set.image.first_stride, if size == 64 { 2 } else { 1 }, "{}", set.name);
        let normalisation = match set.name.as_str() {
            "cifar10" => (vec![0.4914, 0.4822, 0.4465], vec![0.2023, 0.1994, 0.2010]),
            "cifar100" => (vec![0.5071, 0.4867, 0.4408], vec![0.2675, 0.2565, 0.2761]),
            "fmnist" => (vec![0.1307], vec![0.3081]),
            _ => (vec![0.5; channels], vec![0.5; channels]),
        };
        assert_eq!((set.image.mean, set.image.std), normalisation, "{}", set.name);
    }
}

#[test]
fn sets_without_a_standard_split_are_divided_at_random_in_the_paper_s_share() {
    for set in all() {
        let Source::Hub(source) = &set.source else { continue };
        let rows: u64 = source.files.iter().filter_map(|file| file.rows).sum();
        match set.name.as_str() {
            "eurosat" => assert_eq!((set.split, rows), (SplitRule::Random { test_share: 0.2 }, 27_000)),
            "fer2013" => assert_eq!((set.split, rows), (SplitRule::Random { test_share: 0.2 }, 28_709)),
            _ => assert_eq!(set.split, SplitRule::Standard, "{}", set.name),
        }
    }
}

#[test]
fn class_texts_are_those_of_the_method() {
    let text = |name: &str, class: usize| DataSet::find(name).unwrap().classes.texts[class].clone();
    assert_eq!(text("svhn", 7), "number 7");
    assert_eq!(text("fer2013", 6), "Neutral Facial Expression");
    assert_eq!(text("fmnist", 0), "T-shirt/top");
    assert_eq!(text("cifar100", 26), "crab");
    assert_eq!(text("cifar100", 1), "aquarium_fish");
    assert_eq!(text("gtsrb", 6), "German Traffic Sign: Speed limit 80 cancelled");
    assert_eq!(text("gtsrb", 18), "German Traffic Sign: Caution!");
    assert_eq!(text("gtsrb", 42), "German Traffic Sign: Lift ban on truck overtaking");
    let eurosat = DataSet::find("eurosat").unwrap().classes.texts;
    assert!(eurosat.is_sorted() && eurosat[0] == "AnnualCrop" && eurosat[9] == "SeaLake");
}

#[test]
fn another_revision_takes_no_checksum_and_no_number_of_rows_with_it() {
    let source = |name: &str| DataSet::find(name).unwrap().source;
    let at = |name: &str, revision: &str| match source(name).at(revision) {
        Source::Hub(repository) => repository,
        other => panic!("{name} comes from {other:?}"),
    };
    let main = at("cifar10", "main");
    let pinned = "0b2714987fa478483af9968de7c934580d0bb9a2";
    assert_eq!((main.revision.as_str(), main.instead_of.as_deref()), ("main", Some(pinned)));
    assert!(main.files.iter().all(|file| file.sha256.is_none() && file.rows.is_none()));
    // The pinned commit by name is the catalog's own source, under the same key.
    for same in ["", pinned] {
        assert_eq!(source("cifar10").at(same), source("cifar10"));
    }
    // A branch that the catalog names is no commit, so who names it too wants it as it is now.
    assert_eq!(at("fer2013", "main").files[0].rows, None);
    assert_eq!(at("fer2013", "").files[0].rows, Some(28_709));
    assert_eq!(source("demo").at("main"), source("demo"));
}

#[test]
fn no_description_says_what_was_assumed_of_files() {
    let text = format!("notes = [\"n\"]\n{}", CATALOG[0].1);
    let error = DataSet::parse(&text, Path::new("own.toml")).unwrap_err().to_string();
    assert!(error.contains("unknown field `notes`"), "{error}");
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_and_the_list() {
    let error = DataSet::find("euro-sta").unwrap_err().to_string();
    assert!(error.contains("did you mean `eurosat`?"), "{error}");
    assert!(names().all(|name| error.contains(name)), "{error}");
    let error = DataSet::find("imagenet").unwrap_err().to_string();
    assert!(!error.contains("did you mean") && error.contains("cifar100"), "{error}");
}

const OWN: &str = include_str!("../../../data/catalog/eurosat.toml");

fn fault(from: &str, to: &str) -> String {
    let changed = OWN.replacen(from, to, 1);
    assert_ne!(changed, OWN, "`{from}` is not in the text");
    DataSet::parse(&changed, Path::new("my/own.toml")).unwrap_err().to_string()
}

#[test]
fn a_file_of_the_user_s_own_is_read_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    std::fs::write(&path, OWN.replacen("\"eurosat\"", "\"mine\"", 1)).unwrap();
    assert_eq!(DataSet::find(path.to_str().unwrap()).unwrap().name, "mine");
    let error = DataSet::find("nowhere/own.toml").unwrap_err().to_string();
    assert!(error.contains("nowhere/own.toml") && error.contains("No such file"), "{error}");
}

#[test]
fn strong_views_are_named() {
    for (old, said) in [("true", "boolean"), ("\"strong\"", "strong")] {
        let error = fault("strong = \"operations\"", &format!("strong = {old}"));
        let named = [said, "`none`", "`operations`", "`cutout`"].iter().all(|word| error.contains(word));
        assert!(named, "{error}");
    }
    let one = OWN.replacen("channels = 3", "channels = 1", 1).replace("[0.5, 0.5, 0.5]", "[0.5]");
    let error = DataSet::parse(&one, Path::new("own.toml")).unwrap_err().to_string();
    assert!(error.contains("augmentation.strong") && error.contains("`cutout`"), "{error}");
    assert!(DataSet::parse(&one.replace("\"operations\"", "\"cutout\""), Path::new("own.toml")).is_ok());
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_file_and_key() {
    for (from, to, key) in [
        ("first_stride", "frist_stride", "frist_stride"),
        ("size = 64", "size = 4", "image.size"),
        ("size = 64", "size = \"64\"", "size"),
        ("channels = 3", "channels = 1", "image.mean"),
        ("channels = 3", "channels = 2", "image.channels"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", "image.std"),
        ("mean = [0.5, 0.5, 0.5]", "mean = [0.5, nan, 0.5]", "image.mean"),
        ("first_stride = 2", "first_stride = 3", "image.first_stride"),
        ("\"River\"", "\"Forest\"", "classes.names"),
        ("\"River\"", "\" \"", "classes.names"),
        ("[image]", "texts = [\"one\"]\n[image]", "classes.texts"),
        ("[image]", "renamed = [{ from = \"a\", to = \"b\" }]\n[image]", "classes.renamed"),
        ("test_share = 0.2", "test_share = 1.0", "split.test_share"),
        ("test_share = 0.2", "share = 0.2", "share"),
        ("rule = \"random\"\ntest_share = 0.2", "rule = \"standard\"", "source.files.split"),
        ("rule = \"random\"", "rule = \"rnadom\"", "rnadom"),
        ("rows = 16200", "sha256 = \"abc\"", "source.files.sha256"),
        ("validation-00000", "train-00000", "source.files"),
        ("timm/eurosat-rgb", "eurosat-rgb", "source.repo"),
        ("total = 100", "total = 10", "schedule"),
        ("\"eurosat\"", "\"../eurosat\"", "name"),
        ("[source]", "[source]\nkind = \"dream\"", "source.kind"),
        ("image_column", "picture_column", "picture_column"),
        ("image_column", "instead_of = \"main\"\nimage_column", "instead_of"),
    ] {
        let error = fault(from, to);
        assert!(error.contains(key) && error.contains("my/own.toml"), "`{to}`: {error}");
    }
}
