//! Names for the files of images, made of their ids.
//!
//! An id may be anything: a path with `..`, an absolute one, signs that no file system takes. A name is letters a to z,
//! digits, hyphens and underscores, and no two are the same, even where capitals do not count.

use std::collections::{HashMap, HashSet};

/// Longest name, without its ending.
const LONGEST: usize = 100;
/// Endings of ids that are none of the image's name.
const ENDINGS: [&str; 16] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "dib", "tif", "tiff", "webp", "ppm", "pgm", "pbm",
    "pnm", "pam",
];

/// A name for each id, in their order, without an ending. It depends on all ids, so that an image is called the same
/// whichever others are written beside it.
pub(super) fn stems<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    // How often a name was wanted so far.
    let mut wanted: HashMap<String, usize> = HashMap::new();
    let name = |id: &str| {
        let stem = stem(id);
        let mut name = stem.clone();
        while !taken.insert(name.to_lowercase()) {
            let count = wanted.entry(stem.to_lowercase()).or_insert(1);
            *count += 1;
            name = format!("{stem}-{count}");
        }
        name
    };
    ids.into_iter().map(name).collect()
}

/// The name that an id would have if it were alone.
fn stem(id: &str) -> String {
    let bare = match id.rsplit_once('.') {
        Some((bare, ending)) if ENDINGS.contains(&ending.to_lowercase().as_str()) => bare,
        _ => id,
    };
    let mut name = String::with_capacity(bare.len());
    for c in bare.chars() {
        if c.is_ascii_alphanumeric() || c == '-' {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    // Programs take files that are called so for MNIST's own format.
    if name.to_lowercase().contains("-ubyte") {
        name = name.replace('-', "_");
    }
    // Ids differ at their ends.
    let from = name.len().saturating_sub(LONGEST);
    let name = name[from..].trim_matches(['_', '-']);
    if name.is_empty() { "image".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_id_is_its_name_lies_in_one_folder() {
        for (id, name) in [
            ("train-00000/000017", "train-00000_000017"),
            ("cats/a b.JPG", "cats_a_b"),
            ("../../etc/passwd", "etc_passwd"),
            ("/etc/passwd", "etc_passwd"),
            ("..", "image"),
            ("", "image"),
            (".hidden.png", "hidden"),
            ("-rf", "rf"),
            ("猫/1", "1"),
            ("猫", "image"),
            ("a\0b\n\"c\"", "a_b_c"),
            ("v1.5", "v1_5"),
            ("train-images-idx3-ubyte/000001", "train_images_idx3_ubyte_000001"),
        ] {
            assert_eq!(stem(id), name, "{id:?}");
        }
        let long = format!("{}/000017.png", "x".repeat(5000));
        assert!(stem(&long).len() <= LONGEST && stem(&long).ends_with("x_000017"));
    }

    #[test]
    fn no_two_names_are_the_same_even_where_capitals_do_not_count() {
        let ids = ["a/b", "a_b", "A_B", "a_b-2", "a/b.png", "猫", "狗", "image"];
        let names = stems(ids);
        assert_eq!(names, ["a_b", "a_b-2", "A_B-3", "a_b-2-2", "a_b-4", "image", "image-2", "image-3"]);
        let many: Vec<String> = (0..3000).map(|i| "猫".repeat(i)).collect();
        let names: HashSet<String> = stems(many.iter().map(String::as_str)).into_iter().collect();
        assert_eq!(names.len(), many.len());
    }
}
