//! Random trees of folders: those that were made from a known truth are read as that or refused, and no tree makes the
//! reading panic, loses an image or merges two folders without a word.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use pipeline::random::{self, ChaCha8Rng};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::*;
use crate::dataset::names::{canonical, normalised};
use crate::dataset::user_images::part::Spoken;

const TREES: u64 = 100_000;

/// Names of classes that are easily confused with each other, or with what is none.
const NASTY: [&str; 44] = [
    "cat",
    "Cat",
    "CAT",
    "dog",
    "bird",
    "bus",
    "10-1",
    "101",
    "1_01",
    "0",
    "1",
    "2",
    "2017",
    "\u{e9}t\u{e9}",
    "e\u{301}te\u{301}",
    "\u{732b}",
    "\u{72d7}",
    "\u{8bad}\u{7ec3}\u{96c6}",
    "cat ",
    " dog",
    "train",
    "test",
    "val",
    "dev",
    "Train",
    "train_station",
    "test_tube",
    "Train Station",
    "trainset",
    "valid ticket",
    "unlabeled",
    "images",
    "photos",
    "data",
    "sea lake",
    "sea_lake",
    "Sea-Lake",
    "-",
    "_",
    "C#",
    "a,b",
    "lost+found",
    "seg_train",
    "\u{ff21}",
];

/// Names of parts: one that trains, one that tests.
const PARTS: [[&str; 2]; 12] = [
    ["train", "test"],
    ["Train", "Test"],
    ["train", "val"],
    ["training", "validation"],
    ["seg_train", "seg_test"],
    ["train_images", "test_images"],
    ["training_set", "test_set"],
    ["trainset", "testset"],
    ["train2017", "val2017"],
    ["cifar10-train", "cifar10-test"],
    ["train", "test1"],
    ["x train", "x holdout"],
];

const WRAPPERS: [&str; 7] = ["archive", "set", "data", "v1", "\u{6570}\u{636e}", "my train", "test-set"];

fn pick<'a>(random: &mut ChaCha8Rng, names: &[&'a str]) -> &'a str {
    names[random.random_range(0..names.len())]
}

/// One time in so many.
fn rarely(random: &mut ChaCha8Rng, times: u32) -> bool {
    random.random_range(0..times) == 0
}

/// A question that owns what it asks.
#[derive(Debug, Default)]
struct Owned {
    images: Vec<String>,
    folders: Vec<String>,
    classes: Option<Vec<String>>,
    labels: LabelsFrom,
    train: String,
    test: String,
}

impl Owned {
    fn ask(&self) -> Result<Layout> {
        let images: Vec<&str> = self.images.iter().map(String::as_str).collect();
        lay_out(&Question {
            images: &images,
            folders: &self.folders,
            classes: self.classes.as_deref(),
            labels: self.labels,
            train: &self.train,
            test: &self.test,
        })
    }

    fn tidy(&mut self) {
        let all: Vec<String> = self.images.iter().chain(&self.folders).cloned().collect();
        for path in all {
            self.folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        }
        self.images.sort();
        self.images.dedup();
        self.folders.sort();
        self.folders.dedup();
    }
}

/// What is true of an image: its split, where that is not drawn, and its class, if it has one.
type Truth = BTreeMap<String, (Option<Split>, Option<String>)>;

