//! What people really have, a row an input: what must come of it, or why it is refused.
//!
//! Each row builds its files, runs the stage `download` alone, and looks at the classes, at the split and class of each
//! image, and at what the run says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod files;
mod folders;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::Int32Array;
use tests::project::Project;
use tests::tables::{column, metadata, read, texts};

/// An input, and what must come of it.
struct Input<'a> {
    /// Says what people have.
    name: &'a str,
    /// Puts its files below the folder `images`.
    put: &'a dyn Fn(&Files),
    /// The list of classes.
    classes: Option<&'a str>,
    /// Settings.
    set: &'a str,
    want: Want<'a>,
}

/// What must come of an input.
enum Want<'a> {
    /// It is taken with these classes; of each image that is named, the id, and the split and class as `train cat`, where
    /// `-` stands for a split that was drawn and `?` for no label; there are no other images. The run says these words.
    Taken(&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]),
    /// One error has these words, and says what to do; nothing ran.
    Refused(&'a [&'a str]),
}
use Want::{Refused, Taken};

impl Default for Input<'_> {
    fn default() -> Self {
        Self { name: "", put: &|_| {}, classes: None, set: "", want: Refused(&[]) }
    }
}

/// Where an input's files go.
struct Files(PathBuf);

impl Files {
    /// The place of a file, whose folder is made.
    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn bytes(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Small pictures, no two alike.
    fn pictures(&self, names: &[&str]) {
        for name in names {
            self.bytes(name, picture(name));
        }
    }

    fn folder(&self, name: &str) {
        fs::create_dir_all(self.0.join(name)).unwrap();
    }
}

/// A PNG whose colour depends on a name.
fn picture(name: &str) -> Vec<u8> {
    let mix = name.bytes().fold(17u32, |mix, byte| mix.wrapping_mul(31).wrapping_add(byte.into()));
    let [red, green, blue, _] = mix.to_le_bytes();
    let image = image::RgbImage::from_fn(12, 10, |x, _| image::Rgb([red, green, blue ^ x as u8]));
    tests::image_set::encode(&image.into(), image::ImageFormat::Png)
}

/// The split and class of each image by its id.
type Images = BTreeMap<String, (String, Option<String>)>;

/// What a run made of an input: its classes, the split and class of each image by its id.
fn taken(table: &Path) -> (Vec<String>, Images) {
    let classes = metadata(table).unwrap()["classes"].as_array().unwrap().clone();
    let classes: Vec<String> = classes.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let table = read(table);
    let labels = column::<Int32Array>(&table, "label").iter();
    let labels = labels.map(|label| label.map(|label| classes[label as usize].clone()));
    let images =
        texts(&table, "id").into_iter().zip(texts(&table, "split").into_iter().zip(labels)).collect();
    (classes.clone(), images)
}

/// Runs an input, and compares.
fn check(input: &Input) {
    let project = Project::new();
    (input.put)(&Files(project.path("images")));
    let mut run = project.run_images("images").args(["--only", "download", "--name", "mine"]);
    if let Some(classes) = input.classes {
        run = run.args(["--classes", &project.file("classes.txt", classes)]);
    }
    if !input.set.is_empty() {
        run = run.set(input.set);
    }
    let name = input.name;
    match &input.want {
        Refused(words) => {
            run.output().helpful_error(words);
            assert!(!project.path("artifacts/mine/download/images.parquet").exists(), "{name}");
        }
        Taken(classes, images, words) => {
            let said = run.ok().stderr;
            let (found, all) = taken(&project.path("artifacts/mine/download/images.parquet"));
            assert_eq!(found, *classes, "{name}: classes\n{said}");
            for (id, split_and_class) in *images {
                let (split, class) = split_and_class.split_once(' ').unwrap();
                let (its, label) =
                    all.get(*id).unwrap_or_else(|| panic!("{name}: no `{id}` in {all:?}\n{said}"));
                assert!(split == "-" || split == its, "{name}: `{id}` is for {its}\n{said}");
                assert_eq!(label.as_deref().unwrap_or("?"), class, "{name}: class of `{id}`\n{said}");
            }
            assert_eq!(all.len(), images.len(), "{name}: {all:?}\n{said}");
            for word in *words {
                assert!(said.contains(word), "{name}: no `{word}` in:\n{said}");
            }
        }
    }
}

fn check_all(inputs: &[Input]) {
    inputs.iter().for_each(check);
}
