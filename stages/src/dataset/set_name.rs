//! What a data set of one's own is called: the name that its folders and its newest results have, and a longer one where
//! another data set has that name already.
//!
//! Who has a name is not known here.

use std::path::{Component, Path, PathBuf};

use pipeline::error::{Error, Result};

use super::catalog;

/// Names of folders below `artifacts` that no data set may have.
const RESERVED: [&str; 4] = ["store", "runs", "compare", "times"];

/// Whether a data set of the catalog is called so.
pub fn is_of_catalog(name: &str) -> bool {
    catalog::names().any(|known| known == name)
}

/// The name for folders that the user asked for in his own words.
///
/// # Errors
/// Words that cannot name a folder.
pub(super) fn asked_for(title: &str) -> Result<String> {
    let name = slug(title);
    if name.is_empty() || RESERVED.contains(&name.as_str()) {
        return Err(Error::new(format!("`{title}` cannot be the data set's name"))
            .help("it names a folder: take a word of the letters a to z, digits and hyphens"));
    }
    Ok(name)
}

/// The name for folders, and the name for people, of the images at this place.
pub(super) fn of_place(images: &Path) -> (String, String) {
    let path = literal_part(&place(images));
    let title = path.file_stem().filter(|_| path.is_file()).or(path.file_name());
    let title = title.map(|title| title.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match slug(&title) {
        name if name.is_empty() => "own-images".to_owned(),
        name if RESERVED.contains(&name.as_str()) || is_of_catalog(&name) => format!("own-{name}"),
        name => name,
    };
    (name, if title.is_empty() { "Own images".to_owned() } else { title })
}

/// Names for the data set at this place where `name` itself is another's, the best first: with the name of the folder
/// around it, then with a number.
pub fn longer(name: &str, place: &Path) -> impl Iterator<Item = String> {
    let around = literal_part(place)
        .parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let around = around.map(|around| slug(&around)).filter(|around| !around.is_empty());
    let base = around.map_or_else(|| name.to_owned(), |around| format!("{around}-{name}"));
    let plain = Some(base.clone()).filter(|base| base != name);
    let numbered = (2_u64..).map(move |number| format!("{base}-{number}"));
    plain.into_iter().chain(numbered).filter(|name| !is_of_catalog(name))
}

/// The place that a path or a pattern of paths means, whatever folder the program runs in and through whatever links:
/// the same for the same files.
pub fn place(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let literal = literal_part(&absolute);
    let pattern = absolute.strip_prefix(&literal).unwrap_or(Path::new(""));
    literal.canonicalize().unwrap_or_else(|_| literal.clone()).join(pattern)
}

/// What comes before the first sign of a pattern; the whole path where something is called so.
pub fn literal_part(path: &Path) -> PathBuf {
    if path.symlink_metadata().is_ok() {
        return path.to_owned();
    }
    let is_pattern = |part: &Component| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    path.components().take_while(|part| !is_pattern(part)).collect()
}

/// Lower-case letters, digits, and single hyphens for everything else.
fn slug(title: &str) -> String {
    let mut name = String::new();
    for c in title.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.truncate(60);
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn images_named_by_a_pattern_are_called_as_the_folder_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let photos = folder.path().join("My Photos");
        std::fs::create_dir_all(photos.join("odd[1]")).unwrap();
        let name = |path: &str| of_place(&photos.join(path)).0;
        for pattern in ["*.jpg", "**/*.jpg", "*/?.png", "[ab]*/x.png"] {
            assert_eq!(name(pattern), "my-photos", "{pattern}");
        }
        // What is called so is no pattern.
        assert_eq!(name("odd[1]"), "odd-1");
        let real = photos.canonicalize().unwrap();
        assert_eq!(place(&photos.join("*.jpg")), real.join("*.jpg"));
        assert_eq!(place(&photos.join("odd[1]/..")), real);
    }

    #[test]
    fn a_longer_name_has_the_folder_around_it_and_then_a_number() {
        let names =
            |name: &str, place: &str| -> Vec<String> { longer(name, Path::new(place)).take(3).collect() };
        assert_eq!(
            names("images", "/a/Cats & Dogs/images"),
            ["cats-dogs-images", "cats-dogs-images-2", "cats-dogs-images-3"]
        );
        assert_eq!(names("images", "/nowhere/proj/images/*.jpg")[0], "proj-images");
        assert_eq!(names("mine", "/a/proj/set.toml")[0], "proj-mine");
        assert_eq!(names("images", "/images"), ["images-2", "images-3", "images-4"]);
        assert_eq!(names("images", "/猫/images")[0], "images-2");
    }
}