/// A tree that was made from a truth.
fn made(random: &mut ChaCha8Rng) -> (Owned, Truth) {
    let (mut asked, mut truth) = (Owned::default(), Truth::new());
    // Folders inside classes, or around them.
    let kind = random.random_range(0..8);
    let (crossed, unlabeled, nested) = (kind == 0, kind == 1, kind == 2);
    let count = random.random_range(2..7);
    let pool: &[&str] = match rarely(random, 2) {
        // Among folders that are no classes, `train` and `val` are parts.
        _ if unlabeled => &NASTY[..16],
        true => &NASTY,
        false => &NASTY[..19],
    };
    let mut classes: BTreeSet<String> = (0..count).map(|_| pick(random, pool).to_owned()).collect();
    if rarely(random, 20) {
        classes.insert("long ".repeat(45) + "name");
    }
    // One class alone would be a folder around everything.
    let told = |name: &String| {
        // Where folders lie in them, those called `train` and `val` alone are parts.
        let part = nested && Spoken::of(name).role.is_some();
        Some(normalised(name)).filter(|_| name != "lost+found" && !part)
    };
    while classes.iter().filter_map(told).collect::<BTreeSet<_>>().len() < 2 {
        classes.insert(pick(random, pool).to_owned());
    }
    let classes: Vec<String> = classes.into_iter().collect();
    let mut wrapper = String::new();
    for _ in 0..random.random_range(0..3) {
        let known = if rarely(random, 8) { WRAPPERS.len() } else { 5 };
        let name = pick(random, &WRAPPERS[..known]);
        wrapper += &format!("{name}/");
        if rarely(random, 4) {
            wrapper += &format!("{name}/");
        }
    }
    let around = nested && rarely(random, 2);
    let parts: Vec<(String, Option<Split>)> = if kind > 4 {
        vec![(String::new(), None)]
    } else {
        let [train, test] = PARTS[random.random_range(0..PARTS.len())];
        vec![(train.to_owned(), Some(Split::Train)), (test.to_owned(), Some(Split::Test))]
    };
    for (part, split) in &parts {
        let doubled = if rarely(random, 3) && !part.is_empty() && !crossed {
            format!("{part}/")
        } else {
            String::new()
        };
        for (at, class) in classes.iter().enumerate() {
            // The part that trains has all of them.
            if *split == Some(Split::Test) && rarely(random, 4) {
                continue;
            }
            for image in 0..random.random_range(1..4) {
                let image = format!("{image}.png");
                let place = match (part.as_str(), crossed) {
                    ("", _) => format!("{wrapper}{class}"),
                    (part, true) => format!("{wrapper}{class}/{part}"),
                    (part, false) => format!("{wrapper}{part}/{doubled}{class}"),
                };
                let path = if nested && around {
                    let top = ["one", "two"][at % 2];
                    format!("{}{top}/{class}/{image}", &place[..place.len() - class.len()])
                } else if nested {
                    format!("{place}/{}/{image}", ["s1", "s2"][random.random_range(0..2)])
                } else if rarely(random, 12) {
                    format!("{place}/old/{image}")
                } else {
                    format!("{place}/{image}")
                };
                truth.insert(path.clone(), (*split, (!unlabeled).then(|| class.clone())));
                asked.images.push(path);
            }
        }
    }
    if nested {
        asked.labels = if around { LabelsFrom::ParentFolder } else { LabelsFrom::TopFolder };
    }
    if unlabeled {
        asked.classes = Some(vec!["apple".to_owned(), "pear".to_owned()]);
    } else if rarely(random, 2) {
        let mut list: Vec<String> = Vec::new();
        for class in &classes {
            let class = canonical(class);
            if !list.contains(&class) {
                list.push(class);
            }
        }
        if rarely(random, 4) {
            list.push("another".to_owned());
        }
        list.shuffle(random);
        asked.classes = Some(list);
        if nested && rarely(random, 2) {
            asked.labels = LabelsFrom::Auto;
        }
    }
    if rarely(random, 3) {
        for _ in 0..random.random_range(1..4) {
            let place = pick(random, &[&wrapper, &format!("{wrapper}{}/", parts[0].0)])
                .trim_start_matches('/')
                .to_owned();
            let junk = pick(random, &["__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir"]);
            let junk = format!("{place}{junk}").replace("//", "/");
            match rarely(random, 3) {
                true => asked.images.push(format!("{junk}/1.png")),
                false => asked.folders.push(junk),
            }
        }
    }
    if parts.len() > 1 && !crossed && rarely(random, 5) {
        let open = parts[0].0.to_lowercase().replace("training", "pred").replace("train", "pred");
        asked.images.extend((0..3).map(|image| format!("{wrapper}{open}/{image}.png")));
    }
    // Nobody but a list says that this is a class.
    if !asked.classes.iter().flatten().any(|class| class == "lost+found") {
        truth.retain(|image, _| !image.contains("lost+found/"));
    }
    // Where no image tests, they are drawn.
    if truth.values().all(|(split, _)| *split != Some(Split::Test)) {
        truth.values_mut().for_each(|(split, _)| *split = None);
    }
    asked.tidy();
    (asked, truth)
}

/// Of each image, its split and its class by name.
fn read(asked: &Owned, layout: &Layout) -> Truth {
    let names = asked.classes.as_ref().or(layout.classes.as_ref());
    let mut read = Truth::new();
    for part in &layout.parts {
        let class = part.class.map(|class| names.unwrap()[class].clone());
        for file in &part.files {
            let path = if part.folder.is_empty() { file.clone() } else { format!("{}/{file}", part.folder) };
            let before = read.insert(path, (part.split, class.clone()));
            assert_eq!(before, None, "{file} is in two parts of {asked:#?}");
        }
    }
    read
}

/// Whether a note says that these two names are one class.
fn merger_is_said(layout: &Layout, one: &str, other: &str) -> bool {
    layout.notes.iter().any(|note| {
        note.contains("are one class") && [one, other].iter().all(|name| note.contains(&format!("`{name}`")))
    })
}

#[test]
fn a_tree_that_was_made_from_a_truth_is_read_as_that_or_refused() {
    let mut random = random::stream(0, "trees with a truth");
    let mut taken = 0;
    for _ in 0..TREES {
        let (asked, truth) = made(&mut random);
        let Ok(layout) = asked.ask() else { continue };
        // What follows refuses a data set without classes.
        if asked.classes.is_none() && layout.classes.as_ref().is_none_or(|classes| classes.len() < 2) {
            continue;
        }
        taken += 1;
        let read = read(&asked, &layout);
        for (image, (split, class)) in &truth {
            let (its_split, its_class) =
                read.get(image).unwrap_or_else(|| panic!("{image} is lost: {asked:#?}"));
            assert_eq!(split, its_split, "{image} of {asked:#?}\n{layout:#?}");
            let same = match (class, its_class) {
                (Some(one), Some(other)) => {
                    let (one, other) = (canonical(one), canonical(other));
                    one == other
                        || (normalised(&one) == normalised(&other) && merger_is_said(&layout, &one, &other))
                }
                (one, other) => one == other,
            };
            assert!(same, "{image}: {its_class:?} instead of {class:?} in {asked:#?}\n{layout:#?}");
        }
        assert!(read.keys().all(|image| truth.contains_key(image)), "{asked:#?}\n{layout:#?}");
    }
    assert!(taken * 2 > TREES, "only {taken} of {TREES} trees are taken");
}

/// Names for trees that have no truth.
const ANY: [&str; 27] = [
    "train",
    "test",
    "val",
    "Train",
    "seg_train",
    "seg_test",
    "unlabeled",
    "cat",
    "Cat",
    "dog",
    "animals",
    "images",
    "masks",
    "data",
    "lost+found",
    "__MACOSX",
    "0",
    "1",
    "10-1",
    "101",
    "\u{e9}",
    "e\u{301}",
    "\u{732b}",
    "train_station",
    "a,b",
    "-",
    " cat",
];

fn any_tree(random: &mut ChaCha8Rng) -> Owned {
    let mut asked = Owned::default();
    let from = random.random_range(0..ANY.len());
    let names = &ANY[from..(from + random.random_range(2..8)).min(ANY.len())];
    let path = |random: &mut ChaCha8Rng, depth: usize| {
        let mut path = String::new();
        for _ in 0..depth {
            path += pick(random, names);
            path.push('/');
        }
        path
    };
    let (depth, varies) = (random.random_range(0..4), rarely(random, 3));
    let most = if rarely(random, 10) { 100 } else { 20 };
    for image in 0..random.random_range(1..most) {
        let depth = if varies { random.random_range(0..4) } else { depth };
        asked.images.push(format!("{}{}.png", path(random, depth), image % 3));
    }
    for _ in 0..random.random_range(0..4) {
        let depth = random.random_range(1..4);
        asked.folders.push(path(random, depth).trim_end_matches('/').to_owned());
    }
    if rarely(random, 3) {
        let mut list: Vec<String> = names.iter().map(|name| canonical(name)).collect();
        list.dedup();
        list.shuffle(random);
        list.truncate(random.random_range(1..8));
        asked.classes = Some(list);
    }
    asked.labels = match random.random_range(0..8) {
        0 => LabelsFrom::TopFolder,
        1 => LabelsFrom::ParentFolder,
        2 => LabelsFrom::None,
        _ => LabelsFrom::Auto,
    };
    if rarely(random, 4) {
        let choices = [names, &[".", "", "no such folder", "cat/dog", "train,test", "//", ","]].concat();
        asked.train = pick(random, &choices).to_owned();
        asked.test = pick(random, &choices).to_owned();
    }
    asked.tidy();
    asked
}

#[test]
fn no_tree_loses_an_image_or_merges_folders_without_a_word() {
    let mut random = random::stream(0, "trees without a truth");
    let mut taken = 0;
    for _ in 0..TREES {
        let mut asked = any_tree(&mut random);
        let answer = asked.ask().map_err(|error| error.to_string());
        let (images, folders) = (asked.images.clone(), asked.folders.clone());
        asked.images.shuffle(&mut random);
        asked.folders.shuffle(&mut random);
        assert_eq!(answer, asked.ask().map_err(|error| error.to_string()), "in another order: {asked:#?}");
        (asked.images, asked.folders) = (images, folders);
        let layout = match answer {
            Ok(layout) => layout,
            Err(error) => {
                assert!(error.contains("help:"), "{error}");
                continue;
            }
        };
        taken += 1;
        let read = read(&asked, &layout);
        for image in &asked.images {
            let said = |note: &String| {
                let left_out = note.contains("left out") || note.contains("passed over");
                let named = |name: &str| note.contains(&format!("`{name}`"));
                let mut folders = image.match_indices('/').map(|(at, _)| &image[..at]);
                left_out
                    && (note.contains(" more")
                        || named(".")
                        || folders.any(|path| named(path) || named(path.rsplit('/').next().unwrap())))
            };
            let held = read.contains_key(image) || layout.notes.iter().any(said);
            assert!(held, "{image} is lost without a word: {asked:#?}\n{layout:#?}");
        }
        for part in &layout.parts {
            assert!(!part.files.is_empty() && part.files.is_sorted(), "{asked:#?}\n{layout:#?}");
            assert!(format!("{}/", part.folder).starts_with(&layout.wrapping), "{asked:#?}\n{layout:#?}");
            let Some(class) = part.class else { continue };
            let names = asked.classes.as_ref().or(layout.classes.as_ref()).unwrap();
            let mut folders = part.folder.split('/');
            // The class is called as a folder around the image is, or as one that is like it.
            let called = folders.any(|folder| match &asked.classes {
                Some(_) => normalised(folder) == normalised(&names[class]),
                None => {
                    canonical(folder) == names[class]
                        || merger_is_said(&layout, &canonical(folder), &names[class])
                }
            });
            assert!(called, "{part:?}: {asked:#?}\n{layout:#?}");
        }
        if let Some(classes) = &layout.classes {
            assert!(classes.is_sorted() && classes.iter().collect::<BTreeSet<_>>().len() == classes.len());
        }
    }
    assert!(taken * 5 > TREES, "only {taken} of {TREES} trees are taken");
}
